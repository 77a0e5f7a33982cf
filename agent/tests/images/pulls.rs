//! What comes, comes once, and goes when nobody uses it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use agent::images::Wanted;
use serde_json::json;

use crate::server::{Reply, Server};
use crate::world::{DOCKER, Image, OCI, World, contents, oci_machine, wanted};

#[tokio::test]
async fn an_image_of_either_format_comes_with_its_layers_in_order_and_its_configuration() {
    for media_type in [OCI, DOCKER] {
        let image = Image::new(media_type, &["one", "two", "one"]);
        let server = Server::start(move |asked| image.answer(asked));
        let world = World::new();
        let got = world.pull(&server).await.expect("an image");
        assert_eq!(contents(&got), ["one", "two", "one"]);
        assert_eq!(got.config.cmd, ["run"]);
        assert_eq!(got.config.environment, [("A".to_string(), "1".to_string())]);
        assert_eq!(world.entries("layers/sha256").len(), 2);
        assert_eq!(world.entries("staging"), Vec::<String>::new());
    }
}

#[tokio::test]
async fn what_is_here_is_not_asked_for_again_but_its_manifest_where_the_task_wants_the_newest() {
    let image = Image::new(OCI, &["one"]);
    let server = Server::start(move |asked| image.answer(asked));
    let world = World::new();
    drop(world.pull(&server).await.expect("an image"));
    let first = server.asked().len();
    drop(world.pull(&server).await.expect("the image"));
    assert_eq!(server.asked().len(), first);
    let newest = Wanted {
        cached: false,
        ..wanted(&server)
    };
    drop(world.wants(&newest).await.expect("the image"));
    let more = server.asked().split_off(first);
    let more: Vec<_> = more.iter().map(|asked| asked.path.as_str()).collect();
    assert_eq!(more.len(), 2, "{more:?}");
    assert!(more[0].ends_with("manifests/latest"), "{more:?}");
    assert_eq!(server.count("/blobs/"), 3);
}

#[tokio::test]
async fn of_a_list_the_manifest_for_this_machine_comes() {
    for (machine, comes) in [(oci_machine(), true), ("s390x", false)] {
        let mut image = Image::new(OCI, &["one"]);
        let size = image.parts[&format!("manifests/{}", image.manifest)]
            .1
            .len();
        let list = json!({"schemaVersion": 2, "manifests": [{
            "mediaType": OCI, "digest": image.manifest, "size": size,
            "platform": {"os": "linux", "architecture": machine},
        }]});
        image.manifest("latest", "text/plain", list.to_string().as_bytes());
        let server = Server::start(move |asked| image.answer(asked));
        let world = World::new();
        match comes {
            true => drop(world.pull(&server).await.expect("an image")),
            false => world.fails(&server, &["only for linux/s390x"]).await,
        }
    }
}

#[tokio::test]
async fn those_who_want_one_image_at_the_same_time_wait_for_one_pull() {
    let image = Image::new(OCI, &["one", "two"]);
    let layer = image.layers[0].clone();
    let open = Arc::new(AtomicBool::new(false));
    let gate = Arc::clone(&open);
    let server = Server::start(move |asked| {
        while asked.path.contains(&layer) && !gate.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        image.answer(asked)
    });
    let world = World::new();
    let opens = async {
        while server.count("/blobs/") < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        open.store(true, Ordering::SeqCst);
    };
    let all = futures_util::future::join_all((0..8).map(|_| world.pull(&server)));
    let (all, ()) = tokio::join!(all, opens);
    for one in all {
        assert_eq!(contents(&one.expect("an image")), ["one", "two"]);
    }
    assert_eq!(server.count("/blobs/"), 3);
    assert_eq!(server.count("/manifests/"), 1);
}

#[tokio::test]
async fn a_pull_that_nobody_waits_for_ends_and_leaves_nothing() {
    let image = Image::new(OCI, &["one"]);
    let layer = image.layers[0].clone();
    let server = Server::start(move |asked| Reply {
        stall: asked.path.contains(&layer).then_some(1),
        ..image.answer(asked)
    });
    let world = World::new();
    {
        let mut pull = Box::pin(world.pull(&server));
        while server.count("/blobs/") < 2 {
            let given_up = tokio::time::timeout(Duration::from_millis(1), &mut pull).await;
            assert!(given_up.is_err(), "it is still under way");
        }
    }
    while !world.entries("staging").is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(world.entries("layers/sha256"), Vec::<String>::new());
}

#[tokio::test]
async fn images_that_nobody_uses_go_when_they_are_pruned_or_the_store_is_too_large() {
    let (small, large) = ("s".repeat(100), "l".repeat(1000));
    let one = Image::new(OCI, &["shared", &small]);
    let two = Image::new(OCI, &["shared", &large]);
    let one = Server::start(move |asked| one.answer(asked));
    let two = Server::start(move |asked| two.answer(asked));
    let world = World::with("{}", 1050);
    let used = world.pull(&one).await.expect("an image");
    drop(world.pull(&two).await.expect("another"));
    // Past its bound by now: the one in use stays, the other may go, the shared layer stays.
    while world.entries("images").len() > 1 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(contents(&used), ["shared", &small]);
    world.provisioner.prune(&[]);
    assert_eq!(world.entries("images").len(), 1);
    drop(used);
    world.provisioner.prune(&[wanted(&one)]);
    assert_eq!(world.entries("images").len(), 1);
    world.provisioner.prune(&[]);
    assert_eq!(world.entries("images"), Vec::<String>::new());
    assert_eq!(world.entries("layers/sha256"), Vec::<String>::new());
    assert_eq!(world.entries("graves"), Vec::<String>::new());
}

//! What goes wrong is told in words, may pass, and leaves nothing.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use crate::server::{Asked, Reply, Server};
use crate::world::{Image, OCI, World, contents};

/// A registry that answers the first requests for a part otherwise.
fn faulty(
    image: Image,
    part: &str,
    faults: impl Fn(usize, Reply) -> Reply + Send + Sync + 'static,
) -> Server {
    let (part, count) = (part.to_string(), AtomicUsize::new(0));
    Server::start(move |asked: &Asked| {
        let reply = image.answer(asked);
        match asked.path.contains(&part) {
            true => faults(count.fetch_add(1, Ordering::SeqCst), reply),
            false => reply,
        }
    })
}

#[tokio::test]
async fn content_that_is_not_what_it_is_called_is_refused() {
    let image = Image::new(OCI, &["one", "two"]);
    for part in [image.layers[1].clone(), image.config.clone()] {
        let server = faulty(image.clone(), &part, |_, mut reply| {
            reply.body[0] ^= 1;
            reply
        });
        let words = [part.as_str(), "the content has digest sha256:"];
        World::new().fails(&server, &words).await;
    }
    let mut other = image.clone();
    let by_digest = format!("manifests/{}", image.manifest);
    other
        .parts
        .insert(by_digest, (OCI.to_string(), b"{}".to_vec()));
    let server = Server::start(move |asked| other.answer(asked));
    let world = World::new();
    let wanted = agent::images::Wanted {
        name: format!("{}/image@{}", server.address, image.manifest),
        appc: None,
        cached: true,
        credentials: None,
    };
    let error = world.wants(&wanted).await.expect_err("no image");
    assert!(error.contains("the content has digest"), "{error}");
}

#[tokio::test]
async fn a_layer_that_unpacks_to_another_is_refused() {
    let other = "sha256:6c3c624b58dbbcd3c0dd82b4c53f04194d1247c6eebdaab7c610cf7d66709b3b";
    let image = Image::with_config(OCI, &["one"], |mut config| {
        config["rootfs"]["diff_ids"] = json!([other]);
        config
    });
    let server = Server::start(move |asked| image.answer(asked));
    World::new()
        .fails(&server, &[other, "unpacks to sha256:"])
        .await;
}

#[tokio::test]
async fn what_is_missing_is_told_with_the_registrys_words() {
    let image = Image::new(OCI, &["one"]);
    for part in [
        "manifests/latest".to_string(),
        image.config.clone(),
        image.layers[0].clone(),
    ] {
        let mut lacking = image.clone();
        lacking.parts.retain(|path, _| !path.contains(&part));
        let server = Server::start(move |asked| lacking.answer(asked));
        World::new()
            .fails(&server, &["404 Not Found: no such thing"])
            .await;
        assert_eq!(
            server.count(part.trim_start_matches("manifests/")),
            1,
            "asked once"
        );
    }
}

#[tokio::test]
async fn a_registry_that_fails_for_a_while_is_asked_again() {
    let image = Image::new(OCI, &["one"]);
    let layer = image.layers[0].clone();
    for (part, status) in [
        ("manifests/latest", 503),
        (layer.as_str(), 500),
        (layer.as_str(), 429),
    ] {
        let server = faulty(image.clone(), part, move |count, reply| match count {
            0 | 1 => Reply::new(status, ""),
            _ => reply,
        });
        drop(World::new().pull(&server).await.expect("an image"));
        let server = faulty(image.clone(), part, move |_, _| Reply::new(status, ""));
        let words = format!("the registry answers {status}");
        World::new().fails(&server, &[&words]).await;
        assert_eq!(server.count(part), 4, "{part}");
    }
}

#[tokio::test]
async fn a_blob_that_breaks_off_goes_on_where_it_stopped() {
    let content = "0123456789".repeat(1000);
    let image = Image::new(OCI, &[&content]);
    let layer = image.layers[0].clone();
    let server = faulty(image, &layer, |count, reply| Reply {
        cut: (count < 3).then_some(1000),
        ..reply
    });
    let world = World::new();
    let got = world.pull(&server).await.expect("an image");
    assert_eq!(contents(&got), [content]);
    let asked = server.asked();
    let ranges: Vec<_> = asked.iter().filter_map(|one| one.header("range")).collect();
    assert_eq!(ranges, ["bytes=1000-", "bytes=2000-", "bytes=3000-"]);
}

#[tokio::test]
async fn a_server_that_knows_no_ranges_begins_anew() {
    let content = "0123456789".repeat(1000);
    let image = Image::new(OCI, &[&content]);
    let (layer, whole) = (image.layers[0].clone(), content.clone());
    let server = faulty(image, &layer, move |count, _| Reply {
        cut: (count < 2).then_some(1000),
        ..Reply::new(200, whole.clone())
    });
    let world = World::new();
    let got = world.pull(&server).await.expect("an image");
    assert_eq!(contents(&got), [content]);
}

#[tokio::test]
async fn a_server_that_goes_silent_is_given_up() {
    let image = Image::new(OCI, &["a layer of some length"]);
    for part in ["manifests/latest".to_string(), image.layers[0].clone()] {
        let server = faulty(image.clone(), &part, |_, reply| Reply {
            stall: Some(1),
            ..reply
        });
        World::new()
            .fails(&server, &["more bytes not within 0.3 s"])
            .await;
    }
}

#[tokio::test]
async fn a_blob_of_another_length_is_refused() {
    let image = Image::new(OCI, &["0123456789"]);
    let layer = image.layers[0].clone();
    for (content, words) in [
        ("01234567890", "has 11 bytes, and 10"),
        ("012345678", "has 9 bytes, and 10"),
    ] {
        let server = faulty(image.clone(), &layer, move |_, _| Reply::new(200, content));
        World::new().fails(&server, &[words]).await;
    }
}

#[tokio::test]
async fn documents_that_are_none_or_have_no_end_are_refused() {
    let endless = vec![b' '; 5 << 20];
    for (content, words) in [
        (b"<html>".to_vec(), "not one of Docker's or OCI's"),
        (
            br#"{"schemaVersion":1,"fsLayers":[]}"#.to_vec(),
            "schema version 1",
        ),
        (endless, "longer than"),
    ] {
        let mut image = Image::new(OCI, &["one"]);
        image.manifest("latest", OCI, &content);
        let server = Server::start(move |asked| image.answer(asked));
        World::new().fails(&server, &[words]).await;
    }
    let machine = Image::with_config(OCI, &["one"], |mut config| {
        config["architecture"] = json!("s390x");
        config
    });
    let server = Server::start(move |asked| machine.answer(asked));
    World::new().fails(&server, &["only for linux/s390x"]).await;
}

#[tokio::test]
async fn lists_within_lists_and_redirects_in_circles_have_an_end() {
    let mut image = Image::new(OCI, &["one"]);
    let mut inner = image.manifest.clone();
    for depth in 0..6 {
        let list = json!({"schemaVersion": 2, "depth": depth, "manifests": [
            {"mediaType": "x", "digest": inner, "size": 1},
        ]});
        let list = list.to_string();
        inner = agent::images::digest::sha256(list.as_bytes());
        image.manifest(&inner, "x", list.as_bytes());
        image.manifest("latest", "x", list.as_bytes());
    }
    let server = Server::start(move |asked| image.answer(asked));
    World::new().fails(&server, &["nested more than"]).await;

    let server = Server::start(|asked| Reply::new(302, "").with("Location", asked.path.clone()));
    World::new().fails(&server, &["redirected too often"]).await;
}

#[tokio::test]
async fn nobody_at_all_is_told() {
    let server = Server::start(|_| Reply::new(404, ""));
    let world = World::new();
    let wanted = agent::images::Wanted {
        name: "127.0.0.1:1/image".to_string(),
        appc: None,
        cached: true,
        credentials: None,
    };
    let error = world.wants(&wanted).await.expect_err("no image");
    assert!(error.contains("connect to 127.0.0.1:1"), "{error}");
    drop(server);
}

//! What a registry is shown, and what nobody else is.

use agent::images::{Secret, Wanted};

use crate::server::{Asked, Reply, Server};
use crate::world::{Image, OCI, World, wanted};

/// `a:b`.
const BASIC: &str = "Basic YTpi";

/// A Docker configuration with a password for a server.
fn config(server: &Server) -> String {
    format!(r#"{{"auths":{{"{}":{{"auth":"YTpi"}}}}}}"#, server.address)
}

fn with_password(server: &Server) -> Wanted {
    Wanted {
        credentials: Some(Secret(config(server))),
        ..wanted(server)
    }
}

/// Answers only to who shows this.
fn closed(
    image: Image,
    shown: &'static str,
    challenge: impl Fn(&Asked) -> String + Send + Sync + 'static,
) -> impl Fn(&Asked) -> Reply + Send + Sync + 'static {
    move |asked| match asked.header("authorization") {
        Some(value) if value == shown => image.answer(asked),
        _ => Reply::new(401, r#"{"errors":[{"message":"authentication required"}]}"#)
            .with("WWW-Authenticate", challenge(asked)),
    }
}

#[tokio::test]
async fn a_password_is_shown_where_it_is_asked_for_and_its_want_is_told() {
    let image = Image::new(OCI, &["one"]);
    let server = Server::start(closed(image, BASIC, |_| "Basic realm=x".to_string()));
    let world = World::new();
    world
        .fails(
            &server,
            &["401 Unauthorized: authentication required", "no credential"],
        )
        .await;
    assert!(
        server
            .asked()
            .iter()
            .all(|asked| asked.header("authorization").is_none())
    );
    let got = world.wants(&with_password(&server)).await;
    drop(got.expect("an image"));
    let by_operator = World::with(&config(&server), 1 << 20);
    drop(by_operator.pull(&server).await.expect("an image"));
    let wrong = Wanted {
        credentials: Some(Secret(config(&server).replace("YTpi", "YTpj"))),
        cached: false,
        ..wanted(&server)
    };
    let error = World::new().wants(&wrong).await.expect_err("no image");
    assert!(error.contains("was shown"), "{error}");
    assert!(!error.contains("YTpj"), "{error}");
}

#[tokio::test]
async fn a_token_is_got_by_the_password_and_shown_for_every_part() {
    for field in ["token", "access_token"] {
        let tokens = Server::start(move |asked| match asked.header("authorization") {
            Some(BASIC) => Reply::new(200, format!(r#"{{"{field}":"t0ken","expires_in":60}}"#)),
            _ => Reply::new(401, ""),
        });
        let realm = tokens.address;
        let challenge = move |_: &Asked| {
            format!(
                r#"Bearer realm="http://{realm}/token?x=1",service="the registry",scope="repository:image:pull""#
            )
        };
        let image = Image::new(OCI, &["one", "two"]);
        let server = Server::start(closed(image, "Bearer t0ken", challenge));
        let got = World::new().wants(&with_password(&server)).await;
        drop(got.expect("an image"));
        let asked = tokens.asked();
        assert!(!asked.is_empty());
        assert_eq!(
            asked[0].path,
            "/token?x=1&service=the%20registry&scope=repository:image:pull"
        );
        // The password is for the one who gives tokens.
        let shown = server.asked();
        let shown: Vec<_> = shown
            .iter()
            .filter_map(|one| one.header("authorization"))
            .collect();
        assert!(
            shown.iter().all(|value| *value == "Bearer t0ken"),
            "{shown:?}"
        );
        World::new()
            .fails(&server, &["a token of 127.0.0.1", "no credential"])
            .await;
    }
}

#[tokio::test]
async fn a_token_that_ran_out_is_asked_for_anew() {
    let tokens = Server::start(|_| Reply::new(200, r#"{"token":"t"}"#));
    let realm = tokens.address;
    let image = Image::new(OCI, &["one"]);
    let layer = image.layers[0].clone();
    let server = Server::start({
        let seen = std::sync::atomic::AtomicBool::new(false);
        move |asked| {
            let is_first = asked.path.contains(&layer)
                && !seen.swap(true, std::sync::atomic::Ordering::SeqCst);
            match asked.header("authorization") {
                Some("Bearer t") if !is_first => image.answer(asked),
                _ => Reply::new(401, "").with(
                    "WWW-Authenticate",
                    format!(r#"Bearer realm="http://{realm}/""#),
                ),
            }
        }
    });
    drop(World::new().pull(&server).await.expect("an image"));
    assert_eq!(tokens.asked().len(), 2);
}

#[tokio::test]
async fn a_redirect_is_followed_and_not_shown_the_password() {
    let image = Image::new(OCI, &["one"]);
    let copy = image.clone();
    let elsewhere = Server::start(move |asked| copy.answer(asked));
    let there = elsewhere.address;
    let open = closed(image, BASIC, |_| "Basic".to_string());
    let server = Server::start(move |asked| match open(asked) {
        reply if reply.status == 200 && asked.path.contains("/blobs/") => {
            Reply::new(307, "").with("Location", format!("http://{there}{}", asked.path))
        }
        reply => reply,
    });
    let got = World::new().wants(&with_password(&server)).await;
    drop(got.expect("an image"));
    let asked = elsewhere.asked();
    assert_eq!(asked.len(), 2);
    assert!(
        asked
            .iter()
            .all(|one| one.header("authorization").is_none())
    );
}

#[tokio::test]
async fn what_a_registry_wants_that_is_not_done_is_told() {
    for (challenge, words) in [
        ("Negotiate", "\"Negotiate\" to be shown"),
        ("Bearer realm=\"nowhere\"", "\"nowhere\" to be shown"),
    ] {
        let image = Image::new(OCI, &["one"]);
        let server = Server::start(closed(image, BASIC, move |_| challenge.to_string()));
        World::new().fails(&server, &[words]).await;
    }
}

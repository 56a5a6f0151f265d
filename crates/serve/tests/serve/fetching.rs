//! Images over HTTP, from servers on loopback addresses that are allowed, and from everywhere that is not.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::{Redirect, Response};
use axum::routing::get;
use serde_json::json;
use tokio::net::TcpListener;
use visionthink_serve::images::{ImageSettings, ImageSourceError, Images, Lookup};

use crate::stub::{Stub, images};
use crate::{ask, config, picture, question_about};

/// A server of images; counts what it is asked.
async fn gallery() -> (SocketAddr, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    let image = || async { picture(64, 64) };
    let endless = || async {
        let chunks = futures_util::stream::repeat_with(|| Ok::<_, std::convert::Infallible>(vec![0_u8; 4096]));
        Body::from_stream(chunks)
    };
    let router = Router::new()
        .route("/a.png", get(image))
        .route("/slow", get(|| async { tokio::time::sleep(Duration::from_mins(1)).await }))
        .route("/endless", get(endless))
        .route("/loop", get(|| async { Redirect::temporary("/loop") }))
        .route("/once", get(|| async { Redirect::temporary("/a.png") }))
        .route("/to-metadata", get(|| async { Redirect::temporary("http://169.254.169.254/latest/") }))
        .route("/to-ten", get(|| async { Redirect::temporary("http://10.0.0.1/") }))
        .route("/to-mapped", get(|| async { Redirect::temporary("http://[::ffff:127.0.0.1]/") }))
        .route("/to-file", get(|| async { Redirect::temporary("file:///etc/passwd") }))
        .route("/nowhere", get(|| async { Response::builder().status(302).body(Body::empty()).unwrap() }))
        .layer(axum::middleware::from_fn(move |request: axum::extract::Request, next: axum::middleware::Next| {
            counter.fetch_add(1, Ordering::SeqCst);
            next.run(request)
        }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, asked)
}

fn settings() -> ImageSettings {
    ImageSettings {
        fetch: true,
        max_bytes: 100_000,
        allow_networks: vec!["127.0.0.1".parse().unwrap()],
        ..ImageSettings::default()
    }
}

/// Names that lead where the test says, each look-up one further along its list.
fn names(addresses: &[&str]) -> (Lookup, Arc<AtomicUsize>) {
    let addresses: Vec<IpAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
    let lookups = Arc::new(AtomicUsize::new(0));
    let counter = lookups.clone();
    let lookup: Lookup = Arc::new(move |_| {
        let turn = counter.fetch_add(1, Ordering::SeqCst);
        let address = addresses[turn.min(addresses.len() - 1)];
        Box::pin(async move { Ok(vec![address]) })
    });
    (lookup, lookups)
}

#[tokio::test]
async fn an_allowed_address_is_fetched_from_redirects_included() {
    let (address, _) = gallery().await;
    let images = Images::new(settings()).unwrap();
    for path in ["a.png", "once"] {
        assert_eq!(images.load(&format!("http://{address}/{path}")).await.unwrap().size(), (64, 64));
    }
    // The same bytes are the same image, wherever they came from.
    assert_eq!(images.cache_counts(), (1, 1));
}

#[tokio::test]
async fn no_address_that_is_not_public_is_fetched_from() {
    let images = Images::new(ImageSettings { allow_networks: Vec::new(), ..settings() }).unwrap();
    for host in [
        "127.0.0.1",
        "127.1",
        "0x7f000001",
        "2130706433",
        "0",
        "localhost",
        "169.254.169.254",
        "10.0.0.1",
        "100.64.0.1",
        "192.168.0.1",
        "172.16.0.1",
        "224.0.0.1",
        "[::1]",
        "[::]",
        "[::ffff:169.254.169.254]",
        "[64:ff9b::a9fe:a9fe]",
        "[fe80::1]",
        "[fd00::1]",
        "[2002:7f00:1::]",
    ] {
        let error = images.load(&format!("http://{host}:9/a.png")).await.unwrap_err();
        assert!(matches!(error, ImageSourceError::Address { .. }), "{host}: {error}");
    }
}

#[tokio::test]
async fn a_redirect_leads_nowhere_a_url_could_not() {
    let (address, _) = gallery().await;
    let images = Images::new(settings()).unwrap();
    let error = |path: &'static str| {
        let images = &images;
        async move { images.load(&format!("http://{address}/{path}")).await.unwrap_err() }
    };
    for path in ["to-metadata", "to-ten", "to-mapped"] {
        let error = error(path).await;
        assert!(matches!(error, ImageSourceError::Address { .. }), "{path}: {error}");
    }
    assert!(matches!(error("loop").await, ImageSourceError::Redirects { limit: 3 }));
    assert!(matches!(error("to-file").await, ImageSourceError::Url { .. }));
    assert!(matches!(error("nowhere").await, ImageSourceError::Fetch { .. }));
    assert!(error("missing").await.to_string().contains("status 404"));
}

#[tokio::test]
async fn what_is_too_slow_or_too_long_is_given_up() {
    let (address, _) = gallery().await;
    let images = Images::new(ImageSettings { fetch_timeout_secs: 0.5, ..settings() }).unwrap();
    let slow = images.load(&format!("http://{address}/slow")).await.unwrap_err();
    assert!(matches!(slow, ImageSourceError::FetchTimeout { .. }), "{slow}");
    let images = Images::new(settings()).unwrap();
    let long = images.load(&format!("http://{address}/endless")).await.unwrap_err();
    assert!(matches!(long, ImageSourceError::TooManyBytes { limit: 100_000 }), "{long}");
}

#[tokio::test]
async fn the_address_that_was_checked_is_the_one_that_is_connected_to() {
    let (address, asked) = gallery().await;
    // An address where nobody listens: it is looked up once for one request, and no other is tried.
    let (lookup, lookups) = names(&["127.0.0.2"]);
    let allowed = vec!["127.0.0.2".parse().unwrap()];
    let images = Images::with_lookup(ImageSettings { allow_networks: allowed, ..settings() }, lookup).unwrap();
    let url = format!("http://rebinding.example:{}/a.png", address.port());
    images.load(&url).await.unwrap_err();
    assert_eq!((lookups.load(Ordering::SeqCst), asked.load(Ordering::SeqCst)), (1, 0));

    // A name that leads to the gallery the second time it is asked for: it is refused like any other that does.
    let (lookup, lookups) = names(&["127.0.0.2", "127.0.0.1"]);
    let allowed = vec!["127.0.0.2".parse().unwrap()];
    let images = Images::with_lookup(ImageSettings { allow_networks: allowed, ..settings() }, lookup).unwrap();
    images.load(&url).await.unwrap_err();
    let error = images.load(&url).await.unwrap_err();
    assert!(
        matches!(&error, ImageSourceError::Address { host, address }
        if host == "rebinding.example" && address.is_loopback()),
        "{error}"
    );
    assert_eq!((lookups.load(Ordering::SeqCst), asked.load(Ordering::SeqCst)), (2, 0));
}

#[tokio::test]
async fn a_name_with_one_forbidden_address_is_refused_whole() {
    let (address, asked) = gallery().await;
    let addresses: Arc<Mutex<Vec<IpAddr>>> = Arc::new(Mutex::new(vec!["127.0.0.1".parse().unwrap()]));
    let known = addresses.clone();
    let lookup: Lookup = Arc::new(move |_| {
        let found = known.lock().unwrap().clone();
        Box::pin(async move { Ok(found) })
    });
    let images = Images::with_lookup(settings(), lookup).unwrap();
    let url = format!("http://two.example:{}/a.png", address.port());
    assert!(images.load(&url).await.is_ok());
    addresses.lock().unwrap().push("10.0.0.1".parse().unwrap());
    assert!(matches!(images.load(&url).await, Err(ImageSourceError::Address { .. })));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn urls_with_passwords_or_other_schemes_are_refused() {
    let images = Images::new(settings()).unwrap();
    for url in [
        "http://user:secret@127.0.0.1/a.png",
        "http://user@127.0.0.1/",
        "http://",
        "https:///",
        "http://user:secret@a b/",
    ] {
        let error = images.load(url).await.unwrap_err();
        assert!(matches!(error, ImageSourceError::Url { .. }), "{url}: {error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    for url in ["gopher://127.0.0.1/", "javascript:1", "", "a.png", "//127.0.0.1/a.png"] {
        assert!(matches!(images.load(url).await, Err(ImageSourceError::Scheme { .. })), "{url}");
    }
}

#[tokio::test]
async fn a_fetched_image_is_shown_and_its_url_is_not_handed_on() {
    let (address, _) = gallery().await;
    let stub = Stub::says("<answer>7</answer>").await;
    let mut config = config(&[&stub]);
    config.images = settings();
    let state = visionthink_serve::state(&config).unwrap();
    let reply = ask(&state, &question_about(&format!("http://{address}/a.png"), json!({}))).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    let asked = stub.requests();
    assert_eq!((images(&asked[0])[0].width, asked[0].to_string().contains("a.png")), (32, false));
    let reply = ask(&state, &question_about("http://169.254.169.254/latest/meta-data/", json!({}))).await;
    assert_eq!((reply.status, &reply.json()["error"]["code"]), (400, &json!("invalid_image")));
    assert!(reply.text.contains("not a public address"), "{}", reply.text);
}

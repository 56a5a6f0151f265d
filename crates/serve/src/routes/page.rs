//! The page at `/`, to try the server in a browser. Written by hand, compiled in, and all it loads comes from here.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use axum::routing::get;

use super::{AppState, reply};

/// One file of the page.
struct File {
    path: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

macro_rules! file {
    ($path:literal, $kind:literal, $name:literal) => {
        File { path: $path, kind: $kind, bytes: include_bytes!(concat!("../../page/", $name)) }
    };
}

/// All of them. The examples are pictures of the synthetic world: `visionthink synth --split test --seed 2027 --n 12`.
static FILES: [File; 16] = [
    file!("/", "text/html; charset=utf-8", "index.html"),
    file!("/page/page.css", "text/css; charset=utf-8", "page.css"),
    file!("/page/page.js", "text/javascript; charset=utf-8", "page.js"),
    file!("/page/api.js", "text/javascript; charset=utf-8", "api.js"),
    file!("/page/lane.js", "text/javascript; charset=utf-8", "lane.js"),
    file!("/page/outcome.js", "text/javascript; charset=utf-8", "outcome.js"),
    file!("/page/picture.js", "text/javascript; charset=utf-8", "picture.js"),
    file!("/page/recent.js", "text/javascript; charset=utf-8", "recent.js"),
    file!("/page/mark.svg", "image/svg+xml", "mark.svg"),
    file!("/page/examples.json", "application/json", "examples.json"),
    file!("/page/examples/scene-3.png", "image/png", "examples/scene-3.png"),
    file!("/page/examples/scene-5.png", "image/png", "examples/scene-5.png"),
    file!("/page/examples/chart-1.png", "image/png", "examples/chart-1.png"),
    file!("/page/examples/chart-3.png", "image/png", "examples/chart-3.png"),
    file!("/page/examples/document-1.png", "image/png", "examples/document-1.png"),
    file!("/page/examples/document-11.png", "image/png", "examples/document-11.png"),
];

/// Nothing but what this server sends, no script or style inside the page, and no other site's frame around it: the page
/// holds an API key and shows what a model writes.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A route for each file. None needs a key: the page asks for one where the API wants it.
pub(super) fn routes() -> Router<Arc<AppState>> {
    FILES.iter().fold(Router::new(), |router, file| router.route(file.path, get(async || send(file))))
}

fn send(file: &'static File) -> Response {
    let mut response = reply(StatusCode::OK, file.kind, Body::from(file.bytes));
    let headers: [(HeaderName, &'static str); 4] = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        // Another version of the server has another page.
        (CACHE_CONTROL, "no-cache"),
    ];
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

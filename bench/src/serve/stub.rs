//! An upstream server that answers at once, or misbehaves as it is told to.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use futures_util::{StreamExt, stream};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use tokio::net::TcpListener;

const CALL: &str = "<tool_call>{\"name\": \"resize_image\", \"arguments\": {\"action\": \"resize\"}}</tool_call>";
/// What a question has in it that is not answered from a small image.
pub(crate) const NEEDS_FULL: &str = "read closely";
/// The answer to everything.
pub(crate) const ANSWER: &str = "42";

/// What a server does with a request.
#[derive(Debug, Clone, Copy)]
enum Act {
    Answers,
    /// Half a second late, a chunk at a time.
    Slow,
    Busy,
    Breaks,
    /// Ends the connection inside the reply.
    Cuts,
    Garbage,
    /// Says nothing for longer than anybody waits.
    Hangs,
}

/// Acts, and how many of a hundred requests get each; the rest is answered.
const FAULTS: [(Act, u32); 6] =
    [(Act::Slow, 10), (Act::Busy, 3), (Act::Breaks, 2), (Act::Cuts, 3), (Act::Garbage, 2), (Act::Hangs, 1)];

/// Longer than the gateway waits for a word.
const HANGING: Duration = Duration::from_secs(30);

#[derive(Debug)]
struct Behaviour {
    seed: u64,
    faults: bool,
    requests: AtomicU64,
}

/// A server on a loopback address; it runs as long as the runtime. With `faults` a fifth of its replies is none.
pub(crate) async fn start(seed: u64, faults: bool) -> Result<String> {
    let behaviour = Arc::new(Behaviour { seed, faults, requests: AtomicU64::new(0) });
    let router = Router::new()
        .route("/v1/chat/completions", post(completions))
        .route("/v1/models", get(|| async { "{}" }))
        .layer(DefaultBodyLimit::disable())
        .with_state(behaviour);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(format!("http://{address}/v1"))
}

impl Behaviour {
    fn next(&self) -> Act {
        let request = self.requests.fetch_add(1, Ordering::Relaxed);
        if !self.faults {
            return Act::Answers;
        }
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        random.set_stream(request);
        let mut place = random.random_range(0..100_u32);
        for (act, share) in FAULTS {
            match place.checked_sub(share) {
                Some(rest) => place = rest,
                None => return act,
            }
        }
        Act::Answers
    }
}

async fn completions(State(behaviour): State<Arc<Behaviour>>, body: Bytes) -> Response {
    // The body is not parsed: this server is to cost as little as it can.
    let text = String::from_utf8_lossy(&body);
    let calls = text.contains(NEEDS_FULL) && text.matches("\"image_url\"").count() == 2;
    let words = if calls { CALL.to_owned() } else { format!("<answer>{ANSWER}</answer>") };
    match behaviour.next() {
        Act::Answers => events(Body::from(whole(&words))),
        Act::Slow => events(Body::from_stream(stream::iter(pieces(&words)).then(|piece| async move {
            tokio::time::sleep(Duration::from_millis(100)).await;
            Ok::<_, Infallible>(piece)
        }))),
        Act::Busy => plain(StatusCode::TOO_MANY_REQUESTS, Some("1"), "{\"error\": {\"message\": \"busy\"}}"),
        Act::Breaks => plain(StatusCode::INTERNAL_SERVER_ERROR, None, "<html>no</html>"),
        Act::Garbage => events(Body::from("data: <html>\n\n")),
        Act::Cuts => {
            let begun = pieces(&words).into_iter().take(2).map(Ok);
            events(Body::from_stream(stream::iter(begun.chain([Err(io::Error::other("cut"))]))))
        }
        Act::Hangs => {
            tokio::time::sleep(HANGING).await;
            plain(StatusCode::INTERNAL_SERVER_ERROR, None, "too late")
        }
    }
}

/// The events of a reply, one a Bytes.
fn pieces(words: &str) -> Vec<Bytes> {
    let event = |data: serde_json::Value| Bytes::from(format!("data: {data}\n\n"));
    vec![
        event(json!({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]})),
        event(json!({"choices": [{"index": 0, "delta": {"content": words}}]})),
        event(json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})),
        event(json!({"choices": [], "usage": {"prompt_tokens": 100, "completion_tokens": 9}})),
        Bytes::from_static(b"data: [DONE]\n\n"),
    ]
}

fn whole(words: &str) -> Vec<u8> {
    pieces(words).concat()
}

fn events(body: Body) -> Response {
    Response::builder().header("content-type", "text/event-stream").body(body).expect("the parts are fit")
}

fn plain(status: StatusCode, retry_after: Option<&'static str>, body: &'static str) -> Response {
    let mut response = Response::builder().status(status).header("content-type", "application/json");
    if let Some(secs) = retry_after {
        response = response.header("retry-after", secs);
    }
    response.body(Body::from(body)).expect("the parts are fit")
}

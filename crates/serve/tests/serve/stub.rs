//! An upstream server of a hundred lines, on a loopback address, that does what it is told.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::{get, post};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use visionthink_image::{DecodeOptions, RgbImage, decode};

pub(crate) const CALL: &str = "<think>too small</think>\n<tool_call>\n{\"name\": \"resize_image\", \"arguments\": {\"action\": \"resize\"}}\n</tool_call>";

/// What the server does with a request.
#[derive(Clone)]
pub(crate) enum Act {
    /// Says this, in chunks of three letters.
    Says(String),
    /// Calls the tool while it sees one image, and answers `42` when it sees two.
    Looks,
    /// Sends these deltas.
    Deltas(Vec<Value>),
    /// This status, this header, this body.
    Status(u16, &'static str, &'static str),
    /// Nothing, for longer than anybody waits.
    Hang,
    /// A chunk of thinking each 20 ms, for ever.
    Rambles,
    /// The beginning of a reply, and then the end of the connection.
    Cuts,
    /// A stream of events that are no chunks.
    Garbage,
}

#[derive(Clone, Default)]
struct Inner {
    acts: Arc<Mutex<VecDeque<Act>>>,
    requests: Arc<Mutex<Vec<(Value, HeaderMap)>>>,
    gone: Arc<AtomicUsize>,
}

/// A server that runs until its test ends.
pub(crate) struct Stub {
    pub(crate) url: String,
    inner: Inner,
}

/// Counts requests whose client did not wait for the end.
struct Leaving(Arc<AtomicUsize>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Stub {
    /// Does the acts in turn, and the last one for ever.
    pub(crate) async fn start(acts: impl IntoIterator<Item = Act>) -> Self {
        let inner = Inner { acts: Arc::new(Mutex::new(acts.into_iter().collect())), ..Inner::default() };
        let router = Router::new()
            .route("/v1/chat/completions", post(completions))
            .route("/v1/models", get(|| async { "{}" }))
            .layer(axum::extract::DefaultBodyLimit::disable())
            .with_state(inner.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, inner }
    }

    pub(crate) async fn says(text: &str) -> Self {
        Self::start([Act::Says(text.to_owned())]).await
    }

    pub(crate) fn requests(&self) -> Vec<Value> {
        self.inner.requests.lock().unwrap().iter().map(|(body, _)| body.clone()).collect()
    }

    pub(crate) fn headers(&self) -> Vec<HeaderMap> {
        self.inner.requests.lock().unwrap().iter().map(|(_, headers)| headers.clone()).collect()
    }

    /// Waits until so many clients have left before the end.
    pub(crate) async fn abandoned(&self, count: usize) {
        for _ in 0..1500 {
            if self.inner.gone.load(Ordering::SeqCst) >= count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{} clients have left, expected {count}", self.inner.gone.load(Ordering::SeqCst));
    }
}

/// The images of a request, decoded.
pub(crate) fn images(request: &Value) -> Vec<RgbImage> {
    urls(request)
        .iter()
        .map(|url| {
            let (_, data) = url.split_once(";base64,").unwrap();
            let bytes = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, data).unwrap();
            decode(&bytes, &DecodeOptions::default()).unwrap()
        })
        .collect()
}

pub(crate) fn urls(request: &Value) -> Vec<String> {
    let messages = request["messages"].as_array().unwrap();
    let parts = messages.iter().filter_map(|message| message["content"].as_array()).flatten();
    parts.filter_map(|part| part["image_url"]["url"].as_str().map(str::to_owned)).collect()
}

async fn completions(State(inner): State<Inner>, headers: HeaderMap, body: Bytes) -> Response {
    let request: Value = serde_json::from_slice(&body).unwrap();
    inner.requests.lock().unwrap().push((request.clone(), headers));
    let act = {
        let mut acts = inner.acts.lock().unwrap();
        if acts.len() > 1 { acts.pop_front().unwrap() } else { acts[0].clone() }
    };
    match act {
        Act::Says(text) => says(&text),
        Act::Looks if urls(&request).len() > 1 => says("<think>now I see</think>\n<answer> 42 </answer>"),
        Act::Looks => says(CALL),
        Act::Deltas(deltas) => reply(deltas, "stop"),
        Act::Status(status, header, body) => {
            let response = Response::builder().status(status).header("content-type", "application/json");
            let response = match header.split_once(": ") {
                Some((name, value)) => response.header(name, value),
                None => response,
            };
            response.body(Body::from(body)).unwrap()
        }
        Act::Hang => {
            let _leaving = Leaving(inner.gone.clone());
            tokio::time::sleep(Duration::from_mins(1)).await;
            says("too late")
        }
        Act::Rambles => {
            let leaving = Leaving(inner.gone.clone());
            let chunk = event(&json!({"choices": [{"index": 0, "delta": {"content": "x".repeat(64 << 10)}}]}));
            let first = event(&json!({"choices": [{"index": 0, "delta": {"content": "<think>"}}]}));
            let endless = stream::unfold((leaving, 0_u32), move |(leaving, count)| {
                let bytes = if count == 0 { first.clone() } else { chunk.clone() };
                async move {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    Some((Ok::<_, Infallible>(bytes), (leaving, count + 1)))
                }
            });
            events(Body::from_stream(endless))
        }
        Act::Cuts => {
            let begun = event(&json!({"choices": [{"index": 0, "delta": {"content": "<think>so far"}}]}));
            let chunks = stream::iter([Ok(begun), Err(io::Error::other("cut"))]);
            // The first chunk is on its way before the end comes.
            events(Body::from_stream(chunks.then(|chunk| async move {
                tokio::time::sleep(Duration::from_millis(50)).await;
                chunk
            })))
        }
        Act::Garbage => events(Body::from("data: <html>\n\n")),
    }
}

fn says(text: &str) -> Response {
    let letters: Vec<char> = text.chars().collect();
    reply(letters.chunks(3).map(|chunk| json!({"content": chunk.iter().collect::<String>()})).collect(), "stop")
}

/// 100 prompt tokens, 40 of them known; a token a delta.
fn reply(deltas: Vec<Value>, finish_reason: &str) -> Response {
    let tokens = deltas.len();
    let mut chunks = vec![event(&json!({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}))];
    chunks.extend(deltas.iter().enumerate().map(|(index, delta)| {
        event(&json!({"choices": [{"index": 0, "delta": delta, "token_ids": [index],
            "logprobs": {"content": [{"token": "t", "logprob": -0.5, "top_logprobs": []}]}}]}))
    }));
    chunks.push(event(&json!({"choices": [{"index": 0, "delta": {}, "finish_reason": finish_reason}]})));
    chunks.push(event(&json!({"choices": [], "usage": {"prompt_tokens": 100, "completion_tokens": tokens,
        "prompt_tokens_details": {"cached_tokens": 40}}})));
    chunks.push(Bytes::from_static(b"data: [DONE]\n\n"));
    events(Body::from_stream(stream::iter(chunks.into_iter().map(Ok::<_, Infallible>))))
}

fn event(data: &Value) -> Bytes {
    format!("data: {data}\n\n").into()
}

fn events(body: Body) -> Response {
    Response::builder().header("content-type", "text/event-stream; charset=utf-8").body(body).unwrap()
}

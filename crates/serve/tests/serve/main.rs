//! The server as a whole, in front of upstream servers that run here too, all on loopback addresses.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, the functions it calls too")]

mod answers;
#[cfg(unix)]
mod chromium;
mod connections;
mod crowded;
mod deploy;
mod description;
mod embedded;
mod fetching;
mod page;
mod requests;
mod stub;
mod trust;
mod upstreams;

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request};
use base64::Engine as _;
use serde_json::{Value, json};
use tower::ServiceExt;
use visionthink_image::RgbImage;
use visionthink_serve::ServeConfig;
use visionthink_serve::routes::{AppState, app};

use stub::Stub;

/// A run file with these servers.
fn config(stubs: &[&Stub]) -> ServeConfig {
    let text = "model = \"seer\"\nprofile = \"visionthink\"\nmode = \"adaptive\"\n".to_owned();
    let servers = stubs.iter().map(|stub| format!("[[upstream]]\nurl = \"{}\"\n", stub.url));
    let text: String = [text].into_iter().chain(servers).collect();
    toml::from_str(&text).unwrap()
}

fn server(stubs: &[&Stub]) -> Arc<AppState> {
    visionthink_serve::state(&config(stubs)).unwrap()
}

fn picture(width: u32, height: u32) -> Vec<u8> {
    let pixels = (0..width * height * 3).map(|value| (value * 7919 % 251) as u8).collect();
    RgbImage::new(width, height, pixels).unwrap().encode_png().unwrap()
}

fn data_url(bytes: &[u8]) -> String {
    format!("data:image/png;base64,{}", base64::engine::general_purpose::STANDARD.encode(bytes))
}

/// A question about one image of 112x56 pixels.
fn question(extra: Value) -> Value {
    question_about(&data_url(&picture(112, 56)), extra)
}

fn question_about(url: &str, extra: Value) -> Value {
    let content = json!([{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "What?"}]);
    let mut body = json!({"model": "seer", "messages": [{"role": "user", "content": content}]});
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    body
}

struct Reply {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The data of all events.
    fn events(&self) -> Vec<String> {
        let events = self.text.split("\n\n").filter(|event| !event.is_empty());
        events.map(|event| event.strip_prefix("data: ").unwrap().to_owned()).collect()
    }

    /// What the chunks of a stream say, and think.
    fn told(&self) -> (String, String) {
        let (mut content, mut reasoning) = (String::new(), String::new());
        for event in self.events().iter().filter(|event| *event != "[DONE]") {
            let chunk: Value = serde_json::from_str(event).unwrap();
            content += chunk["choices"][0]["delta"]["content"].as_str().unwrap_or_default();
            reasoning += chunk["choices"][0]["delta"]["reasoning_content"].as_str().unwrap_or_default();
        }
        (content, reasoning)
    }
}

async fn send(state: &Arc<AppState>, request: Request<Body>) -> Reply {
    let response = app(state.clone()).oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, usize::MAX).await.unwrap();
    Reply { status: parts.status.as_u16(), headers: parts.headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
}

async fn post(state: &Arc<AppState>, body: impl Into<Body>) -> Reply {
    send(state, Request::post("/v1/chat/completions").body(body.into()).unwrap()).await
}

async fn ask(state: &Arc<AppState>, body: &Value) -> Reply {
    post(state, body.to_string()).await
}

async fn get(state: &Arc<AppState>, path: &str) -> Reply {
    send(state, Request::get(path).body(Body::empty()).unwrap()).await
}

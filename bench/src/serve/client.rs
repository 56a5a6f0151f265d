//! Requests, as clients make them.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::client::legacy::Client as Pooled;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use visionthink_data::world::{Family, Split, draw_one};
use visionthink_image::RgbImage;

/// Longer than a server may take for anything.
const PATIENCE: Duration = Duration::from_mins(1);

/// A client with connections of its own.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pooled: Pooled<HttpConnector, Full<Bytes>>,
    address: String,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

impl Client {
    /// For a server whose completions are at `base/chat/completions`.
    pub(crate) fn new(base: &str) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self {
            pooled: Pooled::builder(TokioExecutor::new()).build(connector),
            address: format!("{base}/chat/completions"),
        }
    }

    /// Waits until `/ready` says so.
    pub(crate) async fn wait_until_ready(&self, base: &str) -> Result<()> {
        let address: Uri = format!("{}/ready", base.trim_end_matches("/v1")).parse()?;
        let ready = async {
            loop {
                match self.pooled.get(address.clone()).await {
                    Ok(response) if response.status().is_success() => return,
                    _ => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        };
        tokio::time::timeout(PATIENCE, ready).await.context("the server is not ready")
    }

    /// Posts a body and reads the whole reply.
    pub(crate) async fn post(&self, body: Bytes) -> Result<Reply> {
        let response = self.send(body).await?;
        let status = response.status();
        let read =
            tokio::time::timeout(PATIENCE, response.into_body().collect()).await.context("no end of the reply")?;
        Ok(Reply { status, body: read.context("the reply was cut")?.to_bytes() })
    }

    /// Posts a body, and leaves once the first bytes of the reply are there.
    pub(crate) async fn post_and_leave(&self, body: Bytes) -> Result<()> {
        let mut body = self.send(body).await?.into_body();
        let _ = tokio::time::timeout(PATIENCE, body.frame()).await.context("no beginning of the reply")?;
        Ok(())
    }

    async fn send(&self, body: Bytes) -> Result<hyper::Response<hyper::body::Incoming>> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(&self.address)
            .header("content-type", "application/json")
            .body(Full::new(body))?;
        let sent = tokio::time::timeout(PATIENCE, self.pooled.request(request)).await;
        Ok(sent.context("no reply")??)
    }
}

impl Reply {
    /// The text of a whole completion.
    pub(crate) fn answer(&self) -> Result<String> {
        let text = || String::from_utf8_lossy(&self.body).into_owned();
        if self.status != StatusCode::OK {
            bail!("status {}: {}", self.status, text());
        }
        let value: Value = serde_json::from_slice(&self.body).with_context(text)?;
        Ok(value["choices"][0]["message"]["content"].as_str().with_context(text)?.to_owned())
    }
}

/// A question about a picture.
pub(crate) fn body(question: &str, picture: &str, mode: &str, stream: bool) -> Bytes {
    let body = json!({
        "model": super::MODEL, "stream": stream, "visionthink": {"mode": mode},
        "messages": [{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": picture}}, {"type": "text", "text": question},
        ]}],
    });
    body.to_string().into()
}

/// The `data:` URL of a picture of the synthetic world, another one for each `index`.
pub(crate) fn small_picture(index: u64) -> Result<String> {
    data_url(&draw_one(Family::Document, Split::Test, 0, index).0)
}

/// The same of a picture of 1,024 by 1,024 pixels that is neither flat nor noise.
pub(crate) fn large_picture(index: u64) -> Result<String> {
    const SIDE: u32 = 1024;
    let shade = |x: u64, y: u64, channel: u64| ((x * (3 + channel) / 7 + y * y / 97 + index * 31) % 251) as u8;
    let pixels = (0..u64::from(SIDE)).flat_map(|y| (0..u64::from(SIDE)).map(move |x| (x, y)));
    let pixels = pixels.flat_map(|(x, y)| [0, 1, 2].map(|channel| shade(x / 4, y / 4, channel))).collect();
    data_url(&RgbImage::new(SIDE, SIDE, pixels)?)
}

pub(crate) fn data_url(image: &RgbImage) -> Result<String> {
    Ok(format!("data:image/png;base64,{}", STANDARD.encode(image.encode_png()?)))
}

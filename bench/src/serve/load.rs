//! Load, and how long its requests took.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::serve::client::Client;

/// Times of the requests of a run, sorted.
#[derive(Debug)]
pub(crate) struct Times {
    sorted: Vec<Duration>,
    pub(crate) wall: Duration,
}

impl Times {
    fn new(mut times: Vec<Duration>, wall: Duration) -> Self {
        times.sort();
        Self { sorted: times, wall }
    }

    /// In milliseconds; `share` is 0.5 for the median.
    pub(crate) fn percentile(&self, share: f64) -> f64 {
        let last = self.sorted.len().saturating_sub(1);
        let place = (share * last as f64).round() as usize;
        self.sorted.get(place).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
    }

    /// Requests a second.
    pub(crate) fn rate(&self) -> f64 {
        self.sorted.len() as f64 / self.wall.as_secs_f64()
    }
}

/// `bodies`, one at a time each `1 / rate` seconds whatever the replies do. A time counts from when the request was due: where the
/// load generator itself is late, that is not hidden.
///
/// # Errors
/// A request is not answered with `expected`.
pub(crate) async fn open_loop(client: &Client, bodies: Vec<Bytes>, rate: f64, expected: &'static str) -> Result<Times> {
    let began = Instant::now();
    let mut running = JoinSet::new();
    for (index, body) in bodies.into_iter().enumerate() {
        let due = began + Duration::from_secs_f64(index as f64 / rate);
        tokio::time::sleep_until(due).await;
        let client = client.clone();
        running.spawn(async move {
            answered(&client, body, expected).await?;
            Ok::<_, anyhow::Error>(due.elapsed())
        });
    }
    collect(running, began).await
}

/// `bodies` from `clients` clients, each of which asks again as soon as it is answered.
///
/// # Errors
/// As [`open_loop`].
pub(crate) async fn closed_loop(
    client: &Client,
    bodies: Vec<Bytes>,
    clients: usize,
    expected: &'static str,
) -> Result<Times> {
    let (bodies, next) = (Arc::new(bodies), Arc::new(AtomicUsize::new(0)));
    let began = Instant::now();
    let mut running = JoinSet::new();
    for _ in 0..clients {
        let (client, bodies, next) = (client.clone(), bodies.clone(), next.clone());
        running.spawn(async move {
            let mut times = Vec::new();
            while let Some(body) = bodies.get(next.fetch_add(1, Ordering::Relaxed)) {
                let asked = Instant::now();
                answered(&client, body.clone(), expected).await?;
                times.push(asked.elapsed());
            }
            Ok::<_, anyhow::Error>(times)
        });
    }
    let mut times = Vec::new();
    while let Some(found) = running.join_next().await {
        times.extend(found.context("a client ended")??);
    }
    Ok(Times::new(times, began.elapsed()))
}

async fn collect(mut running: JoinSet<Result<Duration>>, began: Instant) -> Result<Times> {
    let mut times = Vec::with_capacity(running.len());
    while let Some(found) = running.join_next().await {
        times.push(found.context("a request ended")??);
    }
    Ok(Times::new(times, began.elapsed()))
}

/// An empty `expected` takes any completion.
async fn answered(client: &Client, body: Bytes, expected: &str) -> Result<()> {
    let reply = client.post(body).await?;
    if expected.is_empty() && reply.status.is_success() {
        return Ok(());
    }
    let answer = reply.answer()?;
    if answer != expected && !expected.is_empty() {
        bail!("the answer is `{answer}`, expected `{expected}`");
    }
    Ok(())
}

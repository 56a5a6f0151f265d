//! Minutes of load with faults on both sides, and the server told to stop in the middle of it.
//!
//! Upstream servers break, cut, stall and refuse; clients leave, send what is no request, and ask well. What has to hold: every
//! request that is read to its end gets an answer or an error in OpenAI's shape, no connection is dropped, memory and file
//! descriptors do not grow, and SIGTERM lets what was accepted end.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use hyper_util::client::legacy::Error;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::serve::client::{Client, Reply, body, small_picture};
use crate::serve::process::Server;
use crate::serve::{path_text, runtime, stub, write_config};

const SEED: u64 = 7;
const CLIENTS: u64 = 24;
const PICTURES: u64 = 200;
/// Time for what is open when the server is told to stop, and what it has of its own.
const DRAIN_SECONDS: u64 = 20;
/// How much larger the server may be at the end than after a fifth of the time: caches and allocators settle in that range.
const GROWTH: f64 = 1.25;

/// Short times, so that faults come often; a server that failed is left alone for a moment only.
const SETTINGS: &str = "drain_timeout_secs = 20\nrequest_timeout_secs = 30\n[pool]\nfailures = 5\ncool_down_secs = 0.5\n\
    idle_timeout_secs = 2\nhealth_interval_secs = 1\nwait_timeout_secs = 10\n";

/// What came of the requests.
#[derive(Debug, Default)]
struct Outcomes {
    counts: BTreeMap<String, u64>,
    lost: Vec<String>,
}

impl Outcomes {
    fn count(&mut self, what: String) {
        *self.counts.entry(what).or_default() += 1;
    }
}

/// Runs for `minutes`; prints what came of it.
///
/// # Errors
/// Something that has to hold does not.
pub(crate) fn run(program: &Path, out: &Path, minutes: f64) -> Result<()> {
    fs_err::create_dir_all(out)?;
    runtime()?.block_on(soak(program, out, Duration::from_secs_f64(minutes * 60.0)))
}

async fn soak(program: &Path, out: &Path, length: Duration) -> Result<()> {
    let upstreams =
        [stub::start(SEED, true).await?, stub::start(SEED + 1, true).await?, stub::start(SEED + 2, false).await?];
    let urls: Vec<&str> = upstreams.iter().map(String::as_str).collect();
    let config = write_config(out, &urls, SETTINGS)?;
    let mut server = Server::start(program, &["--config", path_text(&config)?], &out.join("soak.log"))?;
    let pictures: Arc<Vec<String>> = Arc::new((0..PICTURES).map(small_picture).collect::<Result<_>>()?);

    let (stopping, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let (client, pictures) = (Client::new(&server.base), pictures.clone());
        clients.spawn(behave(number, client, pictures, stopping.clone(), sent.clone()));
    }
    let began = Instant::now();
    tokio::time::sleep(length / 5).await;
    let settled = (server.resident_bytes(), server.descriptors());
    tokio::time::sleep_until(began + length).await;
    let end = (server.resident_bytes(), server.descriptors());

    // Under load: whoever asks from here on may find nobody, whoever was accepted is answered.
    stopping.store(true, Ordering::SeqCst);
    let terminate = move || server.terminate(Duration::from_secs(DRAIN_SECONDS + 5));
    let status = tokio::task::spawn_blocking(terminate).await??;
    let mut all = Outcomes::default();
    while let Some(found) = clients.join_next().await {
        let Outcomes { counts, lost } = found.context("a client ended")?;
        for (what, count) in counts {
            *all.counts.entry(what).or_default() += count;
        }
        all.lost.extend(lost);
    }
    print(&all, began.elapsed(), &settled, &end);
    judge(&all, status, &settled, &end)
}

/// Memory in bytes and file descriptors.
type Held = (Option<u64>, Option<usize>);

fn print(all: &Outcomes, wall: Duration, settled: &Held, end: &Held) {
    let total: u64 = all.counts.values().sum();
    println!(
        "{total} requests in {:.0} s from {CLIENTS} clients, three upstream servers, two of them faulty",
        wall.as_secs_f64()
    );
    for (what, count) in &all.counts {
        println!("  {count:>8}  {what}");
    }
    println!("  {:>8}  lost", all.lost.len());
    let mib = |bytes: Option<u64>| bytes.map_or(f64::NAN, |bytes| bytes as f64 / f64::from(1 << 20));
    println!("memory {:.1} MiB after a fifth of the time, {:.1} at the end", mib(settled.0), mib(end.0));
    println!("file descriptors {:?}, then {:?}", settled.1, end.1);
}

fn judge(all: &Outcomes, status: Option<i32>, settled: &Held, end: &Held) -> Result<()> {
    if let Some(first) = all.lost.first() {
        bail!("{} requests got neither an answer nor an error in OpenAI's shape; the first: {first}", all.lost.len());
    }
    let count = |what: &str| all.counts.get(what).copied().unwrap_or(0);
    let total: u64 = all.counts.values().sum();
    if count("answered") + count("streamed") < total / 2 {
        bail!("{} of {total} requests were answered, expected at least half", count("answered") + count("streamed"));
    }
    if status != Some(0) {
        bail!("the server ended with {status:?} when it was told to stop, expected 0");
    }
    if let (Some(before), Some(after)) = (settled.0, end.0)
        && after as f64 > GROWTH * before as f64
    {
        bail!("memory grew from {before} to {after} bytes");
    }
    if let (Some(before), Some(after)) = (settled.1, end.1)
        && after > before + CLIENTS as usize
    {
        bail!("file descriptors grew from {before} to {after}");
    }
    Ok(())
}

/// One client, until it finds nobody because the server was told to stop.
async fn behave(
    number: u64,
    client: Client,
    pictures: Arc<Vec<String>>,
    stopping: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
) -> Outcomes {
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    random.set_stream(number);
    let mut outcomes = Outcomes::default();
    loop {
        let picture = &pictures[random.random_range(0..pictures.len())];
        let closely = if random.random_bool(0.5) { stub::NEEDS_FULL } else { "" };
        let question = format!("What number is on shape {}? {closely}", sent.fetch_add(1, Ordering::Relaxed));
        let kind = random.random_range(0..100_u32);
        let found = match kind {
            0..60 => whole(&client, body(&question, picture, "adaptive", false)).await,
            60..80 => streamed(&client, body(&question, picture, "adaptive", true)).await,
            80..88 => client
                .post_and_leave(body(&question, picture, "adaptive", true))
                .await
                .map(|()| "left in the middle".to_owned()),
            88..94 => refused(&client, Bytes::from_static(b"{\"model\": \"visionthink\", \"messages\": [")).await,
            _ => refused(&client, body(&question, "http://169.254.169.254/latest", "adaptive", false)).await,
        };
        match found {
            Ok(what) => outcomes.count(what),
            // A connection that could not be made because nobody listens any more was never accepted.
            Err(error) if stopping.load(Ordering::SeqCst) && refused_connection(&error) => {
                outcomes.count("not accepted any more".to_owned());
                return outcomes;
            }
            Err(error) => outcomes.lost.push(format!("{error:#}")),
        }
    }
}

/// Whether no connection came about: the server never had the request.
fn refused_connection(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.downcast_ref::<Error>().is_some_and(Error::is_connect))
}

async fn whole(client: &Client, body: Bytes) -> Result<String> {
    let reply = client.post(body).await?;
    if reply.status.is_success() {
        let answer = reply.answer()?;
        if answer != stub::ANSWER {
            bail!("the answer is `{answer}`, expected `{}`", stub::ANSWER);
        }
        return Ok("answered".to_owned());
    }
    typed(&reply, "refused or failed")
}

/// A stream ends with `[DONE]`, or with an error in the shape of one.
async fn streamed(client: &Client, body: Bytes) -> Result<String> {
    let reply = client.post(body).await?;
    if !reply.status.is_success() {
        return typed(&reply, "refused or failed");
    }
    let text = String::from_utf8_lossy(&reply.body);
    let events: Vec<&str> = text.split("\n\n").filter_map(|event| event.trim().strip_prefix("data: ")).collect();
    let is_error =
        |event: &&str| serde_json::from_str::<Value>(event).is_ok_and(|event| event["error"]["message"].is_string());
    if events.iter().any(is_error) {
        return Ok("streamed, ended by an error in the stream".to_owned());
    }
    if events.last() != Some(&"[DONE]") {
        bail!("a stream ended with {:?}", events.last());
    }
    let piece = |event: &&str| {
        Some(serde_json::from_str::<Value>(event).ok()?["choices"][0]["delta"]["content"].as_str()?.to_owned())
    };
    let answer: String = events.iter().filter_map(piece).collect();
    if answer != stub::ANSWER {
        bail!("the streamed answer is `{answer}`, expected `{}`", stub::ANSWER);
    }
    Ok("streamed".to_owned())
}

async fn refused(client: &Client, body: Bytes) -> Result<String> {
    let reply = client.post(body).await?;
    if !reply.status.is_client_error() && reply.status.as_u16() != 503 {
        bail!("what is no request got status {}", reply.status);
    }
    typed(&reply, "refused rightly")
}

/// An error in OpenAI's shape, counted by its status.
fn typed(reply: &Reply, what: &str) -> Result<String> {
    let value: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let error = &value["error"];
    if !(error["message"].is_string() && error["type"].is_string()) {
        bail!("status {} without an error object: {}", reply.status, String::from_utf8_lossy(&reply.body));
    }
    Ok(format!("{what}: {} {}", reply.status.as_u16(), error["type"].as_str().unwrap_or_default()))
}

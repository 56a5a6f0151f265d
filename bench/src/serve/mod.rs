//! The server under load: what the gateway adds to the server behind it, and whether its memory stays flat.
//!
//! The server is a process of its own; the load and the upstream stub share this one.

pub(crate) mod client;
pub(crate) mod embedded;
pub(crate) mod load;
pub(crate) mod process;
pub(crate) mod soak;
pub(crate) mod stub;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use bytes::Bytes;
use serde::Serialize;
use tokio::runtime::{Builder, Runtime};

use crate::measure::Row;
use client::{Client, body, large_picture, small_picture};
use load::{Times, closed_loop, open_loop};
use process::Server;

/// What the servers call their model.
pub(crate) const MODEL: &str = "visionthink";

/// Requests a second of the open loop.
const RATE: f64 = 200.0;
/// Requests of an open loop.
const REQUESTS: u64 = 2_000;
/// Large pictures are dear to make and to send.
const LARGE_REQUESTS: u64 = 200;
const LARGE_RATE: f64 = 10.0;
/// Requests over which memory is to stay flat, and those before that fill the image cache: 256 MiB of about 50 KiB each.
const LONG_RUN: u64 = 10_000;
const WARM_UP: u64 = 6_000;
/// Requests whose bodies exist at once.
const PART: u64 = 1_000;
const CLIENTS: usize = 16;

const QUESTION: &str = "What number is on the red shape?";

#[derive(Debug, Serialize)]
struct Report {
    program: &'static str,
    version: &'static str,
    rows: Vec<Row>,
}

pub(crate) fn runtime() -> Result<Runtime> {
    Builder::new_multi_thread().enable_all().build().context("threads")
}

/// Measures the gateway; `program` is `visionthink`, `out` gets `serve.toml`, `serve.log` and `visionthink.json`.
pub(crate) fn gateway(program: &Path, out: &Path) -> Result<()> {
    fs_err::create_dir_all(out)?;
    let rows = runtime()?.block_on(measure(program, out))?;
    println!(
        "the gateway in front of a server that answers at once; {RATE} requests/s, open loop, unless said otherwise"
    );
    for row in &rows {
        println!("  {:<44} {:>10.2} {}", row.name, row.value, row.unit);
    }
    let report = Report { program: "visionthink", version: env!("CARGO_PKG_VERSION"), rows };
    Ok(fs_err::write(out.join("visionthink.json"), serde_json::to_string_pretty(&report)? + "\n")?)
}

async fn measure(program: &Path, out: &Path) -> Result<Vec<Row>> {
    let upstream = stub::start(0, false).await?;
    let config = write_config(out, &[&upstream], "")?;
    let server = Server::start(program, &["--config", path_text(&config)?], &out.join("serve.log"))?;
    let (direct, through) = (Client::new(&upstream), Client::new(&server.base));
    let one = small_picture(0)?;
    let same = |mode: &str, question: &str| vec![body(question, &one, mode, false); REQUESTS as usize];
    let fresh = (0..REQUESTS)
        .map(|index| Ok(body(QUESTION, &small_picture(1 + index)?, "low", false)))
        .collect::<Result<Vec<Bytes>>>()?;
    let closely = format!("{QUESTION} {}", stub::NEEDS_FULL);

    let mut rows = Vec::new();
    open_loop(&direct, same("low", QUESTION), RATE, "").await?;
    let base = open_loop(&direct, same("low", QUESTION), RATE, "").await?;
    add(&mut rows, "upstream_directly", &base, None);
    for (name, bodies) in [
        ("gateway_one_turn", same("low", QUESTION)),
        ("gateway_one_turn_new_pictures", fresh),
        ("gateway_two_turns", same("adaptive", &closely)),
    ] {
        let times = open_loop(&through, bodies, RATE, stub::ANSWER).await?;
        add(&mut rows, name, &times, Some(&base));
    }
    let large = (0..LARGE_REQUESTS)
        .map(|index| Ok(body(QUESTION, &large_picture(index)?, "low", false)))
        .collect::<Result<Vec<Bytes>>>()?;
    let base = open_loop(&direct, large.clone(), LARGE_RATE, "").await?;
    add(&mut rows, "upstream_directly_1024px_10_a_second", &base, None);
    let times = open_loop(&through, large, LARGE_RATE, stub::ANSWER).await?;
    add(&mut rows, "gateway_new_1024px_10_a_second", &times, Some(&base));
    flat_memory(&server, &through, &mut rows).await?;
    Ok(rows)
}

/// Every request shows another picture, so that nothing but caches could grow, and those are bounded.
async fn flat_memory(server: &Server, through: &Client, rows: &mut Vec<Row>) -> Result<()> {
    let bodies = |range: std::ops::Range<u64>| {
        range
            .map(|index| Ok(body(QUESTION, &small_picture(100_000 + index)?, "low", false)))
            .collect::<Result<Vec<_>>>()
    };
    let mut before = None;
    let mut rate = 0.0;
    for start in (0..WARM_UP + LONG_RUN).step_by(PART as usize) {
        if start == WARM_UP {
            before = server.resident_bytes();
        }
        rate = closed_loop(through, bodies(start..start + PART)?, CLIENTS, stub::ANSWER).await?.rate();
    }
    rows.push(Row { name: format!("gateway_{CLIENTS}_clients_closed_loop"), unit: "requests/s", value: rate });
    if let (Some(before), Some(after)) = (before, server.resident_bytes()) {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        rows.push(Row { name: format!("memory_after_{WARM_UP}_requests"), unit: "MiB", value: mib(before) });
        rows.push(Row { name: format!("memory_after_{LONG_RUN}_more"), unit: "MiB", value: mib(after) });
    }
    Ok(())
}

fn add(rows: &mut Vec<Row>, name: &str, times: &Times, base: Option<&Times>) {
    for (word, share) in [("p50", 0.5), ("p99", 0.99)] {
        let value = times.percentile(share);
        rows.push(Row { name: format!("{name}_{word}"), unit: "ms", value });
        if let Some(base) = base {
            rows.push(Row { name: format!("{name}_added_{word}"), unit: "ms", value: value - base.percentile(share) });
        }
    }
}

/// A run file for a gateway in front of `upstreams`; `more` are further lines, sections included.
pub(crate) fn write_config(out: &Path, upstreams: &[&str], more: &str) -> Result<PathBuf> {
    let file = out.join("serve.toml");
    let mut text = format!(
        "model = \"{MODEL}\"\nprofile = \"compact\"\nmode = \"adaptive\"\n[server]\nlisten = \"127.0.0.1:0\"\n{more}"
    );
    for url in upstreams {
        text.extend(["[[upstream]]\nurl = \"", url, "\"\nmax_requests = 256\n"]);
    }
    fs_err::write(&file, text)?;
    Ok(file)
}

pub(crate) fn path_text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is not Unicode", path.display()))
}

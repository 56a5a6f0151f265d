//! The embedded engine behind the server: clients that ask again as soon as they are answered.

use std::path::Path;

use anyhow::Result;
use bytes::Bytes;
use serde::Serialize;
use visionthink_data::world::{Family, Split, draw_one};

use crate::measure::Row;
use crate::serve::client::{Client, body, data_url};
use crate::serve::load::closed_loop;
use crate::serve::process::Server;
use crate::serve::{path_text, runtime};

/// Requests of one measurement; each shows a picture of its own.
const REQUESTS: u64 = 600;
const WARM_UP: u64 = 64;
const CLIENTS: [usize; 3] = [1, 8, 32];

#[derive(Debug, Serialize)]
struct Report {
    program: &'static str,
    version: &'static str,
    rows: Vec<Row>,
}

/// Measures `program serve` with the embedded model, and the same without batching.
pub(crate) fn measure(program: &Path, out: &Path) -> Result<()> {
    fs_err::create_dir_all(out)?;
    let mut rows = Vec::new();
    for (batching, max_rows) in [("batched", 32), ("one_at_a_time", 1)] {
        let config = out.join(format!("{batching}.toml"));
        fs_err::write(&config, text(max_rows))?;
        let server = Server::start(program, &["--config", path_text(&config)?], &out.join(format!("{batching}.log")))?;
        runtime()?.block_on(of_server(&server, batching, &mut rows))?;
    }
    println!("the embedded model behind the server, closed loop, {REQUESTS} requests each, half of them hard");
    for row in &rows {
        println!("  {:<44} {:>10.2} {}", row.name, row.value, row.unit);
    }
    let report = Report { program: "visionthink", version: env!("CARGO_PKG_VERSION"), rows };
    Ok(fs_err::write(out.join("embedded.json"), serde_json::to_string_pretty(&report)? + "\n")?)
}

fn text(max_rows: usize) -> String {
    format!(
        "model = \"{}\"\nprofile = \"compact\"\nmode = \"adaptive\"\n[server]\nlisten = \"127.0.0.1:0\"\n[engine]\n\
         model = \"micro\"\ndevice = \"cpu\"\ntemperature = 0.0\nmax_tokens = 64\n[schedule]\nmax_rows = {max_rows}\n",
        super::MODEL
    )
}

async fn of_server(server: &Server, batching: &str, rows: &mut Vec<Row>) -> Result<()> {
    let client = Client::new(&server.base);
    client.wait_until_ready(&server.base).await?;
    let mut next = 0;
    for mode in ["adaptive", "full"] {
        let mut take = |count: u64| {
            next += count;
            (next - count..next).map(|index| question(index, mode)).collect::<Result<Vec<_>>>()
        };
        closed_loop(&client, take(WARM_UP)?, 8, "").await?;
        for clients in CLIENTS {
            let times = closed_loop(&client, take(REQUESTS)?, clients, "").await?;
            let name = format!("{batching}_{mode}_{clients}_clients");
            rows.push(Row { name: name.clone(), unit: "requests/s", value: times.rate() });
            for (word, share) in [("p50", 0.5), ("p99", 0.99)] {
                rows.push(Row { name: format!("{name}_{word}"), unit: "ms", value: times.percentile(share) });
            }
        }
    }
    Ok(())
}

fn question(index: u64, mode: &str) -> Result<Bytes> {
    let family = Family::ALL[index as usize % Family::ALL.len()];
    let (image, asked) = draw_one(family, Split::Test, 3, index);
    Ok(body(&asked.question, &data_url(&image)?, mode, false))
}

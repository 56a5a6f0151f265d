//! What is written and printed.

use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use crate::limits::Limits;
use crate::measure::{LoadMemory, Measured, Row, Sizes, TurnTokens};
use crate::workload::Workload;

/// The report, as `visionthink.json` holds it.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    program: &'static str,
    version: &'static str,
    checkpoint: String,
    threads: usize,
    rows: Vec<Row>,
    limits: Limits,
    ratios: Vec<Ratio>,
    sizes: Sizes,
    load: LoadMemory,
    second_turn: SecondTurn,
}

/// How near a row is to a limit.
#[derive(Debug, Serialize)]
struct Ratio {
    name: &'static str,
    value: f64,
    meaning: String,
}

#[derive(Debug, Serialize)]
struct SecondTurn {
    cache_kept: TurnTokens,
    prefilled_again: TurnTokens,
}

impl Report {
    pub(crate) fn new(workload: &Workload, measured: Measured, limits: Limits) -> Self {
        let ratios = ratios(&measured, limits);
        Self {
            program: "visionthink",
            version: env!("CARGO_PKG_VERSION"),
            checkpoint: workload.checkpoint.display().to_string(),
            threads: workload.threads,
            rows: measured.rows,
            limits,
            ratios,
            sizes: measured.sizes,
            load: measured.load,
            second_turn: SecondTurn { cache_kept: measured.cache_kept, prefilled_again: measured.prefilled_again },
        }
    }

    pub(crate) fn write(&self, file: &Path) -> Result<()> {
        Ok(fs_err::write(file, serde_json::to_string_pretty(self)? + "\n")?)
    }

    pub(crate) fn print(&self) {
        let Sizes { parameters, bytes, .. } = self.sizes;
        println!("{}: {:.1} M parameters, f32, {} threads", self.checkpoint, parameters as f64 / 1e6, self.threads);
        for row in &self.rows {
            println!("  {:<28} {:>11.1} {}", row.name, row.value, row.unit);
        }
        println!("limits of this machine, measured in the same run");
        println!("  {:<28} {:>11.1} GB/s", "memory_read", self.limits.memory_read_gb_s);
        println!("  {:<28} {:>11.1} GFLOP/s", "gemm_f32", self.limits.gemm_f32_gflop_s);
        for ratio in &self.ratios {
            println!("  {:<28} {:>11.2} {}", ratio.name, ratio.value, ratio.meaning);
        }
        let SecondTurn { cache_kept, prefilled_again } = &self.second_turn;
        println!(
            "second turn: {} tokens prefilled and {} reused with the cache kept, {} prefilled without",
            cache_kept.prefilled, cache_kept.reused, prefilled_again.prefilled
        );
        if let Some(peak) = self.load.peak_bytes {
            println!(
                "loading: peak {:.0} MiB; weights {:.0} MiB, largest file {:.0} MiB",
                mib(peak),
                mib(bytes as u64),
                mib(self.load.largest_shard_bytes)
            );
        }
    }
}

fn ratios(measured: &Measured, limits: Limits) -> Vec<Ratio> {
    let value = |name: &str| measured.rows.iter().find(|row| row.name == name).map(|row| row.value);
    let sizes = measured.sizes;
    let mut ratios = Vec::new();
    if let Some(rate) = value("decode_batch_1") {
        ratios.push(Ratio {
            name: "decode_batch_1/memory_read",
            value: rate * sizes.decode_bytes as f64 / 1e9 / limits.memory_read_gb_s,
            meaning: format!("weights read a token: {:.0} MiB", mib(sizes.decode_bytes as u64)),
        });
    }
    if let Some(rate) = value("prefill") {
        ratios.push(Ratio {
            name: "prefill/gemm_f32",
            value: rate * sizes.prefill_flop / 1e9 / limits.gemm_f32_gflop_s,
            meaning: "products with the decoder's weights only".to_owned(),
        });
    }
    if let Some(ms) = value("vision_tower") {
        ratios.push(Ratio {
            name: "vision_tower/gemm_f32",
            value: sizes.patches as f64 * sizes.patch_flop / (ms / 1e3) / 1e9 / limits.gemm_f32_gflop_s,
            meaning: format!("products with the blocks' weights only, {} patches", sizes.patches),
        });
    }
    if let Some(peak) = measured.load.peak_bytes {
        let allowed = sizes.bytes as u64 + measured.load.largest_shard_bytes;
        ratios.push(Ratio {
            name: "load_peak/allowed",
            value: peak as f64 / allowed as f64,
            meaning: "allowed: the weights in f32 and the largest file".to_owned(),
        });
    }
    ratios
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

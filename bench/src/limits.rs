//! What this machine can do at best, with the threads that the network uses.

use std::hint::black_box;
use std::time::Instant;

use anyhow::Result;
use burn::Tensor;
use burn::tensor::{Device, Distribution};
use rayon::prelude::*;
use serde::Serialize;

/// Bytes read in one pass: beyond any cache.
const STREAM_BYTES: usize = 1 << 29;
/// Side of the square matrices; the product is about compute, not memory.
const GEMM_SIDE: usize = 1536;
const REPEATS: usize = 7;

/// The machine.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Limits {
    /// Streaming read, 10^9 bytes a second.
    pub(crate) memory_read_gb_s: f64,
    /// Product of two square f32 matrices, 10^9 operations a second.
    pub(crate) gemm_f32_gflop_s: f64,
}

/// Measures both; the best of several runs, since a limit is what can be reached.
pub(crate) fn measure(device: &Device) -> Result<Limits> {
    Ok(Limits { memory_read_gb_s: memory_read(), gemm_f32_gflop_s: gemm(device)? })
}

fn memory_read() -> f64 {
    let numbers = vec![1.0_f32; STREAM_BYTES / size_of::<f32>()];
    let share = numbers.len().div_ceil(rayon::current_num_threads());
    let seconds = best_seconds(|| {
        let sum: f32 = numbers.par_chunks(share).map(sum_of).sum();
        black_box(sum);
    });
    STREAM_BYTES as f64 / seconds / 1e9
}

/// Sums in many independent lanes: one lane would wait for its own additions, not for memory.
fn sum_of(numbers: &[f32]) -> f32 {
    const LANES: usize = 64;
    let mut lanes = [0.0_f32; LANES];
    for chunk in numbers.as_chunks::<LANES>().0 {
        for (lane, number) in lanes.iter_mut().zip(chunk) {
            *lane += number;
        }
    }
    lanes.iter().sum()
}

fn gemm(device: &Device) -> Result<f64> {
    let matrix = || Tensor::<2>::random([GEMM_SIDE, GEMM_SIDE], Distribution::Uniform(-1.0, 1.0), device);
    let (a, b) = (matrix(), matrix());
    let mut outcome = Ok(());
    let seconds = best_seconds(|| {
        let product = a.clone().matmul(b.clone());
        black_box(&product);
        if let Err(error) = device.sync() {
            outcome = Err(anyhow::anyhow!("the device failed: {error}"));
        }
    });
    outcome?;
    Ok(2.0 * (GEMM_SIDE as f64).powi(3) / seconds / 1e9)
}

fn best_seconds(mut call: impl FnMut()) -> f64 {
    call();
    let mut best = f64::INFINITY;
    for _ in 0..REPEATS {
        let start = Instant::now();
        call();
        best = best.min(start.elapsed().as_secs_f64());
    }
    best
}

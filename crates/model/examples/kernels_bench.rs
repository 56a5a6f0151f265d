//! Times each kernel against the composition of burn's operations: `kernels_bench [NAME [x]]`; with a second argument
//! the kernels alone. CPU time is what counts on a machine that does other work too.
#![expect(clippy::print_stdout, reason = "a program, not a library")]

use std::time::Instant;

use burn::Tensor;
use burn::tensor::{Device, Distribution, Int};
use visionthink_model::kernels::{AttentionMask, attention, composed, cross_entropy_rows, rms_norm, rope, silu_mul};

/// CPU time of all threads so far, where the system tells it.
fn cpu_seconds() -> Option<f64> {
    let mut total = 0.0;
    for task in std::fs::read_dir("/proc/self/task").ok()? {
        let text = fs_err::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        total += text.split(' ').next()?.parse::<f64>().ok()? * 1e-9;
    }
    Some(total)
}

/// Milliseconds by the clock (the fastest run) and of CPU time (the mean run of the best of five batches).
fn measure(mut function: impl FnMut()) -> [f64; 2] {
    let start = Instant::now();
    function();
    let runs = (0.15 / start.elapsed().as_secs_f64()).ceil().clamp(1.0, 1000.0);
    let (mut wall, mut cpu) = (f64::MAX, f64::MAX);
    for _ in 0..5 {
        let begin = cpu_seconds();
        for _ in 0..runs as usize {
            let start = Instant::now();
            function();
            wall = wall.min(start.elapsed().as_secs_f64());
        }
        let end = cpu_seconds();
        cpu = cpu.min(end.zip(begin).map_or(f64::NAN, |(end, begin)| (end - begin) / runs));
    }
    [wall * 1e3, cpu * 1e3]
}

fn report(name: &str, mut function: impl FnMut()) {
    let filter = std::env::args().nth(1).unwrap_or_default();
    if !name.contains(&filter) {
        return;
    }
    let [fused_wall, fused] = measure(&mut function);
    if std::env::args().nth(2).is_some() {
        println!("{name:<60} {fused_wall:9.3} {fused:9.3}");
        return;
    }
    let [wall, cpu] = measure(|| composed(&mut function));
    println!(
        "{name:<60} {fused_wall:9.3} {wall:9.3} x{:<5.1} {fused:9.3} {cpu:9.3} x{:.1}",
        wall / fused_wall,
        cpu / fused
    );
}

/// Forward alone on the plain device, then forward and backward.
fn both<const N: usize, const D: usize, const R: usize>(
    name: &str,
    shapes: [[usize; D]; N],
    function: impl Fn([Tensor<D>; N]) -> Tensor<R>,
) {
    let device = Device::flex();
    let random =
        |device: &Device| shapes.map(|shape| Tensor::<D>::random(shape, Distribution::Normal(0.0, 1.0), device));
    let inputs = random(&device);
    report(&format!("{name} forward"), || {
        std::hint::black_box(function(inputs.clone()));
    });
    let inputs = random(&device.autodiff()).map(Tensor::require_grad);
    report(&format!("{name} forward+backward"), || {
        std::hint::black_box(function(inputs.clone()).backward());
    });
}

fn attend(name: &str, [batch, heads, groups, queries, keys, width]: [usize; 6], causal: bool) {
    let mask = if causal { AttentionMask::causal(vec![true; batch * keys]) } else { AttentionMask::full() };
    let shapes = [[batch, queries, heads, width], [batch, keys, groups, width], [batch, keys, groups, width]];
    both(&format!("attention {name} {batch}x{heads}/{groups}x{queries}x{keys}x{width}"), shapes, |inputs| {
        let [q, k, v] = inputs.map(|input| input.swap_dims(1, 2));
        attention(q, k, v, &mask, 0.2)
    });
}

fn main() {
    println!("{:2} threads, ms{:48}wall fused, composed        CPU fused, composed", rayon::current_num_threads(), "");
    attend("vision", [64, 4, 4, 64, 64, 32], false);
    attend("decoder", [64, 5, 1, 130, 130, 32], true);
    attend("decoder192", [64, 6, 2, 130, 130, 32], true);
    attend("prefill", [1, 16, 2, 1000, 1000, 128], true);
    attend("prefill-vision", [1, 16, 16, 1024, 1024, 80], false);
    for batch in [1, 8, 16] {
        attend("decode-micro", [batch, 5, 1, 1, 200, 32], true);
        attend("decode-3b", [batch, 16, 2, 1, 2000, 128], true);
    }
    for [rows, width] in [[8320, 160], [4096, 128], [64, 160], [1, 160], [1000, 2048]] {
        let weight = Tensor::<1>::ones([width], &Device::flex());
        let tracked = Tensor::<1>::ones([width], &Device::flex().autodiff()).require_grad();
        both(&format!("rms_norm {rows}x{width}"), [[1, rows, width]], |[x]| {
            let weight = if x.device().is_autodiff() { tracked.clone() } else { weight.clone() };
            rms_norm(x, weight, 1e-6)
        });
    }
    for [rows, width] in [[8320, 416], [4096, 256], [16, 416], [1, 416], [1000, 11008]] {
        both(&format!("silu_mul {rows}x{width}"), [[1, rows, width]; 2], |[gate, up]| silu_mul(gate, up));
    }
    for [batch, tokens, heads, width] in
        [[64, 130, 5, 32], [64, 130, 1, 32], [1, 4096, 4, 32], [16, 1, 5, 32], [1, 1000, 16, 128]]
    {
        let angles = Tensor::<3>::random([batch, tokens, width / 2], Distribution::Default, &Device::flex());
        let (cos, sin) = (angles.clone().cos(), angles.sin());
        both(&format!("rope {batch}x{tokens}x{heads}x{width}"), [[batch, tokens, heads, width]], |[x]| {
            // As behind a projection: a tensor that nobody else holds.
            rope((x * 1.5).swap_dims(1, 2), cos.clone(), sin.clone())
        });
    }
    for [rows, width] in [[1600, 320], [8320, 320], [256, 151_936]] {
        let targets: Vec<i64> = (0..rows as i64).map(|row| row % width as i64).collect();
        let targets = Tensor::<1, Int>::from_ints(targets.as_slice(), &Device::flex());
        both(&format!("cross_entropy {rows}x{width}"), [[rows, width]], |[logits]| {
            // As behind the head: a tensor that nobody else holds.
            cross_entropy_rows(logits * 1.5, targets.clone())
        });
    }
}

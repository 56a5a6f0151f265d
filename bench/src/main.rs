//! Speed and memory of the network and the engine, beside the limits of the machine measured in the same run.
//!
//! `cargo xtask bench` runs it and, where the Python environment of `bench/peers` exists, transformers on the same
//! work. [`workload`] says what the work is, [`measure`] does it, [`limits`] measures the machine, [`report`] prints.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for a terminal")]

mod checkpoint;
mod limits;
mod measure;
mod memory;
mod report;
mod rl;
mod saved;
mod serve;
mod workload;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use burn::tensor::Device;

use measure::Bench;
use report::Report;
use workload::Workload;

const USAGE: &str = "\
usage: visionthink-bench run CHECKPOINT OUT     measure a checkpoint; OUT gets `workload.json` and `visionthink.json`
       visionthink-bench rl ROOT OUT            measure a step of GRPO as the repository in ROOT ships it; OUT as for `run`
       visionthink-bench gateway PROGRAM OUT    measure what `PROGRAM serve` adds to the server behind it; OUT as for `run`
       visionthink-bench embedded PROGRAM OUT   measure the embedded model behind `PROGRAM serve`
       visionthink-bench soak PROGRAM OUT MINUTES
                                                load with faults on both sides of `PROGRAM serve`; fails where a request is lost
       visionthink-bench make FOLDER            write the random 0.15 B checkpoint; nothing is done where it is
       visionthink-bench save CHECKPOINT OUT [ADAPTER]
                                                save a checkpoint again, and an adapter of it, with values computed from
                                                them, for `bench/peers/load_saved.py`
";

fn main() -> ExitCode {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let outcome = match arguments.as_slice() {
        [command, checkpoint, out] if command == Path::new("run") => run(checkpoint, out),
        [command, root, out] if command == Path::new("rl") => rl::run(root, out),
        [command, program, out] if command == Path::new("gateway") => serve::gateway(program, out),
        [command, program, out] if command == Path::new("embedded") => serve::embedded::measure(program, out),
        [command, program, out, minutes] if command == Path::new("soak") => soak(program, out, minutes),
        [command, folder] if command == Path::new("make") => checkpoint::make(folder),
        [command, checkpoint, out] if command == Path::new("save") => saved::save(checkpoint, out, None),
        [command, checkpoint, out, adapter] if command == Path::new("save") => {
            saved::save(checkpoint, out, Some(adapter))
        }
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn soak(program: &Path, out: &Path, minutes: &Path) -> Result<()> {
    let minutes = minutes.to_str().and_then(|text| text.parse().ok()).filter(|minutes: &f64| *minutes > 0.0);
    serve::soak::run(program, out, minutes.context("MINUTES is a number above 0")?)
}

fn run(checkpoint: &Path, out: &Path) -> Result<()> {
    let device = Device::flex();
    fs_err::create_dir_all(out)?;
    let workload = Workload::new(checkpoint, out)?;
    workload.write(&out.join("workload.json"))?;

    let mut bench = Bench::load(&workload, &device)?;
    let measured = bench.run()?;
    // Last: its buffers are larger than a small model, and peak memory has been read by now.
    let limits = limits::measure(&device)?;

    let report = Report::new(&workload, measured, limits);
    report.write(&out.join("visionthink.json"))?;
    report.print();
    Ok(())
}

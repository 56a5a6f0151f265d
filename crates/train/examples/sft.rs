//! Trains as a run file says: `cargo run --release -p visionthink-train --example sft -- configs/micro-sft.toml [--resume]`.
#![expect(clippy::print_stderr, reason = "a program, not a library")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

use burn::tensor::Device;
use visionthink_train::{Event, Start, TrainConfig, TrainError, train};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(file) = arguments.next().map(PathBuf::from) else {
        eprintln!("usage: sft RUN.toml [--resume]");
        return ExitCode::from(2);
    };
    let start = if arguments.next().as_deref() == Some("--resume") { Start::Resume } else { Start::Fresh };
    match run(&file, start) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(file: &std::path::Path, start: Start) -> Result<(), TrainError> {
    let config = TrainConfig::from_file(file)?;
    let stop = AtomicBool::new(false);
    let report = train(&config, &Device::flex(), start, &stop, &mut show)?;
    eprintln!(
        "{} of {} steps in {:.0} s, saved in {}",
        report.step,
        report.total_steps,
        report.seconds,
        report.checkpoint.display()
    );
    Ok(())
}

fn show(event: Event<'_>) {
    match event {
        Event::Started { from_step, total_steps, parameters, .. } => {
            eprintln!("{parameters} parameters, steps {from_step} to {total_steps}");
        }
        Event::Step { .. } => {}
        Event::Logged(record) => {
            let scalars: Vec<String> =
                record.scalars.iter().map(|(name, value)| format!("{name} {value:.4}")).collect();
            eprintln!("step {}  {}", record.step, scalars.join("  "));
        }
        Event::Evaluated(evaluation) => {
            for (name, share) in evaluation.by_topic.iter().chain(&evaluation.by_need) {
                eprintln!("    {name} {:.3} of {}", share.value(), share.of);
            }
            eprintln!("    resize probability {:?}", evaluation.resize_probability);
        }
        Event::Saved(folder) => eprintln!("saved {}", folder.display()),
    }
}

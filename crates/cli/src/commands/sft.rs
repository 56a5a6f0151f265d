//! `visionthink sft`: training by imitation, as a person watches it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::ProgressBar;
use visionthink_train::{Event, Record, Start, TrainConfig, TrainError, train};

use crate::args::SftArguments;
use crate::failure::Failure;
use crate::output;
use crate::progress;

pub(crate) fn run(arguments: &SftArguments) -> anyhow::Result<()> {
    let config = read(&arguments.config)?;
    let (device, _) = arguments.device.open()?;
    let stop = Arc::new(AtomicBool::new(false));
    let asked = stop.clone();
    ctrlc::set_handler(move || {
        // A second Ctrl-C does not wait for the step: the last checkpoint stands.
        if asked.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    })?;
    let start = if arguments.resume { Start::Resume } else { Start::Fresh };
    let bar = progress::bar(config.total_steps(), "training");
    let report = train(&config, &device, start, &stop, &mut |event| show(&bar, &event))?;
    bar.finish_and_clear();
    output::line(&format!(
        "step {} of {}, checkpoint {}",
        report.step,
        report.total_steps,
        report.checkpoint.display()
    ))?;
    if report.step < report.total_steps {
        let resume = format!("visionthink sft --config {} --resume", arguments.config.display());
        return Err(Failure::failed("stopped before the end; everything is saved")
            .hint(format!("go on with `{resume}`"))
            .into());
    }
    Ok(())
}

/// Reads a run file; anything wrong in it is the caller's to mend.
pub(crate) fn read(path: &Path) -> anyhow::Result<TrainConfig> {
    TrainConfig::from_file(path).map_err(|error| match error {
        TrainError::Config { .. } => Failure::usage(error.to_string()).into(),
        other => other.into(),
    })
}

fn show(bar: &ProgressBar, event: &Event<'_>) {
    match event {
        Event::Started { from_step, total_steps, parameters } => {
            bar.set_position(*from_step);
            say(bar, &format!("{parameters} parameters, {total_steps} steps"));
        }
        Event::Step { step, .. } => bar.set_position(*step),
        Event::Logged(record) => say(bar, &scalars(record)),
        Event::Evaluated(evaluation) => say(bar, &scalars(&evaluation.record())),
        Event::Saved(path) => tracing::info!("saved {}", path.display()),
    }
}

/// Names with their values on one line.
fn scalars(record: &Record) -> String {
    let values: Vec<String> = record.scalars.iter().map(|(name, value)| format!("{name} {value:.4}")).collect();
    format!("step {}: {}", record.step, values.join(", "))
}

/// A line above the bar, or a plain line where there is no terminal.
#[expect(clippy::print_stderr, reason = "progress goes to stderr")]
fn say(bar: &ProgressBar, line: &str) {
    if bar.is_hidden() {
        eprintln!("{line}");
    } else {
        bar.println(line);
    }
}

//! `visionthink sft`: training by imitation, as a person watches it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::ProgressBar;
use visionthink_train::{Evaluation, Event, Record, Start, TrainConfig, TrainError, train};

use crate::args::SftArguments;
use crate::failure::Failure;
use crate::output;
use crate::progress;

pub(crate) fn run(arguments: &SftArguments) -> anyhow::Result<()> {
    let config = read(&arguments.config)?;
    let (device, _) = arguments.device.open()?;
    let stop = Arc::new(AtomicBool::new(false));
    stop_on_ctrl_c(stop.clone())?;
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

/// Ends the run behind the current step.
pub(crate) fn stop_on_ctrl_c(stop: Arc<AtomicBool>) -> Result<(), ctrlc::Error> {
    ctrlc::set_handler(move || {
        // A second Ctrl-C does not wait for the step: the last checkpoint stands.
        if stop.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    })
}

/// Reads a run file; anything wrong in it is the caller's to mend.
pub(crate) fn read(path: &Path) -> anyhow::Result<TrainConfig> {
    TrainConfig::from_file(path).map_err(refused)
}

/// A run file that cannot be used is wrong usage.
pub(crate) fn refused(error: TrainError) -> anyhow::Error {
    match error {
        TrainError::Config { .. } => Failure::usage(error.to_string()).into(),
        TrainError::Io(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Failure::usage(error.to_string()).into()
        }
        other => other.into(),
    }
}

fn show(bar: &ProgressBar, event: &Event<'_>) {
    match event {
        Event::Started { from_step, total_steps, parameters } => {
            bar.set_position(*from_step);
            progress::say(bar, &format!("{parameters} parameters, {total_steps} steps"));
        }
        Event::Step { step, .. } => bar.set_position(*step),
        Event::Logged(record) => progress::say(bar, &scalars(record)),
        Event::Evaluated(evaluation) => progress::say(bar, &totals(evaluation)),
        Event::Saved(path) => tracing::info!("saved {}", path.display()),
    }
}

/// Names with their values on one line.
fn scalars(record: &Record) -> String {
    let values: Vec<String> = record.scalars.iter().map(|(name, value)| format!("{name} {value:.4}")).collect();
    format!("step {}: {}", record.step, values.join(", "))
}

/// What a person watches of an evaluation; every topic is in `metrics.jsonl`.
fn totals(evaluation: &Evaluation) -> String {
    let values: Vec<String> =
        evaluation.by_need.iter().map(|(name, share)| format!("{name} {:.3}", share.value())).collect();
    format!("step {}: held out: {}", evaluation.step, values.join(", "))
}

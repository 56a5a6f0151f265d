//! `visionthink grpo`: training by reinforcement, as a person watches it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use indicatif::ProgressBar;
use visionthink_train::grpo::{GrpoConfig, GrpoEvent, train_policy};
use visionthink_train::{Record, Start};

use crate::args::GrpoArguments;
use crate::commands::sft::{refused, stop_on_ctrl_c};
use crate::failure::Failure;
use crate::output;
use crate::progress;

pub(crate) fn run(arguments: &GrpoArguments) -> anyhow::Result<()> {
    let config = read(&arguments.config)?;
    let (device, _) = arguments.device.open()?;
    let stop = Arc::new(AtomicBool::new(false));
    stop_on_ctrl_c(stop.clone())?;
    let start = if arguments.resume { Start::Resume } else { Start::Fresh };
    let bar = progress::bar(config.rollout.steps, "training");
    let report = train_policy(&config, &device, start, &stop, &mut |event| show(&bar, &event))?;
    bar.finish_and_clear();
    output::line(&format!(
        "step {} of {}, checkpoint {}",
        report.step,
        report.total_steps,
        report.checkpoint.display()
    ))?;
    if report.step < report.total_steps {
        let resume = format!("visionthink grpo --config {} --resume", arguments.config.display());
        return Err(Failure::failed("stopped before the end; everything is saved")
            .hint(format!("go on with `{resume}`"))
            .into());
    }
    Ok(())
}

/// Reads a run file; anything wrong in it is the caller's to mend.
pub(crate) fn read(path: &Path) -> anyhow::Result<GrpoConfig> {
    GrpoConfig::from_file(path).map_err(refused)
}

fn show(bar: &ProgressBar, event: &GrpoEvent<'_>) {
    match event {
        GrpoEvent::Started { from_step, total_steps, parameters } => {
            bar.set_position(*from_step);
            progress::say(bar, &format!("{parameters} parameters, {total_steps} steps"));
        }
        GrpoEvent::Step { step, .. } => bar.set_position(*step),
        GrpoEvent::Logged(record) => progress::say(bar, &line(record, LOGGED)),
        GrpoEvent::Evaluated(evaluation) => progress::say(bar, &line(&evaluation.record(), EVALUATED)),
        GrpoEvent::Saved(path) => tracing::info!("saved {}", path.display()),
    }
}

/// What a person watches; the rest is in `metrics.jsonl`.
const LOGGED: &[(&str, &str)] = &[
    ("train/reward", "reward"),
    ("train/accuracy", "right"),
    ("train/calls/easy", "calls easy"),
    ("train/calls/hard", "calls hard"),
    ("train/visual_tokens", "visual tokens"),
    ("policy/entropy", "entropy"),
    ("policy/kl", "KL"),
    ("groups/effective", "groups"),
    ("seconds/rollout", "rollout s"),
    ("seconds/update", "update s"),
];

const EVALUATED: &[(&str, &str)] = &[
    ("eval/adaptive/accuracy", "held out: right"),
    ("eval/full/accuracy", "in full"),
    ("eval/adaptive/calls/easy", "calls easy"),
    ("eval/adaptive/calls/hard", "calls hard"),
    ("eval/adaptive/visual_tokens", "visual tokens"),
];

fn line(record: &Record, names: &[(&str, &str)]) -> String {
    let values: Vec<String> =
        names.iter().filter_map(|(key, name)| record.get(key).map(|value| format!("{name} {value:.3}"))).collect();
    format!("step {}: {}", record.step, values.join(", "))
}

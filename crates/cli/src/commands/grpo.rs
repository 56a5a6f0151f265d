//! `visionthink grpo`: training by reinforcement, as a person watches it.

use std::path::Path;

use visionthink_train::Start;
use visionthink_train::grpo::{GrpoConfig, GrpoEvent, train_policy};

use crate::args::GrpoArguments;
use crate::training::Shows::{Curve, Number, Percent, Saved};
use crate::training::{Ended, Layout, Row, Run, Watch, refused, supervise};

pub(crate) fn run(arguments: &GrpoArguments) -> anyhow::Result<()> {
    let config = read(&arguments.config)?;
    let (device, _) = arguments.device.open()?;
    let start = if arguments.resume { Start::Resume } else { Start::Fresh };
    let run = Run {
        command: "grpo",
        config: &arguments.config,
        name: &config.run.name,
        folder: config.folder(),
        total_steps: config.rollout.steps,
        layout: &LAYOUT,
    };
    supervise(&run, |stop, watch| {
        let report = train_policy(&config, &device, start, stop, &mut |event| show(watch, &event))?;
        Ok(Ended { step: report.step, checkpoint: report.checkpoint })
    })
}

/// Reads a run file; anything wrong in it is the caller's to mend.
pub(crate) fn read(path: &Path) -> anyhow::Result<GrpoConfig> {
    GrpoConfig::from_file(path).map_err(refused)
}

fn show(watch: &mut Watch<'_>, event: &GrpoEvent<'_>) {
    match event {
        GrpoEvent::Started { from_step, parameters, checkpoint, .. } => {
            watch.started(*from_step, *parameters, *checkpoint);
        }
        GrpoEvent::Step { step, .. } => watch.step(*step),
        GrpoEvent::Logged(record) => watch.logged(record),
        GrpoEvent::Sampled(_) => watch.report(),
        GrpoEvent::Evaluated(evaluation) => watch.evaluated(&evaluation.record()),
        GrpoEvent::Saved(path) => watch.saved(path),
    }
}

/// Easy questions do not need the full image, hard ones do.
static LAYOUT: Layout = Layout {
    logged: &[
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
    ],
    evaluated: &[
        ("eval/adaptive/accuracy", "right"),
        ("eval/full/accuracy", "in full"),
        ("eval/adaptive/calls/easy", "calls easy"),
        ("eval/adaptive/calls/hard", "calls hard"),
        ("eval/adaptive/visual_tokens", "visual tokens"),
    ],
    rows: &[
        Row { name: "reward", shows: &[Number("train/reward", ""), Curve("train/reward")] },
        Row {
            name: "right",
            shows: &[
                Percent("train/accuracy", ""),
                Percent("train/accuracy/easy", "easy"),
                Percent("train/accuracy/hard", "hard"),
            ],
        },
        Row {
            name: "calls",
            shows: &[
                Percent("train/calls/easy", "easy"),
                Curve("train/calls/easy"),
                Percent("train/calls/hard", "hard"),
                Curve("train/calls/hard"),
            ],
        },
        Row {
            name: "policy",
            shows: &[
                Number("policy/kl", "KL"),
                Number("policy/entropy", "entropy"),
                Number("policy/gradient_norm", "gradient"),
                Percent("policy/clip_fraction", "clipped"),
            ],
        },
        Row {
            name: "tokens",
            shows: &[
                Saved("train/visual_tokens", "visual saved"),
                Number("train/completion_tokens", "reply"),
                Number("groups/effective", "groups with a spread"),
            ],
        },
        Row {
            name: "seconds",
            shows: &[
                Number("seconds/rollout", "rollout"),
                Number("seconds/judge", "judge"),
                Number("seconds/log_probs", "log-probabilities"),
                Number("seconds/update", "update"),
                Number("train/skipped", "skipped steps"),
            ],
        },
    ],
};

//! `visionthink sft`: training by imitation, as a person watches it.

use std::path::Path;

use visionthink_train::{Event, Start, TrainConfig, train};

use crate::args::SftArguments;
use crate::training::Shows::{Curve, Number, Percent};
use crate::training::{Ended, Layout, Row, Run, Watch, refused, supervise};

pub(crate) fn run(arguments: &SftArguments) -> anyhow::Result<()> {
    let config = read(&arguments.config)?;
    let (device, _) = arguments.device.open()?;
    let start = if arguments.resume { Start::Resume } else { Start::Fresh };
    let run = Run {
        command: "sft",
        config: &arguments.config,
        name: &config.run.name,
        folder: config.folder(),
        total_steps: config.total_steps(),
        layout: &LAYOUT,
    };
    supervise(&run, |stop, watch| {
        let report = train(&config, &device, start, stop, &mut |event| show(watch, &event))?;
        Ok(Ended { step: report.step, checkpoint: report.checkpoint })
    })
}

/// Reads a run file; anything wrong in it is the caller's to mend.
pub(crate) fn read(path: &Path) -> anyhow::Result<TrainConfig> {
    TrainConfig::from_file(path).map_err(refused)
}

fn show(watch: &mut Watch<'_>, event: &Event<'_>) {
    match event {
        Event::Started { from_step, parameters, checkpoint, .. } => {
            watch.started(*from_step, *parameters, *checkpoint);
        }
        Event::Step { step, .. } => watch.step(*step),
        Event::Logged(record) => watch.logged(record),
        Event::Evaluated(evaluation) => {
            watch.evaluated(&evaluation.record());
            watch.report();
        }
        Event::Saved(path) => watch.saved(path),
    }
}

static LAYOUT: Layout = Layout {
    logged: &[],
    evaluated: &[
        ("eval/full/easy", "full, easy"),
        ("eval/full/hard", "full, hard"),
        ("eval/low/easy", "low, easy"),
        ("eval/low/hard", "low, hard"),
        ("eval/resized/hard", "resized, hard"),
    ],
    rows: &[
        Row { name: "loss", shows: &[Number("train/loss", ""), Curve("train/loss")] },
        Row {
            name: "tokens hit",
            shows: &[
                Percent("train/answer_tokens/full", "full"),
                Percent("train/answer_tokens/low", "low"),
                Percent("train/answer_tokens/resized", "resized"),
                Percent("train/answer_tokens/direct", "direct"),
            ],
        },
        Row {
            name: "step",
            shows: &[
                Number("train/gradient_norm", "gradient"),
                Number("train/lr", "learning rate"),
                Number("speed/tokens_per_second", "tokens/s"),
                Number("train/skipped", "skipped"),
            ],
        },
    ],
};

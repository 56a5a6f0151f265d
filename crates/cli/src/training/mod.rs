//! What `sft` and `grpo` share: Ctrl-C, what a person watches, and the last words.

mod charts;
mod panel;
mod report;
mod watch;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use visionthink_train::TrainError;

pub(crate) use panel::{Row, Shows};
pub(crate) use watch::{Layout, Watch};

use crate::failure::{self, Failure};
use crate::interrupt::stop_on_ctrl_c;
use crate::output;

/// A run as it was asked for.
pub(crate) struct Run<'a> {
    /// The command's name.
    pub(crate) command: &'static str,
    /// The run file.
    pub(crate) config: &'a Path,
    /// Name of the run.
    pub(crate) name: &'a str,
    /// The run folder.
    pub(crate) folder: PathBuf,
    /// Steps of the whole run.
    pub(crate) total_steps: u64,
    /// What a person watches.
    pub(crate) layout: &'static Layout,
}

/// Where a run ended.
pub(crate) struct Ended {
    pub(crate) step: u64,
    pub(crate) checkpoint: PathBuf,
}

/// Trains while a person watches, and says how it ended and how to go on.
pub(crate) fn supervise(
    run: &Run<'_>,
    train: impl FnOnce(&AtomicBool, &mut Watch<'_>) -> Result<Ended, TrainError>,
) -> anyhow::Result<()> {
    let stop = Arc::new(AtomicBool::new(false));
    stop_on_ctrl_c(stop.clone(), "stopping behind this step; Ctrl-C again ends at once, with the last checkpoint")?;
    let mut watch = Watch::new(run);
    let ended = train(&stop, &mut watch);
    watch.end();
    let resume = format!("go on with `visionthink {} --config {} --resume`", run.command, run.config.display());
    match ended {
        Ok(Ended { step, checkpoint }) => {
            output::line(&format!("step {step} of {}, checkpoint {}", run.total_steps, checkpoint.display()))?;
            if step < run.total_steps {
                return Err(Failure::failed("stopped before the end; everything is saved").hint(resume).into());
            }
            Ok(())
        }
        Err(error) => match watch.checkpoint() {
            None => Err(error.into()),
            Some(checkpoint) => {
                let kept = format!("{} stands", checkpoint.display());
                Err(Failure::failed(failure::words(&error.into())).hint(kept).hint(resume).into())
            }
        },
    }
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

//! `visionthink curate`: which questions are worth training on, as a person watches it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use visionthink_engine::ModelFolder;
use visionthink_model::LoadOptions;
use visionthink_train::Start;
use visionthink_train::curate::{CurateConfig, CurateEvent, curate};

use crate::args::CurateArguments;
use crate::failure::Failure;
use crate::interrupt::stop_on_ctrl_c;
use crate::model::dtype;
use crate::output;
use crate::progress;
use crate::training::refused;

pub(crate) fn run(arguments: &CurateArguments) -> anyhow::Result<()> {
    let config = read(&arguments.config)?;
    let (device, _) = arguments.device.open()?;
    let folder = ModelFolder::open(&config.model.checkpoint)?;
    let model = folder.load(&LoadOptions { dtype: dtype(&device) }, &device)?;
    let stop = Arc::new(AtomicBool::new(false));
    stop_on_ctrl_c(stop.clone(), "stopping behind the questions that are under way")?;
    let start = if arguments.resume { Start::Resume } else { Start::Fresh };
    let bar = progress::bar(0, "asking");
    let report = curate(&config, folder, model, start, &stop, &mut |event| match event {
        CurateEvent::Started { questions, done } => {
            bar.set_length(questions);
            bar.set_position(done);
            // What an earlier run has asked took this run no time.
            bar.reset_eta();
            progress::tell(&format!("{questions} questions, {done} asked already"));
        }
        CurateEvent::Asked { questions } => bar.inc(questions),
    })?;
    bar.finish_and_clear();
    let Some(summary) = report.summary else {
        let resume = format!("visionthink curate --config {} --resume", arguments.config.display());
        return Err(Failure::failed("stopped before the end; everything that was judged is saved")
            .hint(format!("go on with `{resume}`"))
            .into());
    };
    output::line(&summary.markdown())?;
    output::line(&format!("{} holds the rows", report.folder.display()))?;
    Ok(())
}

/// Reads a run file; anything wrong in it is the caller's to mend.
pub(crate) fn read(path: &Path) -> anyhow::Result<CurateConfig> {
    CurateConfig::from_file(path).map_err(refused)
}

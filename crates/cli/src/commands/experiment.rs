//! `visionthink experiment`: variants of one training run side by side.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::args::ExperimentArguments;
use crate::experiment::definition::Definition;
use crate::experiment::{curves, page, trial};
use crate::failure::Failure;
use crate::interrupt::stop_on_ctrl_c;
use crate::output;
use crate::progress;

pub(crate) fn run(arguments: &ExperimentArguments) -> anyhow::Result<()> {
    let definition = Definition::from_file(&arguments.file)?;
    let trials = definition.trials()?;
    fs_err::create_dir_all(&arguments.out)?;
    let stop = Arc::new(AtomicBool::new(false));
    stop_on_ctrl_c(stop.clone(), "stopping behind this step")?;
    // Asked once: the working tree may move on while the runs last.
    let commit = trial::commit();
    let command = format!("visionthink experiment {}", arguments.file.display());
    let bar = progress::bar(trials.len() as u64, "runs");
    let mut results = vec![Vec::new(); definition.variants.len()];
    for one in &trials {
        let label = &definition.variants[one.variant].label;
        let result = if let Some(result) = trial::read_result(one)? {
            result
        } else {
            progress::tell(&format!("{label}, seed {}", one.seed));
            let Some(result) = trial::run(one, &definition.experiment, &arguments.device, commit.as_deref(), &stop)?
            else {
                return Err(stopped(&command));
            };
            result
        };
        results[one.variant].push(result);
        bar.inc(1);
        if stop.load(Ordering::Relaxed) && results.iter().map(Vec::len).sum::<usize>() < trials.len() {
            return Err(stopped(&command));
        }
    }
    bar.finish_and_clear();
    for plot in &definition.plots {
        let name = format!("{}-{}.svg", definition.experiment.name, plot.name);
        fs_err::write(arguments.out.join(name), curves::draw(&definition, &trials, plot)?)?;
    }
    let file = arguments.out.join(format!("{}.md", definition.experiment.name));
    fs_err::write(&file, page::render(&definition, &results, &command))?;
    output::line(&format!("{}", file.display()))?;
    Ok(())
}

fn stopped(command: &str) -> anyhow::Error {
    let failure = Failure::failed("stopped before the end; everything is saved");
    failure.hint(format!("go on with `{command}`: runs that are done are not repeated")).into()
}

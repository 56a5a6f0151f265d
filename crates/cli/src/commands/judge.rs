//! `visionthink judge`: a language model says which predictions are right.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use visionthink_judge::{Ended, Judge, JudgeEndpoint, PredictionFiles, Variant, judge_file};
use visionthink_reward::judge::VerifierReading;
use visionthink_train::{CheckpointJudge, JudgeCheckpoint};

use crate::args::JudgeArguments;
use crate::failure::Failure;
use crate::interrupt::stop_on_ctrl_c;
use crate::output;
use crate::progress;

pub(crate) fn run(arguments: &JudgeArguments) -> anyhow::Result<()> {
    let mut judge = open(arguments)?;
    let stop = Arc::new(AtomicBool::new(false));
    stop_on_ctrl_c(stop.clone(), "stopping behind the answers that are under way")?;
    let bar = progress::bar(0, "judging");
    let files = PredictionFiles { input: &arguments.input, output: &arguments.output };
    let report = judge_file(&mut judge, files, &stop, &mut |report| {
        bar.set_length(report.rows as u64);
        bar.set_position(report.done() as u64);
    })?;
    bar.finish_and_clear();
    for problem in &report.problems {
        tracing::warn!("{}: {problem}", arguments.input.display());
    }
    if arguments.json {
        output::json(&report)?;
    } else {
        let accuracy = report.accuracy().map_or_else(|| "-".to_owned(), |share| format!("{:.1} %", 100.0 * share));
        output::line(&format!(
            "{accuracy} right: {} right, {} wrong, {} without a verdict; {} calls, {} answers from the cache",
            report.correct, report.wrong, report.unjudged, report.counts.requests, report.counts.cache_hits
        ))?;
    }
    if report.ended == Ended::Cancelled || report.unjudged > 0 {
        return Err(Failure::failed(format!("{} of {} rows have no verdict", report.unjudged, report.rows))
            .hint("a second run with the same `--output` asks for these again")
            .into());
    }
    Ok(())
}

/// The judge that the arguments name.
fn open(arguments: &JudgeArguments) -> anyhow::Result<Judge> {
    let cache = arguments.cache.as_deref();
    let verifier = arguments.verifier.map(|family| Variant::Verifier { family, reading: VerifierReading::Strict });
    let Some(model) = &arguments.model else {
        let file =
            arguments.endpoint.as_ref().ok_or_else(|| Failure::usage("neither `--endpoint` nor `--model` is given"))?;
        let wrong = |problem: String| Failure::usage(format!("{}: {problem}", file.display()));
        let text = fs_err::read_to_string(file).map_err(|error| Failure::usage(error.to_string()))?;
        let mut endpoint: JudgeEndpoint = toml::from_str(&text).map_err(|error| wrong(error.message().to_owned()))?;
        endpoint.variant = verifier.unwrap_or(endpoint.variant);
        return Ok(Judge::open(endpoint, cache).map_err(|error| wrong(error.to_string()))?);
    };
    if arguments.max_new_tokens == 0 {
        return Err(Failure::usage("`--max-new-tokens` is 0; expected at least 1").into());
    }
    let section = JudgeCheckpoint {
        variant: verifier.unwrap_or_default(),
        ..JudgeCheckpoint::new(model, arguments.max_new_tokens)
    };
    let (device, _) = arguments.device.open()?;
    Ok(Judge::of(Box::new(CheckpointJudge::load(&section, &device)?), cache)?)
}

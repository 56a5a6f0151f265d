//! Answers that a judge has to decide on.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use visionthink_eval::Benchmark;
use visionthink_eval::run::{Record, RunFile, RunRecords, Verdicts};
use visionthink_judge::Judge;

use crate::failure::Failure;
use crate::progress;

/// Judges what is to be judged and has no verdict yet, and writes the verdicts to the run folder.
///
/// # Errors
/// A judge that cannot be asked: what it said before is written, the rest stays unjudged for another run.
pub(crate) fn judge(run: &RunFile, folder: &Path, stop: &AtomicBool) -> anyhow::Result<()> {
    let judged: Vec<(&str, Benchmark)> = run
        .benchmarks
        .iter()
        .filter_map(|section| Some((section.name.as_str(), section.metric.parse::<Benchmark>().ok()?)))
        .filter(|(_, metric)| metric.is_judged())
        .collect();
    let Some(section) = run.judge.as_ref().filter(|_| !judged.is_empty()) else { return Ok(()) };
    let records = RunRecords::read(folder)?.records;
    let mut judge = Judge::open(section.endpoint.clone(), Some(&folder.join("verdicts")))?;
    let mut verdicts = Verdicts::read(folder)?;
    let bar = progress::bar(0, "judging");
    let mut outcome = Ok(());
    for (benchmark, metric) in judged {
        let of: Vec<&Record> = records.iter().filter(|record| record.source.benchmark == benchmark).collect();
        let asked = verdicts.ask(&mut judge, metric, &of, stop, &mut |done, total| {
            bar.set_length(total as u64);
            bar.set_position(done as u64);
        });
        // What the judge said of other benchmarks, now or earlier, stands.
        outcome = outcome.and(asked.map(|_| ()));
    }
    bar.finish_and_clear();
    verdicts.write(folder)?;
    let counts = judge.counts();
    progress::tell(&format!("judge: {} calls, {} verdicts known already", counts.requests, counts.cache_hits));
    outcome.map_err(|error| {
        Failure::failed(format!("{error}; answers without a verdict are unjudged"))
            .hint("the same command asks for these again, and for nothing else")
            .into()
    })
}

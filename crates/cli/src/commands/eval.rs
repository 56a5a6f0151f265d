//! `visionthink eval`: benchmarks.

use serde_json::Value;
use visionthink_eval::metrics::reasoning::default_pairs;
use visionthink_eval::{Options, score as score_rows};

use crate::args::EvalScoreArguments;
use crate::failure::Failure;
use crate::output;

/// Scores a file of predictions of any program by the rules of a benchmark.
pub(crate) fn score(arguments: &EvalScoreArguments) -> anyhow::Result<()> {
    let path = &arguments.input;
    let mut rows = Vec::new();
    for (number, line) in fs_err::read_to_string(path)?.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let row: Value = serde_json::from_str(line)
            .map_err(|error| Failure::failed(format!("{}:{}: not JSON: {error}", path.display(), number + 1)))?;
        rows.push(row);
    }
    let options = Options {
        answer_tag: arguments.answer_tag,
        reasoning_tags: if arguments.strip_reasoning { default_pairs() } else { Vec::new() },
        edition: arguments.edition,
    };
    let report = score_rows(arguments.benchmark, &rows, &options)
        .map_err(|error| Failure::failed(format!("{}: {error}", path.display())))?;
    if arguments.json {
        return output::json(&report);
    }
    output::line(&format!("{}: {:.2} over {} predictions", arguments.benchmark, report.paper_score, report.rows))?;
    output::line(&serde_json::to_string_pretty(&report.aggregate)?)?;
    Ok(())
}

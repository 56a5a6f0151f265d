//! Samples in the shape that lmms-eval logs them in.

use std::io::Write;

use serde_json::{Map, Value, json};

use super::record::{Outcome, Record};
use super::sheet::{Scoring, Sheet};
use crate::error::Result;

/// The file of one model, method and benchmark, named as the harness names its own behind the date; `@` is in no name.
pub fn file_name(model: &str, method: &str, benchmark: &str) -> String {
    format!("{model}@{method}@samples_{benchmark}.jsonl")
}

/// Writes one line a scored sample: `doc_id`, `target`, `filtered_resps`, `resps`, `input` and the score by the name of its metric.
///
/// The hashes of the harness (`doc_hash`, `prompt_hash`, `target_hash`) are left out: they are of Python's rendering of rows and chats.
///
/// Source: lmms-eval, `EvaluationTracker.save_results_samples` of `loggers/evaluation_tracker`, commit 0716c69.
///
/// # Errors
/// As [`score()`](crate::score()), and [`EvalError::Io`](crate::EvalError::Io).
pub fn write(out: &mut impl Write, records: &[&Record], scoring: Scoring<'_>) -> Result<()> {
    let scored: Vec<(&Record, Value)> =
        records.iter().filter_map(|record| Some((*record, scoring.row(record)?))).collect();
    let Some(sheet) = Sheet::new(scoring, scored.iter().map(|(_, row)| row.clone()).collect())? else { return Ok(()) };
    for ((record, _), sample) in scored.iter().zip(&sheet.report.samples) {
        let Outcome::Answered { answer } = &record.outcome else { continue };
        let mut line = Map::new();
        line.insert("doc_id".to_owned(), json!(record.source.index));
        line.insert("target".to_owned(), json!(target(&record.row)));
        line.insert("filtered_resps".to_owned(), json!([answer.text]));
        line.insert("resps".to_owned(), json!([[answer.turns.join("\n")]]));
        line.insert("input".to_owned(), json!(record.question));
        line.insert(scoring.metric.name().to_owned(), json!(sample.score));
        serde_json::to_writer(&mut *out, &line).map_err(std::io::Error::from)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

/// The right answer as a text, which is what the harness logs of any type.
fn target(row: &Value) -> String {
    let value = ["answer", "answers", "gt_answer"].into_iter().find_map(|field| row.get(field));
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::testing::answered;
    use crate::run::verdicts::Verdicts;
    use crate::score::Options;

    #[test]
    fn a_line_has_what_the_harness_logs_and_the_score_under_its_metric() {
        let (options, verdicts) = (Options::default(), Verdicts::default());
        let scoring = Scoring { metric: "own-exact".parse().unwrap(), options: &options, verdicts: &verdicts };
        let (one, other) = (answered("full", 0, "yes"), answered("full", 7, "no"));
        let mut out = Vec::new();
        write(&mut out, &[&one, &other], scoring).unwrap();
        let lines: Vec<Value> =
            String::from_utf8(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2);
        let expected = json!({
            "doc_id": 7, "target": "yes", "filtered_resps": ["no"], "resps": [["no"]], "input": "Is it?", "own-exact": 0.0
        });
        assert_eq!(lines[1], expected);
        assert_eq!(lines[0]["own-exact"], 1.0);
        assert_eq!(file_name("m", "full", "b"), "m@full@samples_b.jsonl");
        assert_ne!(file_name("a-b", "c", "d"), file_name("a", "b-c", "d"));
    }
}

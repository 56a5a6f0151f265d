//! Methods side by side, as in Tables 2 and 7 of the paper, in Markdown.

use std::fmt::Write;

use visionthink_protocol::Decision;

use super::record::{Answer, Outcome, Record};
use super::result::Coverage;
use crate::statistics::Interval;

/// One method on one benchmark.
#[derive(Debug)]
pub struct Cell<'a> {
    /// Name of the benchmark.
    pub benchmark: &'a str,
    /// Name of the method.
    pub method: &'a str,
    /// What became of its samples.
    pub coverage: Coverage,
    /// Its score, if there is one.
    pub score: Option<Interval>,
    /// Its records.
    pub records: &'a [&'a Record],
}

impl Cell<'_> {
    /// Mean over answers; `None` where there are none.
    pub fn mean(&self, of: impl Fn(&Answer) -> f64) -> Option<f64> {
        let answers = self.records.iter().filter_map(|record| match &record.outcome {
            Outcome::Answered { answer } => Some(answer),
            _ => None,
        });
        let (count, sum) = answers.fold((0_usize, 0.0), |(count, sum), answer| (count + 1, sum + of(answer)));
        (count > 0).then(|| sum / count as f64)
    }
}

/// A row a cell. The share is of the same benchmark's first cell, the vanilla method; a score over less than all that can be asked
/// says over how many.
pub fn markdown(cells: &[Cell<'_>]) -> String {
    let mut page =
        String::from("| benchmark | method | score | of vanilla | calls | visual tokens | seconds | scored |\n");
    page.push_str("| --- | --- | --- | --- | --- | --- | --- | --- |\n");
    for cell in cells {
        let vanilla = cells.iter().find(|other| other.benchmark == cell.benchmark).and_then(|other| other.score);
        let share = cell.score.zip(vanilla).filter(|(_, vanilla)| vanilla.value != 0.0);
        let shown =
            |number: Option<f64>, places: usize| number.map_or_else(|| "–".to_owned(), |n| format!("{n:.places$}"));
        let score = cell.score.map_or_else(
            || "no score".to_owned(),
            |score| format!("{:.1} ({:.1} to {:.1})", score.value, score.low, score.high),
        );
        let Coverage { planned, answered, defective, failed, missing } = cell.coverage;
        let mut scored = format!("{answered} of {planned}");
        for (count, what) in [(defective, "defective"), (failed, "failed"), (missing, "not asked")] {
            if count > 0 {
                let _ = write!(scored, ", {count} {what}");
            }
        }
        let _ = writeln!(
            page,
            "| {} | {} | {score} | {} | {} | {} | {} | {scored} |",
            cell.benchmark,
            cell.method,
            share.map_or_else(|| "–".to_owned(), |(own, of)| format!("{:.1} %", 100.0 * own.value / of.value)),
            shown(cell.mean(|answer| f64::from(answer.decision == Decision::Resize)), 2),
            shown(cell.mean(|answer| answer.ledger.visual_tokens as f64), 1),
            shown(cell.mean(|answer| answer.seconds.total), 3),
        );
    }
    page
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::run::record::{Ledger, Seconds, Source};

    #[test]
    fn a_method_stands_beside_vanilla_and_says_over_how_many_it_is() {
        let answer = |decision, visual_tokens| Outcome::Answered {
            answer: Answer {
                text: "x".into(),
                decision,
                turns: vec!["x".into()],
                ledger: Ledger { visual_tokens, ..Ledger::default() },
                seconds: Seconds { total: 0.5, ..Seconds::default() },
            },
        };
        let record = |index, outcome| {
            let [model, method, benchmark] = ["m", "adaptive", "b"].map(str::to_owned);
            let source = Source { model, method, benchmark, index };
            Record { source, id: String::new(), question: String::new(), row: json!({}), outcome }
        };
        let records = [record(0, answer(Decision::Resize, 20)), record(1, answer(Decision::Direct, 4))];
        let records: Vec<&Record> = records.iter().collect();
        let interval = |value: f64| Some(Interval { value, low: value - 2.0, high: value + 2.0 });
        let cell = |method, score, records, planned| Cell {
            benchmark: "charts",
            method,
            coverage: Coverage::of(records, planned),
            score,
            records,
        };
        let page = markdown(&[
            cell("full", interval(80.0), &records, 2),
            cell("adaptive", interval(60.0), &records, 5),
            cell("low", None, &[], 2),
        ]);
        let rows: Vec<&str> = page.lines().skip(2).collect();
        assert_eq!(rows[0], "| charts | full | 80.0 (78.0 to 82.0) | 100.0 % | 0.50 | 12.0 | 0.500 | 2 of 2 |");
        assert_eq!(
            rows[1],
            "| charts | adaptive | 60.0 (58.0 to 62.0) | 75.0 % | 0.50 | 12.0 | 0.500 | 2 of 5, 3 not asked |"
        );
        assert_eq!(rows[2], "| charts | low | no score | – | – | – | – | 0 of 2, 2 not asked |");
    }
}

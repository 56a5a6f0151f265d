//! What a judge said of answers whose benchmark needs one.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use serde::{Deserialize, Serialize};
use visionthink_judge::{Ended, Judge, JudgeError, Task};
use visionthink_reward::Accuracy;
use visionthink_reward::judge::Question;

use super::folder::replace;
use super::record::{Outcome, Record, Source};
use crate::benchmark::Benchmark;
use crate::error::{EvalError, Result};

const FILE: &str = "verdicts.jsonl";

/// One line of `verdicts.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    source: Source,
    right: bool,
}

/// Whether answers are right, as far as a judge has said. An answer without a verdict is unjudged, and no score counts it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Verdicts(BTreeMap<Source, bool>);

impl Verdicts {
    /// Reads `verdicts.jsonl` of a run folder; none where there is no such file.
    ///
    /// # Errors
    /// [`EvalError::Record`], [`EvalError::Io`].
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE);
        if !path.is_file() {
            return Ok(Self::default());
        }
        let text = fs_err::read_to_string(&path)?;
        let lines = text.lines().zip(1..).map(|(line, number)| {
            let line: Line = serde_json::from_str(line).map_err(|source| EvalError::Record {
                path: path.clone(),
                line: number,
                source,
            })?;
            Ok((line.source, line.right))
        });
        Ok(Self(lines.collect::<Result<_>>()?))
    }

    /// Writes `verdicts.jsonl` of a run folder.
    ///
    /// # Errors
    /// [`EvalError::Io`].
    pub fn write(&self, folder: &Path) -> Result<()> {
        let mut bytes = Vec::new();
        for (source, right) in &self.0 {
            let line = Line { source: source.clone(), right: *right };
            serde_json::to_writer(&mut bytes, &line).map_err(std::io::Error::from)?;
            bytes.push(b'\n');
        }
        replace(&folder.join(FILE), &bytes)
    }

    /// Whether an answer is right; `None` where nobody has said.
    pub fn get(&self, source: &Source) -> Option<bool> {
        self.0.get(source).copied()
    }

    /// Adds one.
    pub fn insert(&mut self, source: Source, right: bool) {
        self.0.insert(source, right);
    }

    /// Adds those of another part of the run.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Asks the judge about the answers of a benchmark. Those it has said something about before cost nothing, since it keeps its
    /// verdicts; where it cannot say anything there is no verdict. An empty answer is wrong without being judged.
    ///
    /// The judge is VisionThink's, whatever the benchmark; see the departures in `docs/paper.md`.
    ///
    /// # Errors
    /// [`JudgeError`]; what was judged by then is in `self`.
    pub fn ask(
        &mut self,
        judge: &mut Judge,
        metric: Benchmark,
        records: &[&Record],
        stop: &AtomicBool,
        each: &mut dyn FnMut(usize, usize),
    ) -> Result<Ended, JudgeError> {
        let mut asked = Vec::new();
        for record in records {
            let Outcome::Answered { answer } = &record.outcome else { continue };
            if answer.text.trim().is_empty() {
                self.insert(record.source.clone(), false);
            } else {
                asked.push((*record, answer.text.as_str(), truth(metric, record)));
            }
        }
        let tasks: Vec<Task<'_>> = asked
            .iter()
            .map(|(record, prediction, truth)| Task {
                id: &record.id,
                question: Question { question: &record.question, ground_truth: truth, prediction },
            })
            .collect();
        judge.judge_all(&tasks, stop, &mut |judged| {
            let source = &asked[judged.index].0.source;
            match judged.judgement.accuracy {
                Accuracy::Correct => self.insert(source.clone(), true),
                Accuracy::Wrong => self.insert(source.clone(), false),
                Accuracy::Unjudged => {}
            }
            each(judged.done, judged.total);
            Ok(())
        })
    }
}

/// What is true, as a text: of HallusionBench its explanation, else the answer.
fn truth(metric: Benchmark, record: &Record) -> String {
    let field = if metric == Benchmark::HallusionBench { "gt_answer_details" } else { "answer" };
    match &record.row[field] {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::testing::answered;

    #[test]
    fn verdicts_are_written_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Verdicts::read(folder.path()).unwrap(), Verdicts::default());
        let mut verdicts = Verdicts::default();
        verdicts.insert(answered("full", 3, "x").source, true);
        verdicts.insert(answered("low", 3, "x").source, false);
        verdicts.write(folder.path()).unwrap();
        let again = Verdicts::read(folder.path()).unwrap();
        assert_eq!(again, verdicts);
        assert_eq!(again.get(&answered("low", 3, "x").source), Some(false));
        assert_eq!(again.get(&answered("low", 4, "x").source), None);
    }
}

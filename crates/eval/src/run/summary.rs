//! All numbers of a run: each method on each benchmark, and where methods differ.

mod means;
mod scope;

use std::collections::BTreeSet;

use serde::Serialize;
use visionthink_protocol::{Decision, Mode};

use super::compare::{Difference, compare, mean};
use super::file::RunFile;
use super::folder::RunRecords;
use super::record::{Answer, Outcome, Record};
use super::result::{Coverage, scored};
use super::sheet::Scoring;
use super::verdicts::Verdicts;
use crate::error::Result;
use crate::score::Options;
use crate::statistics::Interval;

pub use means::Means;
use means::plain_mean;
use scope::scopes;
pub use scope::{POOLED, Scope};

/// One model by one method on one scope.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cell {
    /// Name of the model.
    pub model: String,
    /// Name of the method.
    pub method: String,
    /// Which questions.
    pub scope: Scope,
    /// What became of its samples.
    pub coverage: Coverage,
    /// The benchmark's number, if there is one.
    pub score: Option<Interval>,
    /// Share of first turns that ask for the full image.
    pub calls: Option<f64>,
    /// Visual tokens an answer that enter the decoder.
    pub visual_tokens: Option<Interval>,
    /// Visual tokens an answer in a layer of the decoder, mean over layers: what methods are held against each other by, whether they drop
    /// tokens in front of the decoder or inside it.
    pub visual_tokens_per_layer: Option<Interval>,
    /// Wall-clock an answer, in seconds.
    pub seconds: Option<Interval>,
    /// Means over answers.
    pub means: Option<Means>,
}

/// Two methods of one model on the questions that both answered: the first minus the second.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Versus {
    /// Name of the model.
    pub model: String,
    /// Which questions.
    pub scope: Scope,
    /// Name of the method.
    pub method: String,
    /// Name of the method it is held against.
    pub against: String,
    /// The first minus the second.
    pub difference: Difference,
}

/// The score of one model by one method on the drawn questions of one seed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SeedScore {
    /// Name of the model.
    pub model: String,
    /// Name of the method.
    pub method: String,
    /// Which questions, of these only the seed's.
    pub scope: Scope,
    /// The seed.
    pub seed: u64,
    /// The benchmark's number.
    pub score: Interval,
}

/// All numbers of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// By model, scope and method, methods in the order of the run file.
    pub cells: Vec<Cell>,
    /// Each method against the first one, and each adaptive method against every other.
    pub versus: Vec<Versus>,
    /// Where questions are drawn from several seeds, the scores of each.
    pub seeds: Vec<SeedScore>,
}

impl Summary {
    /// Works all numbers out.
    ///
    /// # Errors
    /// As [`score()`](crate::score()), for a row that its benchmark cannot score.
    pub fn of(run: &RunRecords) -> Result<Self> {
        let mut summary = Self { cells: Vec::new(), versus: Vec::new(), seeds: Vec::new() };
        let options = run.run.options();
        for model in &run.run.models {
            for (scope, metric) in scopes(run) {
                let scoring = Scoring { metric, options: &options, verdicts: &run.verdicts };
                summary.add(run, &model.name, &scope, scoring)?;
            }
        }
        Ok(summary)
    }

    /// The cell of a model, method and scope.
    pub fn cell(&self, model: &str, method: &str, scope: &Scope) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.model == model && cell.method == method && cell.scope == *scope)
    }

    fn add(&mut self, run: &RunRecords, model: &str, scope: &Scope, scoring: Scoring<'_>) -> Result<()> {
        let of_model: Vec<&Record> =
            run.records.iter().filter(|record| record.source.model == model && scope.has(record)).collect();
        let planned = scope.planned(&of_model, &run.planned);
        let bootstrap = &run.run.bootstrap;
        let mut by_method = Vec::new();
        for method in &run.run.methods {
            let records: Vec<&Record> =
                of_model.iter().copied().filter(|record| record.source.method == method.name).collect();
            let answers: Vec<&Answer> = records.iter().filter_map(|record| answer(record)).collect();
            let each = |of: fn(&Answer) -> f64| mean(&answers.iter().map(|one| of(one)).collect::<Vec<_>>(), bootstrap);
            self.cells.push(Cell {
                model: model.to_owned(),
                method: method.name.clone(),
                scope: scope.clone(),
                coverage: Coverage::of(&records, planned, scoring),
                score: scored(&records, scoring, bootstrap)?,
                calls: plain_mean(&answers, |one| f64::from(one.decision == Decision::Resize)),
                visual_tokens: each(|one| one.ledger.visual_tokens as f64),
                visual_tokens_per_layer: each(|one| one.ledger.visual_tokens_per_layer),
                seconds: each(|one| one.seconds.share),
                means: Means::of(&answers),
            });
            for seed in seeds(&records).into_iter().filter(|_| scope.needs_full.is_none()) {
                let of_seed: Vec<&Record> =
                    records.iter().copied().filter(|record| seed_of(record) == Some(seed)).collect();
                if let Some(score) = scored(&of_seed, scoring, bootstrap)? {
                    let (model, method) = (model.to_owned(), method.name.clone());
                    self.seeds.push(SeedScore { model, method, scope: scope.clone(), seed, score });
                }
            }
            by_method.push((method, records));
        }
        for (place, (method, records)) in by_method.iter().enumerate() {
            for (other_place, (other, others)) in by_method.iter().enumerate() {
                let is_vanilla = other_place == 0;
                let is_adaptive =
                    method.mode == Mode::Adaptive && (other.mode != Mode::Adaptive || other_place < place);
                if place == other_place || !(is_vanilla || is_adaptive) {
                    continue;
                }
                if let Some(difference) = compare(records, others, scoring, scoring, bootstrap)? {
                    let (method, against) = (method.name.clone(), other.name.clone());
                    self.versus.push(Versus {
                        model: model.to_owned(),
                        scope: scope.clone(),
                        method,
                        against,
                        difference,
                    });
                }
            }
        }
        Ok(())
    }
}

/// The seed that a question was drawn from.
fn seed_of(record: &Record) -> Option<u64> {
    record.row.get("seed")?.as_u64()
}

/// The seeds of records; none where there is only one, whose score is that of all.
fn seeds(records: &[&Record]) -> BTreeSet<u64> {
    let found: BTreeSet<u64> = records.iter().filter_map(|record| seed_of(record)).collect();
    if found.len() > 1 { found } else { BTreeSet::new() }
}

fn answer(record: &Record) -> Option<&Answer> {
    match &record.outcome {
        Outcome::Answered { answer } => Some(answer),
        _ => None,
    }
}

/// How a benchmark of a run file is scored.
pub fn scoring<'a>(
    run: &RunFile,
    benchmark: &str,
    options: &'a Options,
    verdicts: &'a Verdicts,
) -> Option<Scoring<'a>> {
    let section = run.benchmarks.iter().find(|section| section.name == benchmark)?;
    Some(Scoring { metric: section.metric.parse().ok()?, options, verdicts })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::run::testing::{answered, run_file};

    fn summary(records: Vec<Record>) -> Summary {
        let planned = BTreeMap::from([("b".to_owned(), 6)]);
        Summary::of(&RunRecords { run: run_file(), records, verdicts: Verdicts::default(), planned }).unwrap()
    }

    fn all() -> Vec<Record> {
        let adaptive = (0..6).map(|index| answered("adaptive", index, if index == 0 { "no" } else { "yes" }));
        (0..6).map(|index| answered("full", index, "yes")).chain(adaptive).collect()
    }

    #[test]
    fn a_method_has_its_numbers_on_every_part_of_a_benchmark() {
        let summary = summary(all());
        let cell = |method, needs_full| {
            let scope = Scope { benchmark: "b".to_owned(), needs_full };
            let cell = summary.cell("m", method, &scope).unwrap();
            // A mean of three as a person would write it.
            let score = (10.0 * cell.score.unwrap().value).round() / 10.0;
            (score, cell.calls.unwrap(), cell.visual_tokens.unwrap().value, cell.coverage.planned)
        };
        assert_eq!(cell("full", None), (100.0, 0.0, 16.0, 6));
        assert_eq!(cell("adaptive", Some(false)), (66.7, 0.0, 4.0, 3));
        assert_eq!(cell("adaptive", Some(true)), (100.0, 1.0, 20.0, 3));
        assert_eq!(summary.cells.len(), 2 * 3);
    }

    #[test]
    fn the_adaptive_method_is_held_against_every_other_one_and_vanilla_against_none() {
        let summary = summary(all());
        let pairs: Vec<_> = summary
            .versus
            .iter()
            .map(|one| (one.method.as_str(), one.against.as_str(), one.scope.needs_full))
            .collect();
        assert_eq!(
            pairs,
            [("adaptive", "full", None), ("adaptive", "full", Some(false)), ("adaptive", "full", Some(true))]
        );
        assert_eq!(summary.versus[0].difference.differing, [("b".to_owned(), 0)]);
    }

    #[test]
    fn several_seeds_have_a_score_each_and_one_has_none() {
        let seeded = |seed: fn(u64) -> u64| {
            let mut records = all();
            for record in &mut records {
                record.row["seed"] = seed(record.source.index).into();
            }
            summary(records).seeds
        };
        let found = seeded(|index| 20 + index / 3);
        let scores: Vec<_> = found.iter().map(|one| (one.method.as_str(), one.seed, one.score.value.round())).collect();
        assert_eq!(scores, [("full", 20, 100.0), ("full", 21, 100.0), ("adaptive", 20, 67.0), ("adaptive", 21, 100.0)]);
        assert!(seeded(|_| 20).is_empty());
    }

    #[test]
    fn what_was_not_asked_is_missing_and_not_wrong() {
        let mut records = all();
        records.truncate(8);
        let summary = summary(records);
        let cell = summary.cell("m", "adaptive", &Scope::benchmark("b")).unwrap();
        assert_eq!((cell.coverage.scored, cell.coverage.missing, cell.coverage.planned), (2, 4, 6));
        assert_eq!(cell.score.map(|score| score.value), Some(50.0));
    }
}

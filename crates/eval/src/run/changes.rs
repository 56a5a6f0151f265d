//! What changed from one run to another.

use std::fmt::Write;

use serde::Serialize;

use super::compare::{Difference, compare};
use super::folder::{RunRecords, differing_keys};
use super::page::{interval, signed};
use super::record::Record;
use super::result::scored;
use super::summary::{Scope, scoring};
use crate::error::Result;

/// What changed from one run to another.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Changes {
    /// Settings that differ: key, value of the first, value of the second.
    pub settings: Vec<(String, Option<String>, Option<String>)>,
    /// Combinations that both runs have.
    pub changes: Vec<Change>,
    /// Combinations that one run has, as `model, method, benchmark`.
    pub alone: Vec<String>,
}

/// One model by one method on one benchmark in two runs: the second minus the first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// Name of the model.
    pub model: String,
    /// Name of the method.
    pub method: String,
    /// Which questions.
    pub scope: Scope,
    /// The second minus the first; `None` where they have no scored question in common.
    pub difference: Option<Difference>,
    /// The score of the first.
    pub before: Option<f64>,
    /// The score of the second.
    pub after: Option<f64>,
}

impl Changes {
    /// Compares runs, combination by combination, on the questions that both scored; intervals as the second run file draws them.
    ///
    /// # Errors
    /// As [`score()`](crate::score()), for a row that its benchmark cannot score.
    pub fn between(first: &RunRecords, second: &RunRecords) -> Result<Self> {
        let (of_old, of_new) = (first.run.options(), second.run.options());
        let bootstrap = &second.run.bootstrap;
        let (of_first, of_second) = (combinations(first), combinations(second));
        let mut changes = Vec::new();
        for combination in of_second.iter().filter(|combination| of_first.contains(combination)) {
            let (model, method, benchmark) = *combination;
            let scorings = scoring(&first.run, benchmark, &of_old, &first.verdicts).zip(scoring(
                &second.run,
                benchmark,
                &of_new,
                &second.verdicts,
            ));
            let Some((before, after)) = scorings else { continue };
            let (old, new) = (records(first, *combination), records(second, *combination));
            changes.push(Change {
                model: model.to_owned(),
                method: method.to_owned(),
                scope: Scope::benchmark(benchmark),
                difference: compare(&new, &old, after, before, bootstrap)?,
                before: scored(&old, before, bootstrap)?.map(|found| found.value),
                after: scored(&new, after, bootstrap)?.map(|found| found.value),
            });
        }
        let in_one = of_first.iter().filter(|one| !of_second.contains(one));
        let alone = in_one
            .map(|one| (one, "first"))
            .chain(of_second.iter().filter(|one| !of_first.contains(one)).map(|one| (one, "second")));
        Ok(Self {
            settings: differing_keys(&first.run, &second.run),
            changes,
            alone: alone
                .map(|((model, method, benchmark), run)| format!("{model}, {method}, {benchmark}: only the {run} run"))
                .collect(),
        })
    }

    /// The same in Markdown.
    pub fn markdown(&self) -> String {
        let mut page = String::from(if self.changes.is_empty() {
            "The runs have no model, method and benchmark in common.\n"
        } else {
            "| model | method | benchmark | before | after | difference | p | visual tokens | seconds | questions |\n\
             | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n"
        });
        let shown = |score: Option<f64>| score.map_or_else(|| "–".to_owned(), |score| format!("{score:.1}"));
        for change in &self.changes {
            let Change { model, method, scope, before, after, .. } = change;
            let rest = change.difference.as_ref().map_or_else(
                || "– | – | – | – | 0 in common".to_owned(),
                |found| {
                    let p = found.test.map_or_else(|| "–".to_owned(), |(_, p)| format!("{p:.3}"));
                    let alone = if found.alone > 0 { format!(", {} in one alone", found.alone) } else { String::new() };
                    format!(
                        "{} | {p} | {} | {} | {}{alone}",
                        interval(found.score, 1, true),
                        signed(found.visual_tokens.value, 1),
                        interval(found.seconds, 4, true),
                        found.common
                    )
                },
            );
            let benchmark = &scope.benchmark;
            let _ = writeln!(
                page,
                "| {model} | {method} | {benchmark} | {} | {} | {rest} |",
                shown(*before),
                shown(*after)
            );
        }
        page.push('\n');
        for line in &self.alone {
            let _ = writeln!(page, "- {line}");
        }
        let given = |value: &Option<String>| value.clone().unwrap_or_else(|| "not given".to_owned());
        for (key, before, after) in &self.settings {
            let _ = writeln!(page, "- setting `{key}`: `{}` before, `{}` after", given(before), given(after));
        }
        page
    }
}

type Combination<'a> = (&'a str, &'a str, &'a str);

fn combinations(run: &RunRecords) -> Vec<Combination<'_>> {
    let mut found: Vec<Combination<'_>> = Vec::new();
    for model in &run.run.models {
        for benchmark in &run.run.benchmarks {
            found.extend(
                run.run
                    .methods
                    .iter()
                    .map(|method| (model.name.as_str(), method.name.as_str(), benchmark.name.as_str())),
            );
        }
    }
    found
}

fn records<'a>(run: &'a RunRecords, (model, method, benchmark): Combination<'_>) -> Vec<&'a Record> {
    let is_it = |record: &&Record| {
        let source = &record.source;
        source.model == model && source.method == method && source.benchmark == benchmark
    };
    run.records.iter().filter(is_it).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::run::testing::{answered, run_file};
    use crate::run::verdicts::Verdicts;

    fn run(right: u64) -> RunRecords {
        let records = (0..6).map(|index| answered("full", index, if index < right { "yes" } else { "no" })).collect();
        RunRecords { run: run_file(), records, verdicts: Verdicts::default(), planned: BTreeMap::new() }
    }

    #[test]
    fn a_run_against_itself_changes_nothing_and_says_so() {
        let changes = Changes::between(&run(4), &run(4)).unwrap();
        let full = &changes.changes[0];
        assert_eq!(full.difference.as_ref().map(|found| (found.score.value, found.common)), Some((0.0, 6)));
        assert!(changes.settings.is_empty() && changes.alone.is_empty());
        // `adaptive` was asked in neither.
        assert_eq!(changes.changes[1].difference, None);
        assert!(changes.markdown().contains("| m | adaptive | b | – | – | – | – | – | – | 0 in common |"));
    }

    #[test]
    fn what_changed_is_the_second_minus_the_first_with_settings_and_what_one_alone_has() {
        let (first, mut second) = (run(2), run(5));
        second.run.generation.max_rows = 4;
        second.run.methods[1].name = "thrifty".to_owned();
        let changes = Changes::between(&first, &second).unwrap();
        let found = changes.changes[0].difference.as_ref().unwrap();
        assert!((found.score.value - 50.0).abs() < 1e-9, "{found:?}");
        assert_eq!(changes.alone, ["m, adaptive, b: only the first run", "m, thrifty, b: only the second run"]);
        let page = changes.markdown();
        for part in ["| 33.3 | 83.3 | +50.0 (", "setting `generation.max_rows`: `8` before, `4` after"] {
            assert!(page.contains(part), "{part}: {page}");
        }
    }
}

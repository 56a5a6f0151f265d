//! Scores, method by method.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::words::{interval, percent};
use super::{table, whole_scopes};
use crate::run::file::RunFile;
use crate::run::summary::{Scope, Summary};
use crate::statistics::Interval;

/// Rows are methods, columns benchmarks; behind them the mean share of vanilla.
pub(super) fn accuracy(page: &mut String, run: &RunFile, summary: &Summary, model: &str) {
    page.push_str("### Accuracy\n\nThe score with its interval, and in percent of the first method's.\n\n");
    let scopes = whole_scopes(run, summary);
    let mut heads: Vec<&str> = vec!["method"];
    heads.extend(scopes.iter().map(|scope| scope.benchmark.as_str()));
    heads.push("of vanilla");
    table(page, &heads);
    for method in &run.methods {
        let _ = write!(page, "| {} |", method.name);
        for scope in &scopes {
            let cell = summary.cell(model, &method.name, scope);
            let score = cell.and_then(|cell| cell.score);
            let share = score.and_then(|score| of_vanilla(run, summary, model, scope, score));
            let score = score.map_or_else(|| "no score".to_owned(), |score| interval(score, 1, false));
            let share = share.map_or_else(String::new, |share| format!(", {share:.1} %"));
            let _ = write!(page, " {score}{share} |");
        }
        let _ = writeln!(page, " {} |", percent(mean_of_vanilla(run, summary, model, &method.name)));
    }
    page.push('\n');
}

/// Score in percent of the first method's.
fn of_vanilla(run: &RunFile, summary: &Summary, model: &str, scope: &Scope, score: Interval) -> Option<f64> {
    let vanilla = summary.cell(model, &run.methods.first()?.name, scope)?.score?;
    (vanilla.value != 0.0).then(|| 100.0 * score.value / vanilla.value)
}

/// Mean over benchmarks of the score in percent of the first method's; `None` unless all have one.
pub fn mean_of_vanilla(run: &RunFile, summary: &Summary, model: &str, method: &str) -> Option<f64> {
    let shares: Vec<f64> = run
        .benchmarks
        .iter()
        .map(|section| {
            let scope = Scope::benchmark(&section.name);
            let score = summary.cell(model, method, &scope)?.score?;
            of_vanilla(run, summary, model, &scope, score)
        })
        .collect::<Option<_>>()?;
    (!shares.is_empty()).then(|| shares.iter().sum::<f64>() / shares.len() as f64)
}

/// Scores on questions that need the full image and on those that do not.
pub(super) fn needs(page: &mut String, run: &RunFile, summary: &Summary, model: &str) {
    page.push_str("### By what a question needs\n\nScores on drawn questions that a quarter of the pixels can answer (easy), and on those that need the full image (hard).\n\n");
    let scopes = whole_scopes(run, summary);
    let mut heads = vec!["method".to_owned()];
    heads.extend(
        scopes.iter().flat_map(|scope| [format!("{}, easy", scope.benchmark), format!("{}, hard", scope.benchmark)]),
    );
    table(page, &heads.iter().map(String::as_str).collect::<Vec<_>>());
    for method in &run.methods {
        let _ = write!(page, "| {} |", method.name);
        for scope in &scopes {
            for need in [false, true] {
                let scope = Scope { needs_full: Some(need), ..scope.clone() };
                let score = summary.cell(model, &method.name, &scope).and_then(|cell| cell.score);
                let _ = write!(page, " {} |", score.map_or_else(|| "–".to_owned(), |score| interval(score, 1, false)));
            }
        }
        page.push('\n');
    }
    page.push('\n');
}

/// Scores seed by seed, of everything where there is a score of everything.
pub(super) fn seeds(page: &mut String, run: &RunFile, summary: &Summary, model: &str) {
    let Some(scope) = whole_scopes(run, summary).pop() else { return };
    let scores: Vec<_> = summary.seeds.iter().filter(|one| one.model == model && one.scope == scope).collect();
    let seeds: BTreeSet<u64> = scores.iter().map(|one| one.seed).collect();
    if seeds.is_empty() {
        return;
    }
    let _ =
        writeln!(page, "### By seed\n\nScores on `{}` by the seed that questions were drawn from.\n", scope.benchmark);
    let heads: Vec<String> =
        std::iter::once("method".to_owned()).chain(seeds.iter().map(ToString::to_string)).collect();
    table(page, &heads.iter().map(String::as_str).collect::<Vec<_>>());
    for method in &run.methods {
        let _ = write!(page, "| {} |", method.name);
        for seed in &seeds {
            let score = scores.iter().find(|one| one.method == method.name && one.seed == *seed).map(|one| one.score);
            let _ = write!(page, " {} |", score.map_or_else(|| "–".to_owned(), |score| interval(score, 1, false)));
        }
        page.push('\n');
    }
    page.push('\n');
}

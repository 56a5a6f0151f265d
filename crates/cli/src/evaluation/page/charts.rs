//! Worth against cost, a chart a scope.

use std::collections::BTreeMap;

use visionthink_eval::run::{Cell, POOLED, RunFile, Scope, Summary};
use visionthink_eval::statistics::Interval;
use visionthink_plot::{Mark, Measured, ScatterChart};

use super::label;

/// Charts with more marks than this share one legend, which would leave no room for them.
const MOST_IN_LEGEND: usize = 6;

/// Accuracy against visual tokens and against wall-clock, with a name for a file of each.
pub(crate) fn charts(run: &RunFile, summary: &Summary) -> Vec<(String, ScatterChart)> {
    let mut found = Vec::new();
    for scope in scopes(run, summary) {
        let (words, file) = match scope.needs_full {
            None => (scope.benchmark.clone(), scope.benchmark.clone()),
            Some(false) => (format!("{}, easy questions", scope.benchmark), format!("{}-easy", scope.benchmark)),
            Some(true) => (format!("{}, hard questions", scope.benchmark), format!("{}-hard", scope.benchmark)),
        };
        let mut add = |against: &str, file_end: &str, x_label: &str, of: fn(&Cell) -> Option<Measured>| {
            let marks = marks(run, summary, &scope, of);
            let chart = ScatterChart {
                title: format!("{words}: score against {against}"),
                x_label: x_label.to_owned(),
                y_label: "score".to_owned(),
                is_legend_apart: marks.len() > MOST_IN_LEGEND,
                marks,
            };
            found.push((format!("{file}-{file_end}"), chart));
        };
        // The budget that methods inside and in front of the decoder have in common.
        add("visual tokens", "tokens", "visual tokens an answer, mean over layers", |cell| {
            cell.visual_tokens_per_layer.map(measured)
        });
        // Answers to easy and to hard questions come together, and share the time.
        if scope.needs_full.is_some() {
            continue;
        }
        add("time", "time", "milliseconds an answer", |cell| {
            let seconds = measured(cell.seconds?);
            let milliseconds = |number: f64| 1e3 * number;
            Some(Measured {
                value: milliseconds(seconds.value),
                low: milliseconds(seconds.low),
                high: milliseconds(seconds.high),
            })
        });
    }
    found
}

/// The scopes with a chart: everything, its parts, and each benchmark.
fn scopes(run: &RunFile, summary: &Summary) -> Vec<Scope> {
    let has = |scope: &Scope| summary.cells.iter().any(|cell| cell.scope == *scope);
    let whole = match run.benchmarks.as_slice() {
        [only] => Scope::benchmark(&only.name),
        _ => Scope::benchmark(POOLED),
    };
    let parts = [None, Some(false), Some(true)].map(|needs_full| Scope { needs_full, ..whole.clone() });
    let benchmarks = run.benchmarks.iter().map(|section| Scope::benchmark(&section.name));
    let mut found: Vec<Scope> = Vec::new();
    for scope in parts.into_iter().chain(benchmarks) {
        if has(&scope) && !found.contains(&scope) {
            found.push(scope);
        }
    }
    found
}

fn measured(of: Interval) -> Measured {
    Measured { value: of.value, low: of.low, high: of.high }
}

fn marks(run: &RunFile, summary: &Summary, scope: &Scope, x: fn(&Cell) -> Option<Measured>) -> Vec<Mark> {
    let mut marks = Vec::new();
    let mut families: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for model in &run.models {
        for method in &run.methods {
            let cell = summary.cell(&model.name, &method.name, scope);
            let known = cell.and_then(|cell| Some((x(cell)?, measured(cell.score?))));
            // A mark keeps its colour in every chart, so one without numbers stays, and is not drawn.
            let nothing = Measured { value: f64::NAN, ..Measured::default() };
            let (x, y) = known.unwrap_or((nothing, nothing));
            let name = label(run, &model.name, method);
            let next = families.len();
            let (family, members) = families.entry(family(&name).to_owned()).or_insert((next, 0));
            marks.push(Mark { family: *family, member: *members, name, x, y });
            *members += 1;
        }
    }
    marks
}

/// The part of a name in front of the number that tells its budget: `fastv` of `fastv-50`.
fn family(name: &str) -> &str {
    match name.rsplit_once('-') {
        Some((family, number)) if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) => family,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_that_differ_in_their_budget_are_a_family() {
        assert_eq!(
            ["fastv-50", "adaptive-fastv-80", "full", "my-own", "down-"].map(family),
            ["fastv", "adaptive-fastv", "full", "my-own", "down-"]
        );
    }

    #[test]
    fn a_family_has_one_colour_and_its_members_differ() {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/study.toml");
        let run = RunFile::from_file(&file).unwrap();
        let summary = Summary { cells: vec![], versus: vec![], seeds: vec![] };
        let marks = marks(&run, &summary, &Scope::benchmark("scene"), |_| None);
        let look = |name: &str| marks.iter().find(|mark| mark.name == name).map(|mark| (mark.family, mark.member));
        let [(large, first), (small, second), (other, _)] =
            ["fastv-80", "fastv-50", "sparsevlm-80"].map(|name| look(name).unwrap());
        assert_eq!((large, first, second), (small, 0, 1));
        assert_ne!(large, other);
    }
}

//! Where methods differ: adaptive ones from those of a fixed share, and every one from the first.

use std::fmt::Write;

use super::words::{interval, number, probability, signed};
use super::{hard_or_all, is_fixed, name, overview, pooled, table};
use crate::run::file::RunFile;
use crate::run::summary::{Scope, Summary, Versus};
use crate::statistics::Interval;

/// Whether the adaptive methods lead what takes a fixed share of the picture, where it counts.
pub(super) fn pairs(page: &mut String, run: &RunFile, summary: &Summary, model: &str) {
    let (fixed, adaptive): (Vec<_>, Vec<_>) = run.methods.iter().partition(|method| is_fixed(method));
    if adaptive.is_empty() || fixed.is_empty() {
        return;
    }
    page.push_str("### Adaptive methods against those of a fixed share\n\n");
    for all in overview(run, summary) {
        // What counts first: the hard questions of everything, everything, then the hard ones of each benchmark.
        let mut scopes = vec![hard_or_all(summary, &all), all.clone()];
        if pooled(summary) {
            scopes.extend(run.benchmarks.iter().map(|one| hard_or_all(summary, &Scope::benchmark(&one.name))));
        }
        scopes.dedup();
        let _ = writeln!(
            page,
            "The first minus the second in points on the questions that both answered, with the paired interval. On `{}` the first leads or \
             trails where the whole interval is on one side; there \"right alone\" are questions that only the first and only the second has \
             right, p McNemar's exact test of them. Tokens are means over layers and over all questions of `{}`.\n",
            name(&scopes[0]),
            all.benchmark
        );
        heads(page, &["first", "second", "tokens", "the first"], &scopes);
        for (method, other) in adaptive.iter().flat_map(|method| fixed.iter().map(move |other| (method, other))) {
            let tokens = |method: &str| Some(summary.cell(model, method, &all)?.visual_tokens_per_layer?.value);
            let found = versus(summary, model, &scopes[0], &method.name, &other.name);
            let Some((found, (own, others))) = found.zip(tokens(&method.name).zip(tokens(&other.name))) else {
                continue;
            };
            let _ = writeln!(
                page,
                "| {} | {} | {own:.1} : {others:.1} | {} at {} tokens | {} | {} |",
                method.name,
                other.name,
                verdict(found.difference.score),
                budget(own, others),
                points(summary, model, &scopes, &method.name, &other.name),
                right_alone(found),
            );
        }
        page.push('\n');
    }
}

/// Every method against the first one.
pub(super) fn vanilla(page: &mut String, run: &RunFile, summary: &Summary, model: &str) {
    let Some((first, others @ [_, ..])) = run.methods.split_first() else { return };
    let _ = writeln!(page, "### Every method against `{}`\n", first.name);
    for all in overview(run, summary) {
        let mut scopes = vec![hard_or_all(summary, &all), all.clone()];
        if pooled(summary) {
            scopes.extend(run.benchmarks.iter().map(|one| Scope::benchmark(&one.name)));
        }
        scopes.dedup();
        let _ = writeln!(
            page,
            "The method minus `{}`, as above; tokens, seconds, \"right alone\" and p on all questions of `{}`. `results.json` has every pair on every \
             part of the questions.\n",
            first.name, all.benchmark
        );
        heads(page, &["method", "tokens", "seconds"], &scopes);
        for method in others {
            let Some(found) = versus(summary, model, &all, &method.name, &first.name) else { continue };
            let _ = writeln!(
                page,
                "| {} | {} | {} | {} | {} |",
                method.name,
                signed(found.difference.visual_tokens_per_layer.value, 1),
                interval(found.difference.seconds, 4, true),
                points(summary, model, &scopes, &method.name, &first.name),
                right_alone(found),
            );
        }
        page.push('\n');
    }
}

/// The head of a table with a column a scope.
fn heads(page: &mut String, first: &[&str], scopes: &[Scope]) {
    let scopes: Vec<String> = scopes.iter().map(name).collect();
    let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
    table(page, &[first, &scopes, &["right alone", "p"]].concat());
}

/// The difference of two methods on every scope, as cells of a row.
fn points(summary: &Summary, model: &str, scopes: &[Scope], method: &str, against: &str) -> String {
    let cells: Vec<String> = scopes
        .iter()
        .map(|scope| versus(summary, model, scope, method, against))
        .map(|found| found.map_or_else(|| "–".to_owned(), |one| interval(one.difference.score, 1, true)))
        .collect();
    cells.join(" | ")
}

/// The comparison of two methods on some questions.
pub(super) fn versus<'a>(
    summary: &'a Summary,
    model: &str,
    scope: &Scope,
    method: &str,
    against: &str,
) -> Option<&'a Versus> {
    summary
        .versus
        .iter()
        .find(|one| one.model == model && one.scope == *scope && one.method == method && one.against == against)
}

/// What the paired interval says.
pub(super) fn verdict(score: Interval) -> &'static str {
    match (score.low > 0.0, score.high < 0.0) {
        (true, _) => "leads",
        (_, true) => "trails",
        _ => "does not differ",
    }
}

/// How the mean tokens of one method stand to those of another, as far as they are shown.
fn budget(own: f64, other: f64) -> &'static str {
    match number(Some(own), 1) == number(Some(other), 1) {
        true => "equal",
        false if own < other => "fewer",
        false => "more",
    }
}

/// Who has how many right alone and the p of that, as cells of a row.
fn right_alone(one: &Versus) -> String {
    one.difference.test.map_or_else(
        || "– | –".to_owned(),
        |(split, p)| format!("{} : {} | {}", split.only_first, split.only_second, probability(p)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_leads_where_the_whole_interval_is_on_its_side() {
        let verdict = |low, high| verdict(Interval { value: 1.0, low, high });
        assert_eq!(
            [verdict(0.5, 2.0), verdict(-0.5, 2.0), verdict(-2.0, -0.5)],
            ["leads", "does not differ", "trails"]
        );
    }

    #[test]
    fn budgets_that_are_shown_alike_are_equal() {
        assert_eq!([budget(12.31, 12.34), budget(8.0, 12.3), budget(12.3, 8.0)], ["equal", "fewer", "more"]);
    }
}

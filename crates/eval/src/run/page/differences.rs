//! Where methods differ, and what adaptive ones are worth at a budget.

use std::fmt::Write;

use visionthink_protocol::Mode;

use super::{interval, name, probability, signed, table, whole_scopes};
use crate::run::file::{MethodSection, RunFile};
use crate::run::summary::{Scope, Summary, Versus};
use crate::statistics::Interval;

/// Each pair of methods that is compared.
pub(super) fn versus(page: &mut String, summary: &Summary, model: &str) {
    page.push_str(
        "### Where methods differ\n\nThe first minus the second on the questions that both answered, with the paired interval; \"right alone\" are \
         questions that only the first and only the second has right, p is McNemar's exact test of them.\n\n",
    );
    table(page, &["questions", "first", "second", "score", "right alone", "p", "visual tokens", "seconds", "compared"]);
    for one in summary.versus.iter().filter(|one| one.model == model) {
        let found = &one.difference;
        let (alone, p) = found.test.map_or_else(
            || ("–".to_owned(), "–".to_owned()),
            |(split, p)| (format!("{} : {}", split.only_first, split.only_second), probability(p)),
        );
        let _ = writeln!(
            page,
            "| {} | {} | {} | {} | {alone} | {p} | {} | {} | {} |",
            name(&one.scope),
            one.method,
            one.against,
            interval(found.score, 1, true),
            signed(found.visual_tokens.value, 1),
            interval(found.seconds, 4, true),
            found.common,
        );
    }
    page.push('\n');
}

/// Whether the adaptive methods lead what takes a fixed share of the picture, where it counts.
pub(super) fn leads(page: &mut String, run: &RunFile, summary: &Summary, model: &str) {
    let adaptive = |name: &str| run.methods.iter().any(|method| method.name == name && method.mode == Mode::Adaptive);
    let fixed = |name: &str| run.methods.iter().find(|method| method.name == name).is_some_and(is_fixed);
    let hard: Vec<&Versus> = summary
        .versus
        .iter()
        .filter(|one| one.model == model && one.scope.needs_full == Some(true))
        .filter(|one| adaptive(&one.method) && fixed(&one.against))
        .collect();
    if hard.is_empty() {
        return;
    }
    page.push_str("### On questions that need the full image\n\n");
    for one in hard {
        let all = Scope { needs_full: None, ..one.scope.clone() };
        let tokens = |method: &str| Some(summary.cell(model, method, &all)?.visual_tokens?.value);
        let Some((own, other)) = tokens(&one.method).zip(tokens(&one.against)) else { continue };
        let Interval { value, low, high } = one.difference.score;
        let verdict = match (low > 0.0, high < 0.0) {
            (true, _) => "leads",
            (_, true) => "trails",
            _ => "does not differ from",
        };
        let cost = if own <= other { "at equal or fewer visual tokens" } else { "at more visual tokens" };
        let _ = writeln!(
            page,
            "- {}: `{}` {verdict} `{}` ({} points), {cost} over all its questions ({own:.1} against {other:.1}).",
            one.scope.benchmark,
            one.method,
            one.against,
            signed(value, 1),
        );
    }
    page.push('\n');
    budgets(page, run, summary, model);
}

/// The adaptive methods beside the best that methods of a fixed share can do with as many visual tokens.
fn budgets(page: &mut String, run: &RunFile, summary: &Summary, model: &str) {
    page.push_str(
        "### At equal budgets\n\nShown to each question by chance, two methods of a fixed share have any budget between their own. \"Best mix\" is the \
         highest score that they can have so at the visual tokens of the adaptive method, over all questions and on the hard ones alone.\n\n",
    );
    table(page, &["questions", "method", "visual tokens", "score", "best mix", "hard", "best mix, hard"]);
    for scope in whole_scopes(run, summary) {
        let hard = Scope { needs_full: Some(true), ..scope.clone() };
        // What a mix costs is decided before a question is known, so that hard ones cost it what all do.
        let point = |method: &str, scored: &Scope| {
            let tokens = summary.cell(model, method, &scope)?.visual_tokens?.value;
            Some((tokens, summary.cell(model, method, scored)?.score?.value))
        };
        let mix = |budget: f64, scored: &Scope| {
            let fixed = run.methods.iter().filter(|method| is_fixed(method));
            best_mix(&fixed.filter_map(|method| point(&method.name, scored)).collect::<Vec<_>>(), budget)
        };
        for method in run.methods.iter().filter(|method| !is_fixed(method)) {
            let Some((tokens, score)) = point(&method.name, &scope) else { continue };
            let shown = |score: Option<f64>| score.map_or_else(|| "–".to_owned(), |score| format!("{score:.1}"));
            let _ = writeln!(
                page,
                "| {} | {} | {tokens:.1} | {score:.1} | {} | {} | {} |",
                scope.benchmark,
                method.name,
                shown(mix(tokens, &scope)),
                shown(point(&method.name, &hard).map(|(_, score)| score)),
                shown(mix(tokens, &hard)),
            );
        }
    }
    page.push('\n');
}

/// The highest mean score of a random choice between two points (cost, score) whose mean cost is within the budget.
fn best_mix(points: &[(f64, f64)], budget: f64) -> Option<f64> {
    let affordable = |point: &&(f64, f64)| point.0 <= budget;
    let mut best = points.iter().filter(affordable).map(|point| point.1).max_by(f64::total_cmp)?;
    for cheap in points.iter().filter(affordable) {
        for dear in points.iter().filter(|point| point.0 > budget) {
            let share = (budget - cheap.0) / (dear.0 - cheap.0);
            best = best.max(cheap.1 + share * (dear.1 - cheap.1));
        }
    }
    Some(best)
}

/// Shows every question the same share of its picture.
fn is_fixed(method: &MethodSection) -> bool {
    method.mode != Mode::Adaptive
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_of_two_methods_has_every_budget_between_them_and_none_below() {
        let points = [(4.0, 50.0), (9.0, 40.0), (16.0, 100.0)];
        let best = |budget| best_mix(&points, budget);
        assert_eq!(
            [best(3.0), best(4.0), best(9.0), best(10.0), best(16.0), best(20.0)].map(|best| best.unwrap_or(-1.0)),
            [-1.0, 50.0, 50.0 + 5.0 / 12.0 * 50.0, 75.0, 100.0, 100.0]
        );
    }
}

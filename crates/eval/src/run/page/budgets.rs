//! What adaptive methods are worth at their budget.

use std::fmt::Write;

use super::words::number;
use super::{is_fixed, table, whole_scopes};
use crate::run::file::RunFile;
use crate::run::summary::{Scope, Summary};

/// The adaptive methods beside the best that methods of a fixed share can do with as many visual tokens.
pub(super) fn budgets(page: &mut String, run: &RunFile, summary: &Summary, model: &str) {
    if run.methods.iter().all(is_fixed) {
        return;
    }
    page.push_str(
        "### At equal budgets\n\nShown to each question by chance, two methods of a fixed share have any budget between their own. \"Best mix\" is the \
         highest score that they can have so at the visual tokens of the adaptive method, as means over layers, over all questions and on the hard ones alone.\n\n",
    );
    table(page, &["questions", "method", "visual tokens", "score", "best mix", "hard", "best mix, hard"]);
    for scope in whole_scopes(run, summary) {
        let hard = Scope { needs_full: Some(true), ..scope.clone() };
        // What a mix costs is decided before a question is known, so that hard ones cost it what all do.
        let point = |method: &str, scored: &Scope| {
            let tokens = summary.cell(model, method, &scope)?.visual_tokens_per_layer?.value;
            Some((tokens, summary.cell(model, method, scored)?.score?.value))
        };
        let mix = |budget: f64, scored: &Scope| {
            let fixed = run.methods.iter().filter(|method| is_fixed(method));
            best_mix(&fixed.filter_map(|method| point(&method.name, scored)).collect::<Vec<_>>(), budget)
        };
        for method in run.methods.iter().filter(|method| !is_fixed(method)) {
            let Some((tokens, score)) = point(&method.name, &scope) else { continue };
            let _ = writeln!(
                page,
                "| {} | {} | {tokens:.1} | {score:.1} | {} | {} | {} |",
                scope.benchmark,
                method.name,
                number(mix(tokens, &scope), 1),
                number(point(&method.name, &hard).map(|(_, score)| score), 1),
                number(mix(tokens, &hard), 1),
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

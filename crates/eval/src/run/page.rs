//! The report of a run in Markdown.

mod differences;

use std::collections::BTreeSet;
use std::fmt::Write;

use super::file::RunFile;
use super::result::Coverage;
use super::summary::{Cell, POOLED, Scope, Summary};
use crate::statistics::Interval;

/// The report: methods side by side as in Tables 2 and 7 of the paper, what they cost, and where they differ. Headings begin at the
/// second level.
pub fn markdown(run: &RunFile, summary: &Summary) -> String {
    let mut page = String::new();
    for model in &run.models {
        if run.models.len() > 1 {
            let _ = writeln!(page, "## Model {}\n", model.name);
        }
        accuracy(&mut page, run, summary, &model.name);
        if summary.cells.iter().any(|cell| cell.scope.needs_full.is_some()) {
            needs(&mut page, run, summary, &model.name);
        }
        seeds(&mut page, run, summary, &model.name);
        costs(&mut page, run, summary, &model.name);
        ledger(&mut page, run, summary, &model.name);
        differences::versus(&mut page, summary, &model.name);
        differences::leads(&mut page, run, summary, &model.name);
        coverage(&mut page, summary, &model.name);
    }
    page
}

/// Whole scopes of a run, in the order of the run file.
fn whole_scopes(run: &RunFile, summary: &Summary) -> Vec<Scope> {
    let mut scopes: Vec<Scope> = run.benchmarks.iter().map(|section| Scope::benchmark(&section.name)).collect();
    scopes.extend(pooled(summary).then(|| Scope::benchmark(POOLED)));
    scopes
}

fn pooled(summary: &Summary) -> bool {
    summary.cells.iter().any(|cell| cell.scope.benchmark == POOLED)
}

fn table(page: &mut String, heads: &[&str]) {
    let _ = writeln!(page, "| {} |", heads.join(" | "));
    let _ = writeln!(page, "|{}", " --- |".repeat(heads.len()));
}

/// Rows are methods, columns benchmarks; behind them the mean share of vanilla.
fn accuracy(page: &mut String, run: &RunFile, summary: &Summary, model: &str) {
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
fn needs(page: &mut String, run: &RunFile, summary: &Summary, model: &str) {
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
fn seeds(page: &mut String, run: &RunFile, summary: &Summary, model: &str) {
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

/// Figures 4 and 5 of the paper, as a table.
fn costs(page: &mut String, run: &RunFile, summary: &Summary, model: &str) {
    page.push_str(
        "### Visual tokens, calls and time\n\nPer answer. \"Of vanilla\" is the share of the first method's visual tokens; \"calls\" the share of \
         first turns that ask for the full image. Seconds are wall-clock that passed from one answer to the next.\n\n",
    );
    table(page, &["benchmark", "method", "visual tokens", "of vanilla", "calls", "seconds", "of vanilla"]);
    for scope in whole_scopes(run, summary) {
        let vanilla = run.methods.first().and_then(|method| summary.cell(model, &method.name, &scope));
        for method in &run.methods {
            let Some(cell) = summary.cell(model, &method.name, &scope) else { continue };
            let share = |of: fn(&Cell) -> Option<Interval>| {
                let (own, vanilla) = (of(cell)?, of(vanilla?)?);
                (vanilla.value > 0.0).then(|| 100.0 * own.value / vanilla.value)
            };
            let _ = writeln!(
                page,
                "| {} | {} | {} | {} | {} | {} | {} |",
                scope.benchmark,
                method.name,
                cell.visual_tokens.map_or_else(|| "–".to_owned(), |tokens| format!("{:.1}", tokens.value)),
                percent(share(|cell| cell.visual_tokens)),
                cell.calls.map_or_else(|| "–".to_owned(), |calls| format!("{calls:.2}")),
                cell.seconds.map_or_else(|| "–".to_owned(), |seconds| interval(seconds, 4, false)),
                percent(share(|cell| cell.seconds)),
            );
        }
    }
    page.push('\n');
}

/// What papers count as one number, apart.
fn ledger(page: &mut String, run: &RunFile, summary: &Summary, model: &str) {
    page.push_str(
        "### Ledger\n\nMeans per answer over all turns. \"Per layer\" is the mean over layers of visual tokens, \"KV\" visual entries kept summed over \
         layers, \"by formula\" the prompts by the formula that papers on pruning give.\n\n",
    );
    table(
        page,
        &[
            "benchmark",
            "method",
            "patches",
            "visual tokens",
            "per layer",
            "KV",
            "prefilled",
            "reused",
            "generated",
            "MFLOPs",
            "by formula",
        ],
    );
    for scope in whole_scopes(run, summary) {
        for method in &run.methods {
            let Some((cell, means)) =
                summary.cell(model, &method.name, &scope).and_then(|cell| Some((cell, cell.means?)))
            else {
                continue;
            };
            let _ = writeln!(
                page,
                "| {} | {} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} |",
                scope.benchmark,
                method.name,
                means.patches_encoded,
                cell.visual_tokens.map_or(0.0, |tokens| tokens.value),
                means.visual_tokens_per_layer,
                means.visual_kv_entries,
                means.prefilled_tokens,
                means.reused_tokens,
                means.generated_tokens,
                means.flops / 1e6,
                means.flops_by_formula / 1e6,
            );
        }
    }
    page.push('\n');
}

/// What is not whole; nothing is said where everything was scored.
fn coverage(page: &mut String, summary: &Summary, model: &str) {
    let cells = summary.cells.iter().filter(|cell| cell.model == model && cell.scope.needs_full.is_none());
    let partial: Vec<String> = cells
        .filter(|cell| cell.coverage.scored != cell.coverage.planned)
        .map(|cell| format!("- {}, {}: {}", cell.scope.benchmark, cell.method, covered(cell.coverage)))
        .collect();
    if !partial.is_empty() {
        let _ = writeln!(page, "### Not everything was scored\n\n{}\n", partial.join("\n"));
    }
}

/// How many samples a score is over, and what became of the others.
pub fn covered(coverage: Coverage) -> String {
    let Coverage { planned, scored, unjudged, defective, failed, missing } = coverage;
    let mut text = format!("{scored} of {planned} scored");
    for (count, what) in [(unjudged, "unjudged"), (defective, "defective"), (failed, "failed"), (missing, "not asked")]
    {
        if count > 0 {
            let _ = write!(text, ", {count} {what}");
        }
    }
    text
}

fn name(scope: &Scope) -> String {
    match scope.needs_full {
        None => scope.benchmark.clone(),
        Some(false) => format!("{}, easy", scope.benchmark),
        Some(true) => format!("{}, hard", scope.benchmark),
    }
}

pub(super) fn interval(of: Interval, places: usize, with_sign: bool) -> String {
    let shown = |number: f64| if with_sign { signed(number, places) } else { format!("{number:.places$}") };
    format!("{} ({} to {})", shown(of.value), shown(of.low), shown(of.high))
}

pub(super) fn signed(number: f64, places: usize) -> String {
    // Minus zero is zero.
    let number = if format!("{number:.places$}").trim_start_matches('-').parse() == Ok(0.0) { 0.0 } else { number };
    format!("{number:+.places$}")
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "–".to_owned(), |share| format!("{share:.1} %"))
}

fn probability(p: f64) -> String {
    if p < 0.0005 { "< 0.001".to_owned() } else { format!("{p:.3}") }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::run::folder::RunRecords;
    use crate::run::record::Record;
    use crate::run::testing::{answered, run_file};
    use crate::run::verdicts::Verdicts;

    fn page(records: Vec<Record>) -> String {
        let planned = BTreeMap::from([("b".to_owned(), 6)]);
        let run = RunRecords { run: run_file(), records, verdicts: Verdicts::default(), planned };
        markdown(&run.run, &Summary::of(&run).unwrap())
    }

    #[test]
    fn a_method_stands_beside_vanilla_in_score_tokens_calls_and_time() {
        let adaptive = (0..6).map(|index| answered("adaptive", index, if index == 0 { "no" } else { "yes" }));
        let page = page((0..6).map(|index| answered("full", index, "yes")).chain(adaptive).collect());
        for part in [
            "| full | 100.0 (100.0 to 100.0), 100.0 % | 100.0 % |",
            ", 83.3 % | 83.3 % |",
            "| b | adaptive | 12.0 | 75.0 % | 0.50 | 3.0000 (",
            "| b | adaptive | full | -16.7 (",
            "| 0 : 1 | 1.000 | -4.0 |",
            "- b: `adaptive` does not differ from `full` (+0.0 points), at equal or fewer visual tokens",
        ] {
            assert!(page.contains(part), "{part}: {page}");
        }
        assert!(!page.contains("Not everything"), "{page}");
    }

    #[test]
    fn a_score_over_a_part_says_over_how_much() {
        let page = page((0..4).map(|index| answered("full", index, "yes")).collect());
        assert!(page.contains("- b, full: 4 of 6 scored, 2 not asked"), "{page}");
        assert!(page.contains("| adaptive | no score | – |"), "{page}");
        assert!(page.contains("- b, adaptive: 0 of 6 scored, 6 not asked"), "{page}");
    }

    #[test]
    fn differences_have_a_sign_and_nothing_is_minus_zero() {
        assert_eq!(
            [signed(1.25, 1), signed(-1.26, 1), signed(-0.0, 1), signed(-0.04, 1)],
            ["+1.2", "-1.3", "+0.0", "+0.0"]
        );
    }
}

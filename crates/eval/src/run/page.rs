//! The report of a run in Markdown.

mod accuracy;
mod budgets;
mod costs;
mod differences;
mod headline;
mod words;

use std::fmt::Write;

pub use accuracy::mean_of_vanilla;
pub use headline::headline;
use visionthink_protocol::Mode;
pub(super) use words::{interval, signed};

use super::file::{MethodSection, RunFile};
use super::result::Coverage;
use super::summary::{POOLED, Scope, Summary};

/// The report: methods side by side as in Tables 2 and 7 of the paper, what they cost, and where they differ. Headings begin at the
/// second level.
pub fn markdown(run: &RunFile, summary: &Summary) -> String {
    let mut page = String::new();
    for model in &run.models {
        if run.models.len() > 1 {
            let _ = writeln!(page, "## Model {}\n", model.name);
        }
        accuracy::accuracy(&mut page, run, summary, &model.name);
        if summary.cells.iter().any(|cell| cell.scope.needs_full.is_some()) {
            accuracy::needs(&mut page, run, summary, &model.name);
        }
        accuracy::seeds(&mut page, run, summary, &model.name);
        costs::costs(&mut page, run, summary, &model.name);
        costs::ledger(&mut page, run, summary, model);
        differences::pairs(&mut page, run, summary, &model.name);
        differences::vanilla(&mut page, run, summary, &model.name);
        budgets::budgets(&mut page, run, summary, &model.name);
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

/// Everything together where one rule scores it, else every benchmark.
fn overview(run: &RunFile, summary: &Summary) -> Vec<Scope> {
    if pooled(summary) { vec![Scope::benchmark(POOLED)] } else { whole_scopes(run, summary) }
}

/// The questions that need the full image where there are such, else all.
fn hard_or_all(summary: &Summary, scope: &Scope) -> Scope {
    let hard = Scope { needs_full: Some(true), ..scope.clone() };
    if summary.cells.iter().any(|cell| cell.scope == hard) { hard } else { scope.clone() }
}

/// Shows every question the same share of its picture.
fn is_fixed(method: &MethodSection) -> bool {
    method.mode != Mode::Adaptive
}

fn pooled(summary: &Summary) -> bool {
    summary.cells.iter().any(|cell| cell.scope.benchmark == POOLED)
}

fn table(page: &mut String, heads: &[&str]) {
    let _ = writeln!(page, "| {} |", heads.join(" | "));
    let _ = writeln!(page, "|{}", " --- |".repeat(heads.len()));
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
            "| b | adaptive | 12.0 | 12.0 | 75.0 % | 0.50 | 3.0000 (",
            "| adaptive | full | 12.0 : 16.0 | does not differ at fewer tokens |",
            "| adaptive | -4.0 | -1.0000 (",
            " | 0 : 1 | 1.000 |",
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
}

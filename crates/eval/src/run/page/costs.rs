//! What answers cost.

use std::fmt::Write;

use super::words::{interval, number, percent};
use super::{overview, pooled, table, whole_scopes};
use crate::run::file::{ModelSection, RunFile};
use crate::run::summary::{Cell, Summary};
use crate::statistics::Interval;

/// Figures 4 and 5 of the paper, as a table.
pub(super) fn costs(page: &mut String, run: &RunFile, summary: &Summary, model: &str) {
    page.push_str(
        "### Visual tokens, calls and time\n\nPer answer. \"Entering\" are visual tokens in front of the first layer of the decoder, \"mean\" those in a \
         layer, mean over layers: methods that drop tokens inside the decoder let all of them in, so that methods are held against each other by \
         the mean, here and below, as the authors of VisionZip do. \"Of vanilla\" is the share of the first method's mean; \"calls\" the share of \
         first turns that ask for the full image. Seconds are wall-clock that passed from one answer to the next.\n\n",
    );
    table(page, &["benchmark", "method", "entering", "mean", "of vanilla", "calls", "seconds", "of vanilla"]);
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
                "| {} | {} | {} | {} | {} | {} | {} | {} |",
                scope.benchmark,
                method.name,
                number(cell.visual_tokens.map(|tokens| tokens.value), 1),
                number(cell.visual_tokens_per_layer.map(|tokens| tokens.value), 1),
                percent(share(|cell| cell.visual_tokens_per_layer)),
                number(cell.calls, 2),
                cell.seconds.map_or_else(|| "–".to_owned(), |seconds| interval(seconds, 4, false)),
                percent(share(|cell| cell.seconds)),
            );
        }
    }
    page.push('\n');
}

/// What papers count as one number, apart.
pub(super) fn ledger(page: &mut String, run: &RunFile, summary: &Summary, model: &ModelSection) {
    page.push_str(
        "### Ledger\n\nMeans per answer over all turns. \"Entering\" and \"mean\" are visual tokens as above, \"KV\" visual entries kept summed over \
         layers, \"by formula\" the prompts by the formula that papers on pruning give.",
    );
    if pooled(summary) {
        page.push_str(" Of everything together; `results.json` has the benchmarks apart.");
    }
    if model.engine.is_some() {
        page.push_str(" The model ran on another server: a dash is what it does not tell.");
    }
    page.push_str("\n\n");
    let numbers = ["patches", "entering", "mean", "KV", "prefilled", "reused", "generated", "MFLOPs", "by formula"];
    table(page, &[["benchmark", "method"].as_slice(), &numbers].concat());
    for scope in overview(run, summary) {
        for method in &run.methods {
            let Some((cell, means)) =
                summary.cell(&model.name, &method.name, &scope).and_then(|cell| Some((cell, cell.means?)))
            else {
                continue;
            };
            let numbers = [
                means.patches_encoded,
                cell.visual_tokens.map_or(0.0, |tokens| tokens.value),
                means.visual_tokens_per_layer,
                means.visual_kv_entries,
                means.prefilled_tokens,
                means.reused_tokens,
                means.generated_tokens,
                means.flops / 1e6,
                means.flops_by_formula / 1e6,
            ];
            // A server elsewhere that does not tell a number leaves it at zero.
            let is_told = |value: &f64| model.engine.is_none() || *value != 0.0;
            let shown = numbers.map(|value| number(Some(value).filter(is_told), 1));
            let _ = writeln!(page, "| {} | {} | {} |", scope.benchmark, method.name, shown.join(" | "));
        }
    }
    page.push('\n');
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::run::file::EngineSection;
    use crate::run::folder::RunRecords;
    use crate::run::testing::{answered, run_file};
    use crate::run::verdicts::Verdicts;

    fn ledger_of(run: RunFile) -> String {
        let planned = BTreeMap::from([("b".to_owned(), 6)]);
        let records = (0..6).map(|index| answered("full", index, "yes")).collect();
        let run = RunRecords { run, records, verdicts: Verdicts::default(), planned };
        let mut page = String::new();
        ledger(&mut page, &run.run, &Summary::of(&run).unwrap(), &run.run.models[0]);
        page
    }

    #[test]
    fn what_a_server_elsewhere_does_not_tell_is_a_dash_and_not_zero() {
        assert!(ledger_of(run_file()).contains("| b | full | 0.0 | 16.0 | 16.0 | 0.0 |"));
        let mut elsewhere = run_file();
        let url = "http://127.0.0.1:8000/v1".to_owned();
        elsewhere.models[0].engine = Some(EngineSection { url, model: None, key_env: None });
        let page = ledger_of(elsewhere);
        assert!(page.contains("| b | full | – | 16.0 | 16.0 | – |"), "{page}");
        assert!(page.contains("a dash is what it does not tell"), "{page}");
    }
}

//! What a run found, in a few sentences.

use std::fmt::Write;

use super::differences::{verdict, versus};
use super::words::{interval, signed};
use super::{hard_or_all, is_fixed, name, overview};
use crate::run::file::RunFile;
use crate::run::summary::{Cell, Scope, Summary};
use crate::statistics::Interval;

/// What the first adaptive method scores and costs, and how it stands to the best method of a fixed share at as few visual tokens, as
/// means over layers; a paragraph a model and scope, empty without an adaptive method.
pub fn headline(run: &RunFile, summary: &Summary) -> String {
    let mut text = String::new();
    for model in &run.models {
        for scope in overview(run, summary) {
            let said = sentences(run, summary, &model.name, &scope);
            let who = if run.models.len() > 1 { format!("Model `{}`. ", model.name) } else { String::new() };
            text.extend(said.map(|said| format!("{who}{said}\n\n")));
        }
    }
    text
}

fn sentences(run: &RunFile, summary: &Summary, model: &str, scope: &Scope) -> Option<String> {
    let adaptive = run.methods.iter().find(|method| !is_fixed(method))?;
    let own = summary.cell(model, &adaptive.name, scope)?;
    let (score, tokens) = (own.score?, own.visual_tokens_per_layer?.value);
    let mut text = format!(
        "On the {} questions of `{}` the method `{}` scores {} at {tokens:.1} visual tokens an answer as a mean over layers",
        own.coverage.scored,
        scope.benchmark,
        adaptive.name,
        interval(score, 1, false),
    );
    let vanilla = run.methods.first().filter(|first| first.name != adaptive.name);
    if let Some(cell) = vanilla.and_then(|first| summary.cell(model, &first.name, scope)) {
        text.push_str(&beside(own, cell).unwrap_or_default());
    }
    text.push('.');
    let hard = hard_or_all(summary, scope);
    let best = run
        .methods
        .iter()
        .filter(|method| is_fixed(method))
        .filter(|method| mean_tokens(summary, model, &method.name, scope).is_some_and(|other| other <= tokens + 1e-9))
        .filter_map(|method| Some((method, summary.cell(model, &method.name, &hard)?.score?.value)))
        .max_by(|one, other| one.1.total_cmp(&other.1));
    let Some((best, value)) = best else {
        text.push_str(" No method of a fixed share takes as few.");
        return Some(text);
    };
    let _ = write!(
        text,
        " Of the methods of a fixed share at equal or fewer visual tokens `{}` is best on `{}` with {value:.1} at {:.1} tokens",
        best.name,
        name(&hard),
        mean_tokens(summary, model, &best.name, scope)?,
    );
    if let Some(found) = versus(summary, model, &hard, &adaptive.name, &best.name) {
        let difference = found.difference.score;
        let Interval { value, low, high } = difference;
        let points = [value, low, high].map(|number| signed(number, 1));
        let verdict = verdict(difference);
        let _ = write!(
            text,
            "; there `{}` {verdict}, {} points ({} to {})",
            adaptive.name, points[0], points[1], points[2]
        );
    }
    text.push('.');
    Some(text)
}

fn mean_tokens(summary: &Summary, model: &str, method: &str, scope: &Scope) -> Option<f64> {
    Some(summary.cell(model, method, scope)?.visual_tokens_per_layer?.value)
}

/// Score, tokens and time beside the first method's.
fn beside(own: &Cell, vanilla: &Cell) -> Option<String> {
    let share = |own: f64, vanilla: f64| (vanilla > 0.0).then(|| own / vanilla);
    let tokens = share(own.visual_tokens_per_layer?.value, vanilla.visual_tokens_per_layer?.value)?;
    let seconds = share(own.seconds?.value, vanilla.seconds?.value)?;
    Some(format!(
        ", {:.1} % of those of `{}`, which scores {}; its answers take {seconds:.2} times as long",
        100.0 * tokens,
        vanilla.method,
        interval(vanilla.score?, 1, false),
    ))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::run::file::MethodSection;
    use crate::run::folder::RunRecords;
    use crate::run::testing::{answered, run_file};
    use crate::run::verdicts::Verdicts;

    fn said(run: RunFile, methods: &[&str]) -> String {
        let text = |method: &str, index: u64| if method == "fastv-50" && index % 2 == 1 { "no" } else { "yes" };
        let records = methods
            .iter()
            .flat_map(|method| (0..6).map(move |index| answered(method, index, text(method, index))))
            .collect();
        let planned = BTreeMap::from([("b".to_owned(), 6)]);
        let run = RunRecords { run, records, verdicts: Verdicts::default(), planned };
        headline(&run.run, &Summary::of(&run).unwrap())
    }

    #[test]
    fn adaptive_stands_beside_vanilla_and_against_nobody_where_nobody_takes_as_few_tokens() {
        let said = said(run_file(), &["full", "adaptive"]);
        let expected = "On the 6 questions of `b` the method `adaptive` scores 100.0 (100.0 to 100.0) at 12.0 visual tokens an answer as a mean over \
            layers, 75.0 % of those of `full`, which scores 100.0 (100.0 to 100.0); its answers take 0.75 times as long. No method of a fixed \
            share takes as few.\n\n";
        assert_eq!(said, expected);
    }

    #[test]
    fn a_budget_is_the_mean_over_layers_and_not_what_enters_the_decoder() {
        let mut run = run_file();
        let fastv =
            MethodSection { name: "fastv-50".into(), pruning: "fastv:0.5".parse().ok(), ..run.methods[0].clone() };
        run.methods.push(fastv);
        // It lets 16 tokens in, more than adaptive takes, and has 8 in a layer.
        let said = said(run, &["full", "adaptive", "fastv-50"]);
        let expected = "at equal or fewer visual tokens `fastv-50` is best on `b, hard` with 0.0 at 8.0 tokens; there `adaptive` leads, \
            +100.0 points (+100.0 to +100.0).\n\n";
        assert!(said.ends_with(expected), "{said}");
    }

    #[test]
    fn without_an_adaptive_method_nothing_is_said() {
        let mut run = run_file();
        run.methods.truncate(1);
        assert_eq!(said(run, &["full"]), "");
    }
}

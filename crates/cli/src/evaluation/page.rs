//! `report.html` of an evaluation: charts, tables, and the questions that methods answer differently with what each saw.

mod bars;
mod samples;
mod tables;

use std::fmt::Write;
use std::path::Path;

use visionthink_eval::run::{
    Cell, MethodSection, POOLED, RunFile, RunRecords, Scope, Summary, markdown, mean_of_vanilla,
};
use visionthink_plot::{Mark, Measured, PAGE_CSS as PLOT_CSS, ScatterChart, Style};

use super::report::settings;
use crate::html::{PAGE_CSS, escape, head};

/// The whole page.
pub(crate) fn render(run: &RunRecords, summary: &Summary, folder: &Path) -> anyhow::Result<String> {
    let name = &run.run.run.name;
    let styles = [PAGE_CSS, PLOT_CSS, include_str!("../training/report.css"), include_str!("page/page.css")];
    let mut html = head(&format!("{name}: evaluation"), &styles);
    let _ =
        write!(html, "<h1>{}</h1>\n<p class=\"lead\">What each method is worth and what it costs.</p>", escape(name));
    tiles(&mut html, &run.run, summary);
    html.push_str("<h2>Worth and cost</h2><p class=\"lead\">Up and to the left is better; the dashed stair joins what no other method beats.</p><div class=\"charts\">");
    for (_, chart) in charts(&run.run, summary) {
        let _ = write!(html, "<div class=\"chart\">{}</div>", chart.svg(Style::Page));
    }
    html.push_str("</div>\n");
    bars::render(&mut html, &run.run, summary);
    html.push_str("<h2>Numbers</h2>");
    tables::render(&mut html, &markdown(&run.run, summary));
    samples::render(&mut html, run, summary)?;
    html.push_str("<h2>Settings</h2>");
    tables::render(&mut html, &settings(&run.run, folder));
    let manifest = fs_err::read_to_string(folder.join("manifest.json")).unwrap_or_default();
    let _ = write!(html, "<details><summary>manifest</summary><pre>{}</pre></details>", escape(&manifest));
    html.push_str("</body></html>\n");
    Ok(html)
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
            let title = format!("{words}: score against {against}");
            let chart = ScatterChart { title, x_label: x_label.to_owned(), y_label: "score".to_owned(), marks };
            found.push((format!("{file}-{file_end}"), chart));
        };
        add("visual tokens", "tokens", "visual tokens an answer", |cell| cell.visual_tokens.map(measured));
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

fn measured(of: visionthink_eval::statistics::Interval) -> Measured {
    Measured { value: of.value, low: of.low, high: of.high }
}

fn marks(run: &RunFile, summary: &Summary, scope: &Scope, x: fn(&Cell) -> Option<Measured>) -> Vec<Mark> {
    let mut marks = Vec::new();
    for model in &run.models {
        for method in &run.methods {
            let cell = summary.cell(&model.name, &method.name, scope);
            let known = cell.and_then(|cell| Some((x(cell)?, measured(cell.score?))));
            // A mark keeps its colour in every chart, so one without numbers stays, and is not drawn.
            let nothing = Measured { value: f64::NAN, ..Measured::default() };
            let (x, y) = known.unwrap_or((nothing, nothing));
            marks.push(Mark { name: label(run, &model.name, method), x, y });
        }
    }
    marks
}

/// A method as charts name it; with its model where there are several.
fn label(run: &RunFile, model: &str, method: &MethodSection) -> String {
    if run.models.len() > 1 { format!("{model}, {}", method.name) } else { method.name.clone() }
}

fn tiles(html: &mut String, run: &RunFile, summary: &Summary) {
    html.push_str("<div class=\"tiles\">");
    for model in &run.models {
        for method in &run.methods {
            let cells: Vec<&Cell> = summary
                .cells
                .iter()
                .filter(|cell| cell.model == model.name && cell.method == method.name)
                .filter(|cell| cell.scope.needs_full.is_none() && cell.scope.benchmark != POOLED)
                .collect();
            let mean = |of: &dyn Fn(&Cell) -> Option<f64>| {
                let known: Vec<f64> = cells.iter().filter_map(|cell| of(cell)).collect();
                (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
            };
            let shown = |number: Option<f64>, scale: f64, unit: &str| {
                number.map_or_else(|| "–".to_owned(), |number| format!("{:.1}{unit}", scale * number))
            };
            let _ = write!(
                html,
                "<section class=\"tile\"><h3>{}</h3><dl><dt>of vanilla's score</dt><dd>{}</dd><dt>visual tokens an answer</dt><dd>{}</dd>\
                 <dt>asked for more</dt><dd>{}</dd><dt>milliseconds an answer</dt><dd>{}</dd></dl></section>",
                escape(&label(run, &model.name, method)),
                shown(mean_of_vanilla(run, summary, &model.name, &method.name), 1.0, " %"),
                shown(mean(&|cell| Some(cell.visual_tokens?.value)), 1.0, ""),
                shown(mean(&|cell| cell.calls), 100.0, " %"),
                shown(mean(&|cell| Some(cell.seconds?.value)), 1e3, ""),
            );
        }
    }
    html.push_str("</div>\n");
}

//! Figures 4 and 5 of the paper: how long each method takes, and how often it asks for the full image.

use std::fmt::Write;

use visionthink_eval::run::{Cell, RunFile, Scope, Summary};

use super::label;
use crate::html::escape;

pub(super) fn render(html: &mut String, run: &RunFile, summary: &Summary) {
    html.push_str("<h2>Time</h2><p class=\"lead\">Milliseconds of wall-clock an answer (Figure 4).</p>");
    figure(html, run, summary, &|cell| Some(1e3 * cell.seconds?.value), &|value| format!("{value:.2}"), None);
    html.push_str("<h2>Calls</h2><p class=\"lead\">Share of first turns that ask for the full image (Figure 5).</p>");
    let adaptive = |cell: &Cell| {
        let method = run.methods.iter().find(|method| method.name == cell.method)?;
        (method.mode == visionthink_protocol::Mode::Adaptive).then_some(cell.calls?)
    };
    figure(html, run, summary, &adaptive, &|value| format!("{:.1} %", 100.0 * value), Some(1.0));
}

/// A box a benchmark, a bar a method; `full` is what the longest bar would stand for.
fn figure(
    html: &mut String,
    run: &RunFile,
    summary: &Summary,
    of: &dyn Fn(&Cell) -> Option<f64>,
    shown: &dyn Fn(f64) -> String,
    full: Option<f64>,
) {
    html.push_str("<div class=\"bars\">");
    for section in &run.benchmarks {
        let scope = Scope::benchmark(&section.name);
        let mut bars = Vec::new();
        for model in &run.models {
            for method in &run.methods {
                let value = summary.cell(&model.name, &method.name, &scope).and_then(of);
                bars.extend(value.map(|value| (label(run, &model.name, method), value)));
            }
        }
        let longest = full.unwrap_or_else(|| bars.iter().map(|(_, value)| *value).fold(f64::MIN_POSITIVE, f64::max));
        let _ = write!(html, "<section><h3>{}</h3>", escape(&section.name));
        for (name, value) in bars {
            let wide = (100.0 * value / longest).clamp(0.0, 100.0);
            let _ = write!(
                html,
                "<div class=\"bar\"><span>{}</span><i style=\"width:{wide:.1}%\"></i><b>{}</b></div>",
                escape(&name),
                shown(value)
            );
        }
        html.push_str("</section>");
    }
    html.push_str("</div>\n");
}

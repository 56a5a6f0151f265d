//! `report.html` of an evaluation: charts, tables, and the questions that methods answer differently with what each saw.

mod bars;
mod charts;
mod overview;
mod samples;
mod tables;

use std::fmt::Write;
use std::path::Path;

pub(crate) use charts::charts;
use visionthink_eval::run::{MethodSection, RunFile, RunRecords, Summary, headline, markdown};
use visionthink_plot::{PAGE_CSS as PLOT_CSS, Style};

use super::report::settings;
use crate::html::{PAGE_CSS, escape, head};

/// As wide as two charts beside each other, so that letters are as large as theirs.
const LEGEND_WIDTH: f64 = 820.0;

/// The whole page.
pub(crate) fn render(run: &RunRecords, summary: &Summary, folder: &Path) -> anyhow::Result<String> {
    let name = &run.run.run.name;
    let styles = [PAGE_CSS, PLOT_CSS, include_str!("../training/report.css"), include_str!("page/page.css")];
    let mut html = head(&format!("{name}: evaluation"), &styles);
    let _ =
        write!(html, "<h1>{}</h1>\n<p class=\"lead\">What each method is worth and what it costs.</p>", escape(name));
    tables::render(&mut html, &headline(&run.run, summary));
    overview::render(&mut html, &run.run, summary);
    html.push_str("<h2>Worth and cost</h2><p class=\"lead\">Up and to the left is better; the dashed stair joins what no other method beats.</p>");
    let charts = charts(&run.run, summary);
    if let Some((_, chart)) = charts.first().filter(|(_, chart)| chart.is_legend_apart) {
        let _ = write!(html, "<div class=\"chart legend\">{}</div>", chart.legend(Style::Page, LEGEND_WIDTH));
    }
    html.push_str("<div class=\"charts\">");
    for (_, chart) in charts {
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

/// A method as charts name it; with its model where there are several.
fn label(run: &RunFile, model: &str, method: &MethodSection) -> String {
    if run.models.len() > 1 { format!("{model}, {}", method.name) } else { method.name.clone() }
}

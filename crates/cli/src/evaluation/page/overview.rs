//! What each method is worth and what it costs, at one look: cards of a few methods, a table of many.

use std::fmt::Write;

use visionthink_eval::run::{Cell, POOLED, RunFile, Summary, mean_of_vanilla};

use super::label;
use crate::html::escape;

/// More methods than this are a table: cards of so many would not be looked at together.
const MOST_CARDS: usize = 6;

/// What is told of a method, with a dash for what is not known.
const TOLD: [&str; 5] =
    ["of vanilla's score", "visual tokens entering", "mean over layers", "asked for more", "ms an answer"];

pub(super) fn render(html: &mut String, run: &RunFile, summary: &Summary) {
    let rows: Vec<(String, [String; 5])> = run
        .models
        .iter()
        .flat_map(|model| run.methods.iter().map(move |method| (model, method)))
        .map(|(model, method)| (label(run, &model.name, method), numbers(run, summary, &model.name, &method.name)))
        .collect();
    if rows.len() > MOST_CARDS {
        table(html, &rows);
    } else {
        cards(html, &rows);
    }
}

fn cards(html: &mut String, rows: &[(String, [String; 5])]) {
    html.push_str("<div class=\"tiles\">");
    for (name, numbers) in rows {
        let _ = write!(html, "<section class=\"tile\"><h3>{}</h3><dl>", escape(name));
        for (what, number) in TOLD.iter().zip(numbers) {
            let _ = write!(html, "<dt>{what}</dt><dd>{number}</dd>");
        }
        html.push_str("</dl></section>");
    }
    html.push_str("</div>\n");
}

fn table(html: &mut String, rows: &[(String, [String; 5])]) {
    html.push_str("<div class=\"scroll\"><table><tr><th>method</th>");
    for what in TOLD {
        let _ = write!(html, "<th>{what}</th>");
    }
    html.push_str("</tr>");
    for (name, numbers) in rows {
        let _ = write!(html, "<tr><td class=\"text\">{}</td>", escape(name));
        for number in numbers {
            let _ = write!(html, "<td>{number}</td>");
        }
        html.push_str("</tr>");
    }
    html.push_str("</table></div>\n");
}

/// Means over benchmarks, each of which counts the same.
fn numbers(run: &RunFile, summary: &Summary, model: &str, method: &str) -> [String; 5] {
    let cells: Vec<&Cell> = summary
        .cells
        .iter()
        .filter(|cell| cell.model == model && cell.method == method)
        .filter(|cell| cell.scope.needs_full.is_none() && cell.scope.benchmark != POOLED)
        .collect();
    let mean = |of: &dyn Fn(&Cell) -> Option<f64>| {
        let known: Vec<f64> = cells.iter().filter_map(|cell| of(cell)).collect();
        (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
    };
    let shown = |number: Option<f64>, scale: f64, unit: &str| {
        number.map_or_else(|| "–".to_owned(), |number| format!("{:.1}{unit}", scale * number))
    };
    [
        shown(mean_of_vanilla(run, summary, model, method), 1.0, " %"),
        shown(mean(&|cell| Some(cell.visual_tokens?.value)), 1.0, ""),
        shown(mean(&|cell| Some(cell.visual_tokens_per_layer?.value)), 1.0, ""),
        shown(mean(&|cell| cell.calls), 100.0, " %"),
        shown(mean(&|cell| Some(cell.seconds?.value)), 1e3, ""),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(methods: usize) -> String {
        let mut run =
            RunFile::from_file(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/study.toml"))
                .unwrap();
        run.methods.truncate(methods);
        let mut html = String::new();
        render(&mut html, &run, &Summary { cells: vec![], versus: vec![], seeds: vec![] });
        html
    }

    #[test]
    fn a_few_methods_are_cards_and_many_a_table() {
        let (few, many) = (rendered(6), rendered(7));
        assert_eq!((few.matches("<section").count(), few.matches("<table").count()), (6, 0), "{few}");
        assert_eq!((many.matches("<section").count(), many.matches("<tr><td").count()), (0, 7), "{many}");
    }
}

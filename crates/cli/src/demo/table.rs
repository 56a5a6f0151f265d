//! The demo's table for the terminal.

use std::fmt::Write;

use super::result::{Demo, Sums};

/// Visual tokens are shown per question; `of full` is their share of what mode `full` takes, where it was run.
pub(crate) fn render(demo: &Demo) -> String {
    let full = demo.totals.iter().find(|total| total.mode == visionthink_protocol::Mode::Full);
    let full_tokens = full.map(|total| per_question(total.sums.visual_tokens, &total.sums));
    let mut text = format!(
        "{:<10} {:<5} {:<9} {:>9} {:>8} {:>9} {:>7} {:>8} {:>8}\n",
        "family", "needs", "mode", "questions", "right", "asked for", "visual", "of full", "seconds"
    );
    let mut line = |family: &str, needs: &str, mode: String, sums: &Sums| {
        let visual = per_question(sums.visual_tokens, sums);
        let of_full = full_tokens.map_or_else(|| "-".to_owned(), |full| format!("{:.0} %", 100.0 * visual / full));
        let _ = writeln!(
            text,
            "{family:<10} {needs:<5} {mode:<9} {:>9} {:>6.1} % {:>7.1} % {visual:>7.1} {of_full:>8} {:>8.2}",
            sums.questions,
            100.0 * per_question(sums.correct, sums),
            100.0 * per_question(sums.resize_calls, sums),
            sums.seconds,
        );
    };
    for row in &demo.rows {
        line(row.family, if row.needs_full { "full" } else { "low" }, row.mode.to_string(), &row.sums);
    }
    for total in &demo.totals {
        line("all", "", total.mode.to_string(), &total.sums);
    }
    text
}

fn per_question(count: usize, sums: &Sums) -> f64 {
    count as f64 / sums.questions.max(1) as f64
}

//! What an experiment found, as a page in Markdown.

use std::fmt::Write;

use visionthink_protocol::Mode;

use super::definition::{Definition, Variant};
use super::trial::{Measured, TrialResult};

/// The share of hard questions in the mix that visual tokens are reported for.
const HARD_SHARE: f64 = 0.3;

/// The page; `results[v]` are those of the `v`-th variant, seed by seed.
pub(crate) fn render(definition: &Definition, results: &[Vec<TrialResult>], command: &str) -> String {
    let experiment = &definition.experiment;
    let mut page = format!("## {}\n\n", experiment.title);
    let commits = commits(results);
    let _ = writeln!(
        page,
        "`{command}`, commit {commits}. {} held-out questions a family, answered greedily. \"Calls\" is the share of first turns \
         that asked for the full image, on questions that do not need it (easy) and that do (hard); \"tokens\" is the \
         share of a full image's visual tokens, on {:.0} % easy and {:.0} % hard questions.\n",
        experiment.questions,
        100.0 * (1.0 - HARD_SHARE),
        100.0 * HARD_SHARE,
    );
    for plot in &definition.plots {
        let _ = writeln!(page, "![{}]({}-{}.svg)\n", plot.title, experiment.name, plot.name);
    }
    page.push_str("| | seed | steps | calls, easy | calls, hard | right | right in full | tokens |\n");
    page.push_str("| --- | --- | --- | --- | --- | --- | --- | --- |\n");
    for (variant, results) in definition.variants.iter().zip(results) {
        for result in results {
            page.push_str(&row(variant, result));
        }
    }
    for (variant, results) in definition.variants.iter().zip(results) {
        for result in results {
            if let Some(reason) = &result.ended_early {
                let TrialResult { seed, steps, .. } = result;
                let _ = write!(page, "\n- {}, seed {seed}, ended behind step {steps}: {reason}.", variant.label);
            }
        }
    }
    page.push('\n');
    page
}

fn row(variant: &Variant, result: &TrialResult) -> String {
    let adaptive = |needs_full| Sum::of(&result.rows, Mode::Adaptive, Some(needs_full));
    let (easy, hard) = (adaptive(false), adaptive(true));
    let full = |needs_full| Sum::of(&result.rows, Mode::Full, Some(needs_full));
    let tokens = |sum: &Sum, full: Sum| sum.visual_tokens / full.visual_tokens;
    let tokens = (1.0 - HARD_SHARE) * tokens(&easy, full(false)) + HARD_SHARE * tokens(&hard, full(true));
    let right = |mode| {
        let all = Sum::of(&result.rows, mode, None);
        all.correct / all.questions
    };
    format!(
        "| {} | {} | {} | {:.3} | {:.3} | {:.3} | {:.3} | {tokens:.2} |\n",
        variant.label,
        result.seed,
        result.steps,
        easy.resize_calls / easy.questions,
        hard.resize_calls / hard.questions,
        right(Mode::Adaptive),
        right(Mode::Full),
    )
}

/// Sums over rows.
#[derive(Default)]
struct Sum {
    questions: f64,
    correct: f64,
    resize_calls: f64,
    visual_tokens: f64,
}

impl Sum {
    fn of(rows: &[Measured], mode: Mode, needs_full: Option<bool>) -> Self {
        let mut sum = Self::default();
        let asked = |row: &&Measured| row.mode == mode && needs_full.is_none_or(|need| row.needs_full == need);
        for row in rows.iter().filter(asked) {
            sum.questions += row.questions as f64;
            sum.correct += row.correct as f64;
            sum.resize_calls += row.resize_calls as f64;
            sum.visual_tokens += row.visual_tokens as f64;
        }
        sum
    }
}

fn commits(results: &[Vec<TrialResult>]) -> String {
    let mut commits: Vec<&str> =
        results.iter().flatten().map(|result| result.commit.as_deref().unwrap_or("unknown")).collect();
    commits.sort_unstable();
    commits.dedup();
    commits.join(", ")
}

//! MathVerse: every answer goes to a judge.

use serde::Serialize;

use super::ratio;
use crate::python::text::strip;

/// How many pieces of a prediction the judge of v0.3.2 sees.
const PIECES: usize = 30;

/// The end of a prediction that v0.3.2 shows its judge: the last 30 pieces between single spaces.
///
/// Source: lmms-eval, `MathVerseEvaluator.eval_results` of `tasks/mathverse/mathverse_evals`, v0.3.2.
pub fn end_of(prediction: &str) -> &str {
    let prediction = strip(prediction);
    match prediction.rmatch_indices(' ').nth(PIECES - 1) {
        Some((at, space)) => prediction.get(at + space.len()..).unwrap_or_default(),
        None => prediction,
    }
}

/// Counts and their share.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scores {
    /// Share of right answers, 0 to 1.
    pub accuracy: f64,
    /// Right answers.
    pub correct: usize,
    /// All questions.
    pub total: usize,
}

/// The counts over judged answers.
pub fn aggregate(right: &[bool]) -> Scores {
    let correct = right.iter().filter(|right| **right).count();
    Scores { accuracy: ratio(correct, right.len()), correct, total: right.len() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_counted_between_single_spaces() {
        let numbers: Vec<String> = (0..40).map(|number| number.to_string()).collect();
        assert_eq!(end_of(&numbers.join(" ")), numbers[10..].join(" "));
        assert_eq!(end_of(&numbers.join("  ")), format!(" {}", numbers[25..].join("  ")));
        assert_eq!(end_of(&numbers.join("\n")), numbers.join("\n"));
        assert_eq!(end_of(" a "), "a");
    }
}

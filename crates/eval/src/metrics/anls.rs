//! Average normalised Levenshtein similarity: DocVQA and InfoVQA.

use super::edit_distance::edit_distance;
use crate::python::text::{strip, words};

/// Similarities below this are 0.
const THRESHOLD: f64 = 0.5;

/// The score of one question, 0 or 0.5 to 1.
///
/// `1 - min over answers of d / l`, where `d` is the edit distance of the normalised texts (stripped, lowered, white
/// space made single) and `l` the longer of the texts as they are, in capitals; a value below 0.5 is 0. No answers
/// give 0.
///
/// Source: lmms-eval, `api/metrics`, reference.
pub fn anls<A: AsRef<str>>(prediction: &str, answers: &[A]) -> f64 {
    let prediction = strip(prediction);
    let nearest = answers.iter().map(|answer| distance(prediction, answer.as_ref())).fold(1.0, f64::min);
    let similarity = 1.0 - nearest;
    if similarity < THRESHOLD { 0.0 } else { similarity }
}

fn distance(prediction: &str, answer: &str) -> f64 {
    let length = capitals(answer).max(capitals(prediction));
    if length == 0 {
        return 0.0;
    }
    edit_distance(&normalised(answer), &normalised(prediction)) as f64 / length as f64
}

/// How many characters a text has in capitals: `ß` has two.
fn capitals(text: &str) -> usize {
    text.to_uppercase().chars().count()
}

fn normalised(text: &str) -> String {
    words(&text.to_lowercase()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_answer_counts() {
        assert_eq!(anls("London", &["Paris", "london"]), 1.0);
        assert_eq!(anls("Par", &["Paris"]), 0.6);
    }

    #[test]
    fn half_stays_and_less_is_nothing() {
        assert_eq!(anls("ab", &["abcd"]), 0.5);
        assert_eq!(anls("P", &["Paris"]), 0.0);
    }

    #[test]
    fn the_length_is_that_of_the_text_before_white_space_is_made_single() {
        assert_eq!(anls("aaaa", &["aaaa    b"]), 1.0 - 2.0 / 9.0);
        assert_eq!(anls(" İ ", &["i"]), 0.0);
    }

    #[test]
    fn nothing_to_compare_with_is_no_match() {
        assert_eq!(anls::<&str>("a", &[]), 0.0);
        assert_eq!(anls("", &[""]), 1.0);
    }
}

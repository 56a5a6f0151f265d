//! Where the mathematics stands in a text, in the order in which math-verify tries it.
//!
//! Groups of places are tried one after another: after *final answer is*, in a box, after *answer*, anywhere. In a group
//! the place that ends last comes first, then the one that begins first.

mod anchored;
mod arithmetic;
mod environment;

use anchored::{after_answer, after_final_answer, before_i_hope};

/// Only the end of a longer text is read: the answer is there.
const MAX_CHARS: usize = 8000;

/// A place, and what kind of mathematics is in it. Positions are in characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    start: usize,
    end: usize,
    pub(crate) found: Found,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// LaTeX between delimiters, several pieces where *and*, *or* or a comma connects them.
    Pieces(Vec<Piece>),
    /// From a `\boxed{` to the last brace of the text.
    Box(String),
    /// Arithmetic: digits, operators, parentheses.
    Arithmetic(String),
    /// A number.
    Number {
        /// Without separators, with a point.
        digits: String,
        /// Followed by a percent sign or word.
        percent: bool,
    },
}

/// LaTeX between delimiters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) latex: String,
    /// Followed by a percent sign or word.
    pub(crate) percent: bool,
}

/// Reads mathematics that begins at a position.
type Matcher = fn(&[char], usize) -> Option<Place>;

/// When boxes are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BoxesCome {
    /// With the first group.
    First,
    /// Together with *final answer is*.
    Second,
}

/// The groups of places, each in the order to try.
pub(crate) fn groups(text: &str, boxes: BoxesCome) -> impl Iterator<Item = Vec<Place>> {
    let mut chars: Vec<char> = text.chars().collect();
    chars.drain(..chars.len().saturating_sub(MAX_CHARS));
    (0..5).map(move |group| {
        let mut places = match group {
            0 => both(&chars, before_i_hope),
            1 => both(&chars, after_final_answer),
            2 => both(&chars, |text, matcher| after_answer(text, matcher, true)),
            3 => both(&chars, |text, matcher| after_answer(text, matcher, false)),
            _ => anywhere(&chars),
        };
        if group == usize::from(boxes == BoxesCome::Second) {
            places.extend(all(&chars, environment::boxed));
            places.extend(environment::from_first_box(&chars));
        }
        places.sort_by(|a, b| b.end.cmp(&a.end).then(a.start.cmp(&b.start)));
        places
    })
}

const LATEX: Matcher = environment::plain;
const PLAIN: Matcher = arithmetic::expression_or_number;

fn both(text: &[char], search: impl Fn(&[char], Matcher) -> Vec<Place>) -> Vec<Place> {
    let mut places = search(text, LATEX);
    places.extend(search(text, PLAIN));
    places
}

fn anywhere(text: &[char]) -> Vec<Place> {
    let mut places = all(text, LATEX);
    places.extend(all(text, arithmetic::expression));
    places.extend(all(text, arithmetic::number));
    places
}

/// All places from left to right that do not overlap.
fn all(text: &[char], matcher: Matcher) -> Vec<Place> {
    let mut places = Vec::new();
    let mut at = 0;
    while at < text.len() {
        match matcher(text, at) {
            Some(place) => {
                at = place.end.max(at + 1);
                places.push(place);
            }
            None => at += 1,
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first place of the first group that has one.
    fn first(text: &str, boxes: BoxesCome) -> Option<Found> {
        groups(text, boxes).find_map(|group| group.into_iter().next()).map(|place| place.found)
    }

    fn number(digits: &str, percent: bool) -> Found {
        Found::Number { digits: digits.to_owned(), percent }
    }

    fn latex(pieces: &[&str]) -> Found {
        let piece = |latex: &&str| Piece { latex: (*latex).to_owned(), percent: false };
        Found::Pieces(pieces.iter().map(piece).collect())
    }

    #[test]
    fn the_last_number_counts_unless_an_answer_is_announced() {
        let found = |text| first(text, BoxesCome::First);
        assert_eq!(found("between 2 and 3"), Some(number("3", false)));
        assert_eq!(found("the answer: 2, not 3"), Some(number("2", false)));
        assert_eq!(found("Answer 5. The final answer is 7. I hope it is."), Some(number("7", false)));
        assert_eq!(found("1,234.5 percent"), Some(number("1234.5", true)));
        assert_eq!(found("costs $5"), Some(number("5", false)));
        assert_eq!(found("x5, +3"), None);
    }

    #[test]
    fn arithmetic_is_longer_than_its_numbers() {
        let found = |text| first(text, BoxesCome::First);
        assert_eq!(found("x = 1/2"), Some(Found::Arithmetic("1/2".to_owned())));
        assert_eq!(found("2 * 3 apples"), Some(Found::Arithmetic("2 * 3".to_owned())));
        assert_eq!(found("(1+2)*3"), Some(Found::Arithmetic("(1+2)*3".to_owned())));
        assert_eq!(found("2-"), Some(number("2", false)));
    }

    #[test]
    fn latex_is_found_between_its_delimiters() {
        let found = |text| first(text, BoxesCome::First);
        for text in ["is $x$", "is $$x$$", r"is \(x\)", r"is \[x\]", "is [x] "] {
            assert_eq!(found(text), Some(latex(&["x"])), "{text}");
        }
        assert_eq!(found("$1$, $2$ or $3$"), Some(latex(&["1", "2", "3"])));
        assert_eq!(found(r"-\frac{1}{2}"), Some(latex(&[r"-\frac{1}{2}"])));
        assert_eq!(found(r"\frac{x}{2}"), None);
        assert_eq!(found("costs $5 or 6"), Some(number("6", false)));
    }

    #[test]
    fn a_box_of_the_prediction_comes_before_an_announced_answer() {
        let text = r"The final answer is 7, \boxed{3} that is";
        assert_eq!(first(text, BoxesCome::First), Some(Found::Box(r"\boxed{3}".to_owned())));
        assert_eq!(first(r"$\boxed{3}$", BoxesCome::Second), Some(latex(&[r"\boxed{3}"])));
    }
}

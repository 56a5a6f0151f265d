//! The letter of a multiple choice.

use crate::python::text::{strip, strip_each, words};

/// Stripped from both ends, one after another.
const MARKS: &str = ",.!?;:'";

/// A response with fewer words is not searched for the texts of options.
const LEAST_WORDS: usize = 6;

/// The letter that a response chooses among options, the first of which is A; `None` where the harness draws one at
/// random.
///
/// Looked for, until something is found: `(A)`, `A` before a space, `A.`, and, in more than five words, the text of an
/// option in any case. Of several finds the one that occurs last wins; those of the second and third kind are placed
/// by ` A `, and a tie goes to the first.
///
/// Source: lmms-eval, `parse_multi_choice_response` of `tasks/mmmu/utils`, reference and v0.3.2.
pub fn parse_choice<O: AsRef<str>>(response: &str, options: &[O]) -> Option<char> {
    let text = format!(" {} ", strip_each(strip(response), MARKS));
    let letters = || ('A'..).take(options.len());
    let written = |shown: fn(char) -> String| -> Vec<char> {
        letters().filter(|letter| text.contains(&shown(*letter))).collect()
    };

    let bracketed = written(|letter| format!("({letter})"));
    if !bracketed.is_empty() {
        return last(&bracketed, |letter| text.rfind(&format!("({letter})")));
    }
    let mut loose = written(|letter| format!("{letter} "));
    if loose.is_empty() {
        loose = written(|letter| format!("{letter}."));
    }
    if !loose.is_empty() {
        return last(&loose, |letter| text.rfind(&format!(" {letter} ")));
    }
    if words(&text).count() < LEAST_WORDS {
        return None;
    }
    let lowered = text.to_lowercase();
    let place = |option: &O| lowered.rfind(&option.as_ref().to_lowercase());
    let named: Vec<(char, usize)> =
        letters().zip(options).filter_map(|(letter, option)| Some((letter, place(option)?))).collect();
    latest(named.into_iter().map(|(letter, place)| (letter, Some(place))))
}

fn last(letters: &[char], place: impl Fn(char) -> Option<usize>) -> Option<char> {
    latest(letters.iter().map(|letter| (*letter, place(*letter))))
}

/// The letter at the last place, the first of those at one place; a letter without a place is before all others.
fn latest(places: impl Iterator<Item = (char, Option<usize>)>) -> Option<char> {
    places.reduce(|best, next| if next.1 > best.1 { next } else { best }).map(|(letter, _)| letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: [&str; 4] = ["apple", "banana", "cherry", "date"];

    #[test]
    fn brackets_come_before_bare_letters() {
        assert_eq!(parse_choice("A or (C) or (B)?", &OPTIONS), Some('B'));
        assert_eq!(parse_choice("A is wrong. B is right", &OPTIONS), Some('B'));
        assert_eq!(parse_choice("A. B. C", &OPTIONS), Some('C'));
    }

    #[test]
    fn the_end_of_a_word_in_capitals_is_a_letter() {
        assert_eq!(parse_choice("DNA shows", &OPTIONS), Some('A'));
    }

    #[test]
    fn letters_without_a_place_are_a_tie() {
        assert_eq!(parse_choice("x:B. y:A.z", &OPTIONS), Some('A'));
    }

    #[test]
    fn option_texts_are_looked_for_in_long_responses_only() {
        assert_eq!(parse_choice("It is either a Cherry or a banana", &OPTIONS), Some('B'));
        assert_eq!(parse_choice("it is a banana", &OPTIONS), None);
        assert_eq!(parse_choice("", &[] as &[&str]), None);
    }
}

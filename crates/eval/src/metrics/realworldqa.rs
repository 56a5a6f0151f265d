//! RealWorldQA: a letter, a word or a number, compared as text.

use super::answer_tag::{TagOrder, answer};
use super::mcq;
use crate::python::character::{is_space, is_word};
use crate::python::text::strip;

const LETTERS: [char; 4] = ['A', 'B', 'C', 'D'];

/// Whether a prediction is right by the rules of the reference: a truth of A to D is compared with the letter that
/// [`mcq::extract`] finds, any other with the whole text, lowered and without final dots.
///
/// Source: lmms-eval, `tasks/realworldqa/utils`, reference.
pub fn is_right(prediction: &str, truth: &str) -> bool {
    let lowered_truth = truth.to_lowercase();
    let truth = strip(&lowered_truth);
    if matches!(truth, "a" | "b" | "c" | "d") {
        let found = mcq::extract(prediction, &LETTERS);
        return found.is_some_and(|letter| truth.starts_with(letter.to_ascii_lowercase()));
    }
    is_same_text(prediction, truth)
}

/// Whether a text is the truth, both lowered and stripped, the text without final dots.
pub fn is_same_text(text: &str, truth: &str) -> bool {
    strip(&text.to_lowercase()).trim_end_matches('.') == strip(&truth.to_lowercase())
}

/// The prediction (raw) as v0.3.2 hands it to [`is_same_text`].
///
/// - With a tag order, it is cut to the answer between the tags.
/// - A number word from zero to ten that is the whole text becomes digits.
/// - All characters but word characters and white space go, then white space at the ends.
/// - If the text of an option of the question occurs, its letter is the result: of the leftmost option, at one place of
///   the first on the list. Options keep their punctuation, so `8 A.M.` is never found.
///
/// Source: lmms-eval, `NumberWordsToDigitsFilter` and `MultiChoiceRegexFilter` of `tasks/realworldqa/utils`, v0.3.2
/// (no tag); VisionThink, `utils_realworldqa`, commit 42afd8c ([`TagOrder::OpenLastFirst`]).
pub fn filter(question: &str, prediction: &str, tag: Option<TagOrder>) -> String {
    let text = tag.map_or(prediction, |order| answer(prediction, order));
    let digits = digit_word(&text.to_lowercase()).unwrap_or(text);
    let bare: String = digits.chars().filter(|c| is_word(*c) || is_space(*c)).collect();
    let bare = strip(&bare);
    chosen_option(bare, &options(question)).map_or_else(|| bare.to_owned(), String::from)
}

fn digit_word(word: &str) -> Option<&'static str> {
    Some(match word {
        "zero" => "0",
        "one" => "1",
        "two" => "2",
        "three" => "3",
        "four" => "4",
        "five" => "5",
        "six" => "6",
        "seven" => "7",
        "eight" => "8",
        "nine" => "9",
        "ten" => "10",
        _ => return None,
    })
}

/// The letter of the option that occurs first in a text; of options with the same text the last gives its letter.
fn chosen_option(text: &str, options: &[&str]) -> Option<char> {
    let starts = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    let mut tails = starts.filter_map(|at| text.get(at..));
    let found = tails.find_map(|tail| options.iter().find(|option| tail.starts_with(**option)))?;
    let place = options.iter().rposition(|option| option == found)?;
    char::from_u32(u32::from('A') + u32::try_from(place).ok()?)
}

/// What follows a capital with a dot and white space, up to the end of the line: `\b[A-Z]\.\s+([^\n]*)`.
fn options(question: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut before: Option<char> = None;
    let mut rest = question;
    while let Some(first) = rest.chars().next() {
        if let Some(tail) = labelled(rest, before) {
            let (line, after) = tail.split_at(tail.find('\n').unwrap_or(tail.len()));
            found.push(strip(line));
            before = line.chars().next_back().or(Some(' '));
            rest = after;
        } else {
            before = Some(first);
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
        }
    }
    found
}

/// What follows a label at the start of a text, if there is one.
fn labelled(text: &str, before: Option<char>) -> Option<&str> {
    if before.is_some_and(is_word) {
        return None;
    }
    let tail = text.strip_prefix(|c: char| c.is_ascii_uppercase())?.strip_prefix('.')?;
    Some(tail.trim_start_matches(is_space)).filter(|trimmed| trimmed.len() < tail.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUESTION: &str = "How many lanes?\nA. 1\nB. 8 A.M.\nC. Turn left\nD. Turn";

    #[test]
    fn options_are_the_rests_of_their_lines() {
        assert_eq!(options(QUESTION), ["1", "8 A.M.", "Turn left", "Turn"]);
        assert_eq!(options("At 5 P.M. what?\nXA. no\nA.no\nA.\nB. yes"), ["what?", "B. yes"]);
    }

    #[test]
    fn the_first_option_that_occurs_gives_its_letter() {
        assert_eq!(filter(QUESTION, "Turn left, not 1", None), "C");
        assert_eq!(filter(QUESTION, "Turn right", None), "D");
        assert_eq!(filter(QUESTION, "The answer is 10", None), "A");
    }

    #[test]
    fn an_option_with_punctuation_is_never_found() {
        assert_eq!(filter(QUESTION, "8 A.M.", None), "8 AM");
    }

    #[test]
    fn number_words_become_digits_only_when_they_are_all_there_is() {
        assert_eq!(filter("How many?", "Three", None), "3");
        assert_eq!(filter("How many?", "three\n", None), "three");
        assert_eq!(filter("How many?", "<answer> three </answer>", Some(TagOrder::OpenLastFirst)), "3");
    }

    #[test]
    fn of_two_options_with_one_text_the_last_counts() {
        assert_eq!(filter("A. x\nB. x", "x", None), "B");
    }

    #[test]
    fn the_reference_looks_for_a_letter_only_if_the_truth_is_one() {
        assert!(is_right("I think it is (B)", " b"));
        assert!(!is_right("a", "a"));
        assert!(is_right("North.", "north"));
        assert!(is_right("E", "E"));
    }
}

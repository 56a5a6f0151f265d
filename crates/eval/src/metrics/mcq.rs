//! The letter of a multiple choice, found in free text.

use crate::python::character::is_letter;
use crate::python::text::{strip, strip_each};

/// Stripped from both ends, one after another.
const MARKS: &str = ",.!?;:'\"";

/// Phrases that announce an answer.
const PHRASES: [&str; 27] = [
    "the answer is",
    "answer is",
    "the correct answer is",
    "correct answer is",
    "the best answer is",
    "best answer is",
    "the correct option is",
    "correct option is",
    "the best option is",
    "best option is",
    "the choice is",
    "choice is",
    "the correct choice is",
    "correct choice is",
    "i choose",
    "i select",
    "i pick",
    "my answer is",
    "my choice is",
    "옵션",
    "정답은",
    "답은",
    "답:",
    "答案是",
    "答案为",
    "选",
    "答えは",
];

/// How a letter was written; the later in this list, the more it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Form {
    Anywhere,
    BeforeSpace,
    BeforeParenthesis,
    BeforeColon,
    BeforePeriod,
    InParentheses,
    AfterPhrase,
    AtEnd,
    AtStart,
}

#[derive(Debug, Clone, Copy)]
struct Candidate {
    letter: char,
    /// Compared within one form only.
    position: usize,
    form: Form,
}

/// The letter that a response chooses, of the letters on offer.
///
/// Letters are case sensitive. The form that counts most wins, within it the last position, then the first found. Each
/// phrase counts at its first occurrence and brings the first occurrence of **every** letter after it, so the last
/// letter of `The answer is B. A is wrong` wins.
///
/// Source: lmms-eval, `tasks/_task_utils/mcq_extract`, reference.
pub fn extract(response: &str, letters: &[char]) -> Option<char> {
    let core = strip_each(strip(response), MARKS);
    let text = format!(" {core} ");
    let mut candidates = written(&text, letters);
    candidates.extend(announced(&text, letters));
    candidates.extend(alone_at_an_end(core, letters));
    if candidates.is_empty() {
        candidates = last_of(&text, letters, Form::Anywhere, |letter| letter.to_string());
    }
    let best = candidates
        .into_iter()
        .reduce(|best, next| if (next.form, next.position) > (best.form, best.position) { next } else { best });
    best.map(|candidate| candidate.letter)
}

fn written(text: &str, letters: &[char]) -> Vec<Candidate> {
    [
        last_of(text, letters, Form::InParentheses, |letter| format!("({letter})")),
        last_of(text, letters, Form::BeforePeriod, |letter| format!("{letter}.")),
        last_of(text, letters, Form::BeforeColon, |letter| format!("{letter}:")),
        last_of(text, letters, Form::BeforeParenthesis, |letter| format!("{letter})")),
        last_of(text, letters, Form::BeforeSpace, |letter| format!("{letter} ")),
    ]
    .concat()
}

fn last_of(text: &str, letters: &[char], form: Form, shown: impl Fn(char) -> String) -> Vec<Candidate> {
    let found = |letter: &char| {
        let position = text.rfind(&shown(*letter))?;
        Some(Candidate { letter: *letter, position, form })
    };
    letters.iter().filter_map(found).collect()
}

/// Letters after a phrase. The phrase is looked for in the lowered text, whose positions are taken for those of the
/// text itself although lowering may lengthen it.
fn announced(text: &str, letters: &[char]) -> Vec<Candidate> {
    let characters: Vec<char> = text.chars().collect();
    let lowered = text.to_lowercase();
    let mut candidates = Vec::new();
    for phrase in PHRASES {
        let Some((before, _)) = lowered.split_once(phrase) else { continue };
        let after = before.chars().count() + phrase.chars().count();
        let tail = characters.get(after..).unwrap_or_default();
        for letter in letters {
            if let Some(position) = tail.iter().position(|c| c == letter) {
                candidates.push(Candidate { letter: *letter, position: after + position, form: Form::AfterPhrase });
            }
        }
    }
    candidates
}

/// A letter that begins or ends the text without belonging to a word.
fn alone_at_an_end(core: &str, letters: &[char]) -> Vec<Candidate> {
    let core = strip(core);
    let (mut forward, mut backward) = (core.chars(), core.chars().rev());
    let start = forward.next().filter(|_| !forward.next().is_some_and(is_letter));
    let end = backward.next().filter(|_| !backward.next().is_some_and(is_letter));
    let on_offer = |letter: Option<char>, form| {
        letter.filter(|letter| letters.contains(letter)).map(|letter| Candidate { letter, position: 0, form })
    };
    [on_offer(start, Form::AtStart), on_offer(end, Form::AtEnd)].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(response: &str) -> Option<char> {
        extract(response, &['A', 'B', 'C', 'D'])
    }

    #[test]
    fn a_letter_that_stands_alone_at_an_end_wins() {
        assert_eq!(letter("A. D"), Some('A'));
        assert_eq!(letter("The object on the left (B) looks bigger. So A"), Some('A'));
        assert_eq!(letter("\"B\"."), Some('B'));
    }

    #[test]
    fn the_last_letter_after_a_phrase_wins() {
        assert_eq!(letter("The answer is B. A is wrong"), Some('A'));
        assert_eq!(letter("The answer is Dog, maybe Bee"), Some('B'));
    }

    #[test]
    fn a_letter_inside_a_word_is_the_last_resort() {
        assert_eq!(letter("Banana"), Some('B'));
        assert_eq!(letter("BAD-"), Some('D'));
    }

    #[test]
    fn a_small_letter_or_one_that_is_not_on_offer_is_none() {
        assert_eq!(letter("b"), None);
        assert_eq!(letter("E"), None);
        assert_eq!(letter(" \n"), None);
        assert_eq!(extract("A", &[]), None);
    }

    #[test]
    fn positions_after_a_phrase_are_those_of_the_lowered_text() {
        // Each capital I with a dot is two characters once lowered, so the search begins three characters late.
        assert_eq!(letter("İİİ answer is AxB"), Some('B'));
    }
}

//! Multiple choice: which option a reply names.

use super::exact::normalized;
use super::{Truth, Verdict, answer_of};

/// Options have at most this many letters where their number is not known.
const LETTERS: usize = 10;

/// Correct when the reply chooses the option that is true.
///
/// The true answer is the letter of an option or its text. In the answer of the reply (answer tags, box) the first of
/// these that is there is the choice:
///
/// 1. a letter alone, or in front if no other is in parentheses: `B`, `(B)`, `b.`, `**B**`, `B) cat`, `B: cat`;
/// 2. the text of an option, whole, by [`normalized`];
/// 3. the last letter behind *answer*, *option* or *choice*, with *is*, a colon or nothing between;
/// 4. the only letter in parentheses: `so (B) it is`;
/// 5. the only option whose text is in the reply, word by word.
pub fn choice(reply: &str, truth: &Truth<'_>) -> Verdict {
    let known: Vec<String> = truth.options.iter().map(|option| normalized(option)).collect();
    let count = if known.is_empty() { LETTERS } else { known.len().min(26) };
    let Some(chosen) = chosen(answer_of(reply), &known, count) else { return Verdict::Wrong { read: None } };
    let right = truth.answers.iter().any(|answer| {
        leading_letter(answer, count).or_else(|| whole_option(answer, &known)).is_some_and(|right| right == chosen)
    });
    Verdict::of(right, letter(chosen).to_string())
}

fn letter(index: usize) -> char {
    char::from(b'A' + index as u8)
}

fn chosen(answer: &str, options: &[String], count: usize) -> Option<usize> {
    leading_letter(answer, count)
        .or_else(|| whole_option(answer, options))
        .or_else(|| announced_letter(answer, count))
        .or_else(|| only(parenthesised_letters(answer, count)))
        .or_else(|| only(mentioned_options(answer, options)))
}

/// The option of a letter, if there are as many.
fn index_of(c: char, count: usize) -> Option<usize> {
    let index = (c.to_ascii_uppercase() as u32).checked_sub('A' as u32)? as usize;
    (index < count).then_some(index)
}

fn is_decoration(c: char) -> bool {
    c.is_whitespace() || matches!(c, '(' | '[' | '*' | '"' | '\'' | '$' | '`')
}

fn leading_letter(answer: &str, count: usize) -> Option<usize> {
    let answer = answer.trim().strip_prefix(r"\text{").unwrap_or(answer);
    let mut chars = answer.trim_start_matches(is_decoration).chars();
    let index = index_of(chars.next()?, count)?;
    let rest = chars.as_str();
    let alone =
        rest.trim_matches(|c: char| is_decoration(c) || matches!(c, ')' | ']' | '}' | '.' | ':' | ',')).is_empty();
    let in_front = rest.starts_with([')', '.', ':', ']']) || rest.starts_with("**");
    let others = parenthesised_letters(answer, count).into_iter().any(|other| other != index);
    (alone || in_front && !others).then_some(index)
}

fn whole_option(answer: &str, options: &[String]) -> Option<usize> {
    let answer = normalized(answer);
    options.iter().position(|option| *option == answer)
}

fn announced_letter(answer: &str, count: usize) -> Option<usize> {
    let words: Vec<&str> =
        answer.split(|c: char| c.is_whitespace() || c == ':').filter(|word| !word.is_empty()).collect();
    let announces = |word: &str| {
        let word = word.to_lowercase();
        let word = word.trim_matches(|c: char| !c.is_alphabetic());
        matches!(word, "answer" | "option" | "choice" | "answers" | "options")
    };
    let at = |index: usize| words.get(index).and_then(|word| single_letter(word, count));
    let behind = |index: usize| match words.get(index + 1).map(|word| word.to_lowercase()) {
        Some(is) if is == "is" => {
            at(index + 2).or_else(|| at(index + 3).filter(|_| words.get(index + 2).is_some_and(|word| announces(word))))
        }
        _ => at(index + 1),
    };
    (0..words.len()).rev().filter(|&index| announces(words[index])).find_map(behind)
}

/// A word that is one upper-case letter and signs.
fn single_letter(word: &str, count: usize) -> Option<usize> {
    let letter = word.trim_matches(|c: char| !c.is_alphanumeric());
    let mut chars = letter.chars();
    let c = chars.next().filter(char::is_ascii_uppercase)?;
    chars.next().is_none().then(|| index_of(c, count)).flatten()
}

fn parenthesised_letters(answer: &str, count: usize) -> Vec<usize> {
    let inside = answer.split('(').skip(1).filter_map(|part| part.split_once(')')).map(|(inside, _)| inside);
    inside.filter_map(|inside| single_letter(inside, count)).collect()
}

fn mentioned_options(answer: &str, options: &[String]) -> Vec<usize> {
    let answer = format!(" {} ", normalized(answer));
    let mentioned = |option: &String| !option.is_empty() && answer.contains(&format!(" {option} "));
    (0..options.len()).filter(|&index| mentioned(&options[index])).collect()
}

/// The one thing in a list, however often it is there.
fn only(mut found: Vec<usize>) -> Option<usize> {
    found.sort_unstable();
    found.dedup();
    match found[..] {
        [index] => Some(index),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: [&str; 3] = ["a cat", "a dog", "a red dog house"];

    fn read(reply: &str) -> Option<String> {
        match choice(reply, &Truth { answers: &["B"], options: &OPTIONS }) {
            Verdict::Correct { read } => Some(read),
            Verdict::Wrong { read } => read,
        }
    }

    #[test]
    fn letters_are_read_in_every_usual_dress() {
        for reply in
            ["B", "(B)", "b.", "**B**", "B) a dog", "B: dog", r"\boxed{\text{B}}", "<answer>(b)</answer>", "$B$"]
        {
            assert_eq!(read(reply).as_deref(), Some("B"), "{reply}");
        }
        for reply in ["The answer is B", "the answer is (B).", "Answer: B", "I choose option B, not A", "So (B) it is"]
        {
            assert_eq!(read(reply).as_deref(), Some("B"), "{reply}");
        }
    }

    #[test]
    fn the_text_of_an_option_stands_for_its_letter() {
        assert_eq!(read("A dog.").as_deref(), Some("B"));
        assert_eq!(read("I see a cat there").as_deref(), Some("A"));
        let truth = Truth { answers: &["a dog"], options: &OPTIONS };
        assert!(choice("B", &truth).is_correct());
    }

    #[test]
    fn what_names_no_option_or_several_is_not_read() {
        for reply in ["", "Z", "A horse", "(A) or (B)", "a cat and a dog", "because"] {
            assert_eq!(read(reply), None, "{reply}");
        }
    }

    #[test]
    fn without_options_the_letter_alone_decides() {
        let truth = Truth { answers: &["C"], options: &[] };
        assert!(choice("C. whatever", &truth).is_correct());
        assert!(!choice("D", &truth).is_correct());
    }
}

//! Equality of texts.

use super::{Truth, Verdict, answer_of};

/// Words without meaning of their own.
const ARTICLES: [&str; 3] = ["a", "an", "the"];

/// The text in lower case, without punctuation and articles, words parted by one space.
///
/// A point or comma between digits and a sign before one stay (`3.5`, `1,000`, `-2`), and so does everything where nothing
/// else would remain (`a`, `?!`).
pub fn normalized(text: &str) -> String {
    let lower = text.to_lowercase();
    let chars: Vec<char> = lower.chars().collect();
    let digit = |index: Option<usize>| index.and_then(|i| chars.get(i)).is_some_and(char::is_ascii_digit);
    let kept: String = (0..chars.len())
        .map(|i| match chars[i] {
            c if c.is_alphanumeric() => c,
            c @ ('.' | ',' | ':' | '/') if digit(i.checked_sub(1)) && digit(Some(i + 1)) => c,
            '-' | '−'
                if digit(Some(i + 1)) && !i.checked_sub(1).is_some_and(|before| chars[before].is_alphanumeric()) =>
            {
                '-'
            }
            c @ ('%' | '°') => c,
            // An apostrophe belongs to its word.
            '\'' | '’' => '\u{0}',
            _ => ' ',
        })
        .filter(|&c| c != '\u{0}')
        .collect();
    let words: Vec<&str> = kept.split_whitespace().collect();
    let meant: Vec<&str> = words.iter().copied().filter(|word| !ARTICLES.contains(word)).collect();
    match (words.is_empty(), meant.is_empty()) {
        (true, _) => lower.split_whitespace().collect::<Vec<_>>().join(" "),
        (false, true) => words.join(" "),
        (false, false) => meant.join(" "),
    }
}

/// Correct when the answer of the reply and one of the true answers are equal once [`normalized`].
///
/// The answer is what is in the last answer tags, else the whole reply, and of that what is in the last box.
pub fn exact(reply: &str, truth: &Truth<'_>) -> Verdict {
    let read = normalized(answer_of(reply));
    if read.is_empty() {
        return Verdict::Wrong { read: None };
    }
    Verdict::of(truth.answers.iter().any(|answer| normalized(answer) == read), read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_spacing_punctuation_and_articles_do_not_count() {
        for (text, expected) in [
            ("  The Red  Car. ", "red car"),
            ("New-York!", "new york"),
            ("it's", "its"),
            ("3.5", "3.5"),
            ("-2", "-2"),
            ("A", "a"),
            ("?!", "?!"),
            ("", ""),
        ] {
            assert_eq!(normalized(text), expected, "{text}");
        }
    }

    #[test]
    fn any_of_the_answers_will_do() {
        let truth = Truth { answers: &["car", "automobile"], options: &[] };
        assert!(exact("<think>hm</think><answer>An automobile.</answer>", &truth).is_correct());
        assert_eq!(exact("a truck", &truth), Verdict::Wrong { read: Some("truck".to_owned()) });
        assert_eq!(exact("<answer></answer>", &truth), Verdict::Wrong { read: None });
    }
}

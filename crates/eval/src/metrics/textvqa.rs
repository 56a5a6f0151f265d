//! TextVQA: agreement with ten people, after their common normaliser.

use crate::python::character::digit_value;
use crate::python::text::{strip, words};

/// In the order in which they are replaced.
const MARKS: &str = ";/[]\"{}()=+\\_-><@`,?!";

const ARTICLES: [&str; 3] = ["a", "an", "the"];

/// At most this many dots are deleted: the harness hands a flag to `re.sub` where the count belongs, and it is 32.
const MOST_DOTS: usize = 32;

/// The score of one question, 0 to 1.
///
/// `mean over i of min(1, m_i / 3)`, where `m_i` is how many of the other answers equal the prediction, all normalised.
/// With ten answers, 0 to 4 equal ones give 0, 0.3, 0.6, 0.9 and 1.
///
/// Source: lmms-eval, `tasks/textvqa/utils`, reference.
pub fn accuracy<A: AsRef<str>>(prediction: &str, answers: &[A]) -> f64 {
    if answers.is_empty() {
        return 0.0;
    }
    let prediction = normalise(strip(prediction));
    let equal: Vec<bool> = answers.iter().map(|answer| normalise(answer.as_ref()) == prediction).collect();
    let matches = equal.iter().filter(|equal| **equal).count();
    let sum: f64 = equal.iter().map(|own| ((matches - usize::from(*own)) as f64 / 3.0).min(1.0)).sum();
    sum / answers.len() as f64
}

/// The text (raw) as answers are compared: lowered, without articles and punctuation, number words as digits,
/// contractions with their apostrophe.
///
/// Source: lmms-eval, `EvalAIAnswerProcessor` of `tasks/_task_utils/vqa_eval_metric`, reference.
pub fn normalise(text: &str) -> String {
    let text = text.to_lowercase().replace([',', '?'], "").replace("'s", " 's");
    let text = strip(&text).replace(['\n', '\t'], " ");
    let text = without_dots(&without_marks(strip(&text))).to_lowercase();
    let kept = words(&text).map(digit_word).filter(|word| !ARTICLES.contains(word));
    kept.map(contraction).collect::<Vec<_>>().join(" ")
}

/// A mark that touches a space anywhere in the text vanishes everywhere, another becomes a space.
fn without_marks(text: &str) -> String {
    MARKS.chars().fold(text.to_owned(), |rest, mark| {
        let touches_space = text.contains(&format!("{mark} ")) || text.contains(&format!(" {mark}"));
        rest.replace(mark, if touches_space { "" } else { " " })
    })
}

/// Deletes dots that no digit follows. What is before a dot does not matter: the look-behind for a digit is mistyped.
fn without_dots(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut deleted = 0;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let before_digit = rest.peek().is_some_and(|next| digit_value(*next).is_some());
        if c == '.' && !before_digit && deleted < MOST_DOTS {
            deleted += 1;
        } else {
            kept.push(c);
        }
    }
    kept
}

fn digit_word(word: &str) -> &str {
    match word {
        "none" | "zero" => "0",
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
        other => other,
    }
}

/// A word of [`CONTRACTIONS`] that lacks one of its apostrophes gets it back.
fn contraction(word: &str) -> &str {
    // The one entry of the harness's table that takes an apostrophe away.
    if word == "somebody'd" {
        return "somebodyd";
    }
    let lacks_one = |whole: &&&str| {
        whole.len() == word.len() + 1
            && whole.match_indices('\'').any(|(at, _)| {
                let (before, after) = whole.split_at(at);
                word.strip_prefix(before) == after.strip_prefix('\'')
            })
    };
    CONTRACTIONS.iter().find(lacks_one).copied().unwrap_or(word)
}

/// Contractions that are recognised without one of their apostrophes. The harness also has `I'm`, `I've` and `I'd've`,
/// which no lowered word can reach.
const CONTRACTIONS: &[&str] = &[
    "ain't",
    "aren't",
    "can't",
    "could've",
    "couldn't",
    "couldn't've",
    "didn't",
    "doesn't",
    "don't",
    "hadn't",
    "hadn't've",
    "hasn't",
    "haven't",
    "he'd",
    "he'd've",
    "he's",
    "how'd",
    "how'll",
    "how's",
    "isn't",
    "it'd",
    "it'd've",
    "it'll",
    "ma'am",
    "mightn't",
    "mightn't've",
    "might've",
    "mustn't",
    "must've",
    "needn't",
    "not've",
    "o'clock",
    "oughtn't",
    "'ow's'at",
    "shan't",
    "she'd've",
    "should've",
    "shouldn't",
    "shouldn't've",
    "somebody'd've",
    "somebody'll",
    "somebody's",
    "someone'd",
    "someone'd've",
    "someone'll",
    "someone's",
    "something'd",
    "something'd've",
    "something'll",
    "that's",
    "there'd",
    "there'd've",
    "there're",
    "there's",
    "they'd",
    "they'd've",
    "they'll",
    "they're",
    "they've",
    "'twas",
    "wasn't",
    "we'd've",
    "we've",
    "weren't",
    "what'll",
    "what're",
    "what's",
    "what've",
    "when's",
    "where'd",
    "where's",
    "where've",
    "who'd",
    "who'd've",
    "who'll",
    "who's",
    "who've",
    "why'll",
    "why're",
    "why's",
    "won't",
    "would've",
    "wouldn't",
    "wouldn't've",
    "y'all",
    "y'all'll",
    "y'all'd've",
    "you'd",
    "you'd've",
    "you'll",
    "you're",
    "you've",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_vanish_beside_a_space_and_part_words_elsewhere() {
        assert_eq!(normalise("7-eleven"), "7 eleven");
        assert_eq!(normalise("hello - my-world"), "hello myworld");
        assert_eq!(normalise("1,000"), "1000");
    }

    #[test]
    fn a_dot_stays_before_a_digit_and_after_the_thirty_second() {
        assert_eq!(normalise("x.y 1.5 b."), "xy 1.5 b");
        assert_eq!(normalise(&"a.".repeat(34)), format!("{}a.a.", "a".repeat(32)));
    }

    #[test]
    fn number_words_articles_and_contractions() {
        assert_eq!(normalise("The ten's"), "10 's");
        assert_eq!(normalise("dont couldn'tve yall'd've couldntve"), "don't couldn't've y'all'd've couldntve");
        assert_eq!(normalise("ow'sat 'ows'at somebody'd Im"), "ow 'sat 'ow's'at somebodyd im");
    }

    #[test]
    fn four_who_agree_are_enough() {
        let ten = |equal: usize| [vec!["cat"; equal], vec!["dog"; 10 - equal]].concat();
        let scores: Vec<f64> =
            (0..=5).map(|equal| accuracy("Cat.", &ten(equal))).map(|x| (x * 1e9).round() / 1e9).collect();
        assert_eq!(scores, [0.0, 0.3, 0.6, 0.9, 1.0, 1.0]);
        assert_eq!(accuracy::<&str>("cat", &[]), 0.0);
    }
}

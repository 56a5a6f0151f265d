//! LaTeX between its delimiters, and boxes.

use crate::text::{is_space, skip_while, starts_with};

use super::arithmetic::after_percent;
use super::{Found, Piece, Place};

const BOX: &str = r"\boxed{";
/// Pieces that *and*, *or* and commas connect, the first one counted.
const MAX_PIECES: usize = 6;

/// One or more environments.
pub(super) fn plain(text: &[char], at: usize) -> Option<Place> {
    pieces(text, at, |text, at| environment(text, at).or_else(|| fraction(text, at)))
}

/// One or more environments with a box in each.
pub(super) fn boxed(text: &[char], at: usize) -> Option<Place> {
    pieces(text, at, |text, at| environment(text, at).filter(|(latex, _)| holds_box(latex)))
}

fn holds_box(latex: &str) -> bool {
    latex.split_once(BOX).is_some_and(|(_, content)| content.rfind('}').is_some_and(|end| end > 0))
}

/// From the first `\boxed{` to the last brace of the text.
pub(super) fn from_first_box(text: &[char]) -> Option<Place> {
    let start = (0..text.len()).find(|&at| starts_with(text, at, BOX))?;
    let end = text.iter().rposition(|&c| c == '}')?;
    let content = start + BOX.len();
    (end > content).then(|| Place { start, end: end + 1, found: Found::Box(text[start..=end].iter().collect()) })
}

/// Longer environments are left out: no answer is as long, and looking for the end of each takes time.
const MAX_LATEX: usize = 1000;

type Environment = Option<(String, usize)>;

fn pieces(text: &[char], at: usize, read: impl Fn(&[char], usize) -> Environment) -> Option<Place> {
    let one = |at: usize| {
        let (latex, end) = read(text, at)?;
        let percent = after_percent(text, end).or_else(|| {
            let sign = skip_while(text, end, is_space);
            starts_with(text, sign, r"\%").then_some(sign + 2)
        });
        Some((Piece { latex, percent: percent.is_some() }, percent.unwrap_or(end)))
    };
    let (first, mut end) = one(at)?;
    let mut pieces = vec![first];
    while pieces.len() < MAX_PIECES
        && let Some((piece, after)) = after_connection(text, end).and_then(one)
    {
        pieces.push(piece);
        end = after;
    }
    Some(Place { start: at, end, found: Found::Pieces(pieces) })
}

/// The position behind a comma, *and* or *or*.
fn after_connection(text: &[char], at: usize) -> Option<usize> {
    let at = skip_while(text, at, is_space);
    let words = [",and", ",or", "and", "or", ","];
    let word = words.iter().find(|word| starts_with(text, at, word))?;
    Some(skip_while(text, at + word.len(), is_space))
}

/// `$$…$$`, `\[…\]`, `$…$`, `\(…\)`, or ` […] ` on one line.
fn environment(text: &[char], at: usize) -> Environment {
    let before = at.checked_sub(1).and_then(|before| text.get(before)).copied();
    let escaped = before == Some('\\');
    let on_one_line = |c: char| c != '\n';
    if starts_with(text, at, "$$") && !escaped {
        return delimited(text, at + 2, "$$", |_| true);
    }
    if starts_with(text, at, "$") && !escaped && !before.is_some_and(|c| c.is_ascii_digit()) {
        return delimited(text, at + 1, "$", on_one_line);
    }
    if starts_with(text, at, r"\[") && !escaped {
        return delimited(text, at + 2, r"\]", |_| true);
    }
    if starts_with(text, at, r"\(") && !escaped {
        return delimited(text, at + 2, r"\)", on_one_line);
    }
    if text.get(at).is_some_and(|&c| is_space(c)) && text.get(at + 1) == Some(&'[') {
        let (latex, end) = delimited(text, at + 2, "]", |c| !matches!(c, '\n' | '['))?;
        return text.get(end).is_some_and(|&c| is_space(c)).then_some((latex, end + 1));
    }
    None
}

/// What stands before the first closing delimiter that no backslash escapes, if it is not nothing.
fn delimited(text: &[char], start: usize, close: &str, allowed: impl Fn(char) -> bool) -> Environment {
    let first = close.chars().next();
    let mut at = start;
    while let Some(&c) = text.get(at).filter(|_| at - start <= MAX_LATEX) {
        if Some(c) == first && at > start && starts_with(text, at, close) && text[at - 1] != '\\' {
            return Some((text[start..at].iter().collect(), at + close.chars().count()));
        }
        if !allowed(c) {
            return None;
        }
        at += 1;
    }
    None
}

/// `\frac{1}{2}` outside of any environment, numbers only.
fn fraction(text: &[char], at: usize) -> Environment {
    let begin = at + usize::from(text.get(at) == Some(&'-'));
    if !starts_with(text, begin, r"\frac") {
        return None;
    }
    let above = braced_number(text, begin + 5)?;
    let end = braced_number(text, above)?;
    Some((text[at..end].iter().collect(), end))
}

fn braced_number(text: &[char], at: usize) -> Option<usize> {
    if text.get(at) != Some(&'{') {
        return None;
    }
    let first = at + 1 + usize::from(text.get(at + 1) == Some(&'-'));
    let whole = skip_while(text, first, |c| c.is_ascii_digit());
    let mut end = whole;
    if matches!(text.get(whole), Some('.' | ',')) {
        end = skip_while(text, whole + 1, |c| c.is_ascii_digit());
    }
    (whole > first && end != whole + 1 && text.get(end) == Some(&'}')).then_some(end + 1)
}

//! Arithmetic and numbers in running text.

use crate::text::{is_space, skip_while, starts_with};

use super::{Found, Place};

const CURRENCIES: &str = "$€£¥₹₽₪₩₫฿₡₢₣₤₥₦₧₨₭₮₯₰₱₲₳₴₵₶₷₸₺₻₼₾₿";

/// Longer arithmetic is cut here: no answer is as long, and every number in it would look to its end.
const MAX_FORMULA: usize = 400;

/// Arithmetic where there is some, else a number.
pub(super) fn expression_or_number(text: &[char], at: usize) -> Option<Place> {
    expression(text, at).or_else(|| number(text, at))
}

/// What mathematics in running text begins behind: the beginning, white space or `=`, with `**` or without.
fn after_prefix<T>(text: &[char], at: usize, read: impl Fn(usize) -> Option<T>) -> Option<T> {
    let bold = |at: usize| if starts_with(text, at, "**") { read(at + 2).or_else(|| read(at)) } else { read(at) };
    let begins = at == 0;
    let separated = text.get(at).is_some_and(|&c| is_space(c) || c == '=');
    begins.then(|| bold(at)).flatten().or_else(|| separated.then(|| bold(at + 1)).flatten())
}

fn is_operator(c: char) -> bool {
    matches!(c, '+' | '-' | '*' | '×' | '/' | '^' | '(' | ')' | '÷')
}

fn is_digit(text: &[char], at: usize) -> bool {
    text.get(at).is_some_and(char::is_ascii_digit)
}

/// Digits, points, spaces and operators that begin with a digit, contain an operator, and end before a sign that may
/// follow a formula.
pub(super) fn expression(text: &[char], at: usize) -> Option<Place> {
    let (begin, end) = after_prefix(text, at, |begin| {
        let minus = |at: usize| at + usize::from(text.get(at) == Some(&'-'));
        let open = minus(begin);
        let digit = minus(open + usize::from(text.get(open) == Some(&'(')));
        if !is_digit(text, digit) {
            return None;
        }
        let text = &text[..text.len().min(digit + MAX_FORMULA)];
        let run = skip_while(text, digit + 1, |c| c.is_ascii_digit() || c == '.' || is_space(c) || is_operator(c));
        let operator = skip_while(text, digit + 1, |c| !is_operator(c));
        let end = (operator + 2..=run).rev().find(|&end| ends_formula(text, end))?;
        Some((begin, end))
    })?;
    let formula = text[begin..end].iter().collect();
    let end = end + if starts_with(text, end, "**") { 2 } else { 0 };
    let end = (end + 1).min(text.len());
    Some(Place { start: at, end, found: Found::Arithmetic(formula) })
}

fn ends_formula(text: &[char], at: usize) -> bool {
    let ends = |at: usize| text.get(at).is_none_or(|&c| is_space(c) || matches!(c, '.' | ',' | ':' | ')' | '$'));
    ends(at) || starts_with(text, at, "**") && ends(at + 2)
}

/// A number, with thousands separators, currency sign or percent.
pub(super) fn number(text: &[char], at: usize) -> Option<Place> {
    let (digits, end) = after_prefix(text, at, |begin| {
        let currency = text.get(begin).is_some_and(|&c| CURRENCIES.contains(c));
        let read = |begin| grouped(text, begin).or_else(|| simple(text, begin));
        currency.then(|| read(begin + 1)).flatten().or_else(|| read(begin))
    })?;
    let percent = after_percent(text, end);
    let found = Found::Number { digits, percent: percent.is_some() };
    Some(Place { start: at, end: percent.unwrap_or(end), found })
}

/// `1,234.5` or `1 234`: groups of three behind one to three digits.
fn grouped(text: &[char], begin: usize) -> Option<(String, usize)> {
    let first = begin + usize::from(text.get(begin) == Some(&'-'));
    let lead = skip_while(text, first, |c| c.is_ascii_digit());
    if !(1..=3).contains(&(lead - first)) || text.get(first) == Some(&'0') {
        return None;
    }
    let mut end = lead;
    while matches!(text.get(end), Some(' ' | ',')) && (1..=3).all(|i| is_digit(text, end + i)) {
        end += 4;
    }
    if end == lead {
        return None;
    }
    let mut digits: String = text[begin..end].iter().filter(|c| !matches!(c, ' ' | ',')).collect();
    let fraction = if text.get(end) == Some(&'.') { skip_while(text, end + 1, |c| c.is_ascii_digit()) } else { end };
    if fraction > end + 1 {
        digits.extend(&text[end..fraction]);
        end = fraction;
    }
    Some((digits, end))
}

/// Digits with a point or a decimal comma, `.5`, or an integer.
fn simple(text: &[char], begin: usize) -> Option<(String, usize)> {
    let first = begin + usize::from(text.get(begin) == Some(&'-'));
    let whole = skip_while(text, first, |c| c.is_ascii_digit());
    if whole == first && (first > begin || text.get(begin) != Some(&'.')) {
        return None;
    }
    let mut end = whole;
    if matches!(text.get(whole), Some('.' | ',')) && is_digit(text, whole + 1) {
        end = skip_while(text, whole + 1, |c| c.is_ascii_digit());
    }
    if end == begin {
        return None;
    }
    let sign = if first > begin { "-" } else { "" };
    let integer: String = text[first..whole].iter().collect();
    let trimmed = integer.trim_start_matches('0');
    // The reference trims zeros in front of a number, not behind its sign.
    let integer = if first > begin {
        integer.as_str()
    } else if trimmed.is_empty() {
        "0"
    } else {
        trimmed
    };
    let fraction: String = text[whole..end].iter().map(|&c| if c == ',' { '.' } else { c }).collect();
    Some((format!("{sign}{integer}{fraction}"), end))
}

/// The position behind a percent sign or word.
pub(super) fn after_percent(text: &[char], at: usize) -> Option<usize> {
    let at = skip_while(text, at, is_space);
    let word = |word: &str| {
        let found = starts_with(text, at + 1, &word[1..])
            && text.get(at).is_some_and(|c| c.to_ascii_lowercase() == word.chars().next().unwrap_or_default());
        found.then_some(at + word.len())
    };
    (text.get(at) == Some(&'%'))
        .then_some(at + 1)
        .or_else(|| word("percentage"))
        .or_else(|| word("percent"))
        .or_else(|| word("pct"))
}

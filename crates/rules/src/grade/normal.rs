//! Answers without case, spacing, units and LaTeX.

use super::competition::inside_text;
use super::plain_text::plain_text;

const UNITS: [&str; 16] = [
    "degree",
    "cm",
    "centimeter",
    "meter",
    "mile",
    "second",
    "minute",
    "hour",
    "day",
    "week",
    "month",
    "year",
    "foot",
    "feet",
    "inch",
    "yard",
];

/// A float this near to an integer is one.
const WHOLE: f64 = 1e-7;

/// Source: `_normalize` of mathruler, after the grader of PRM800K.
pub(super) fn normal(answer: &str) -> String {
    let mut text = inside_text(answer).unwrap_or(answer).to_owned();
    for (from, to) in [
        (r"\%", "%"),
        (r"\$", "$"),
        ("$", ""),
        ("%", ""),
        (" or ", " , "),
        (" and ", " , "),
        ("million", "*10^6"),
        ("billion", "*10^9"),
        ("trillion", "*10^12"),
    ] {
        text = text.replace(from, to);
    }
    for unit in UNITS {
        text = without_unit(&text, unit);
    }
    text = without_degrees(&text);
    if let Some(inner) = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        text = String::from(inner);
    }
    text = without_negative_spaces(&text);
    if let Some(value) = python_float(&text).filter(|value| near_integer(*value)) {
        text = printed(value.round_ties_even());
    }
    if text.contains('\\') {
        text = plain_text(&text);
    }
    text = mixed_numbers(&closed_minus(&text)).replace([' ', '{', '}'], "").to_lowercase();
    if is_whole(&text) {
        text = python_float(&text.replace(',', "")).map_or(text, |value| printed(value.trunc()));
    }
    text
}

/// Cuts out every `unit`, with its plural, and a power behind it.
fn without_unit(text: &str, unit: &str) -> String {
    let mut parts = text.split(unit);
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.strip_prefix("es").unwrap_or(part);
        let rest = rest.strip_prefix('s').unwrap_or(rest).trim_start_matches(' ');
        let power = rest.strip_prefix('^').map(|power| power.trim_start_matches(|c: char| c.is_ascii_digit()));
        kept.push_str(power.filter(|power| power.len() + 1 < rest.len()).unwrap_or(rest));
    }
    kept
}

/// Cuts out `^\circ`.
fn without_degrees(text: &str) -> String {
    let mut parts = text.split('^');
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        if let Some(rest) = part.trim_start_matches(' ').strip_prefix(r"\circ") {
            kept.push_str(rest);
        } else {
            kept.push('^');
            kept.push_str(part);
        }
    }
    kept
}

/// Cuts out `,\!`, the separator of thousands of some authors.
fn without_negative_spaces(text: &str) -> String {
    let mut parts = text.split(r",\!");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |kept, part| kept + part.trim_start_matches(' '))
}

/// `- 3` as `-3`.
fn closed_minus(text: &str) -> String {
    let mut parts = text.split('-');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |kept, part| kept + "-" + part.trim_start_matches(' '))
}

/// `1 1/2` as `1+1/2`.
fn mixed_numbers(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut mixed = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        mixed.push(c);
        at += 1;
        let spaces = chars.iter().skip(at).take_while(|&&c| c == ' ').count();
        if let Some(next) =
            chars.get(at + spaces).filter(|next| c.is_ascii_digit() && next.is_ascii_digit() && spaces > 0)
        {
            mixed.push('+');
            mixed.push(*next);
            at += spaces + 1;
        }
    }
    mixed
}

/// Takes the commas out that stand before exactly three digits.
pub(super) fn without_separators(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let digit = |index: usize| chars.get(index).is_some_and(char::is_ascii_digit);
    let separates = |index: usize| {
        index.checked_sub(1).is_some_and(digit) && (1..=3).all(|i| digit(index + i)) && !digit(index + 4)
    };
    // A group before another separator has no more digits behind it either, so one pass is enough.
    let kept = chars.iter().enumerate().filter(|&(index, &c)| c != ',' || !separates(index));
    kept.map(|(_, &c)| c).collect()
}

/// Whether it is a number without a fraction, with or without separators.
pub(super) fn is_whole(text: &str) -> bool {
    python_float(&without_separators(text)).is_some_and(near_integer)
}

fn near_integer(value: f64) -> bool {
    value.is_finite() && (value - value.round_ties_even()).abs() <= WHOLE
}

fn printed(value: f64) -> String {
    // Adding zero takes the sign off a negative one.
    format!("{:.0}", value + 0.0)
}

/// A float as Python reads it: white space around it, and single underscores between digits.
fn python_float(text: &str) -> Option<f64> {
    let text = crate::text::strip(text);
    let bytes = text.as_bytes();
    let digit = |index: Option<usize>| index.and_then(|index| bytes.get(index)).is_some_and(u8::is_ascii_digit);
    let underscores = bytes.iter().enumerate().filter(|&(_, &b)| b == b'_');
    let separate = underscores.into_iter().all(|(index, _)| digit(index.checked_sub(1)) && digit(Some(index + 1)));
    if separate { text.replace('_', "").parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spelling_units_and_latex_are_gone() {
        for (answer, expected) in [
            ("7 cm", "7"),
            ("3 square meters^2", "3square"),
            ("1,000", "1000"),
            ("1e3", "1000"),
            ("007", "7"),
            ("-0", "0"),
            ("1.5 million", "1.5*10^6"),
            (r"90^\circ", "90"),
            (r"1\frac{1}{2}", "1+1/2"),
            (r"\{1,2\}", "1,2"),
            (r"\text{New York}", "newyork"),
            (r"2 \pi", "2pi"),
            (r"\sqrt{x+1}", "sqrt(x+1)"),
            ("50%", "50"),
            ("- 3", "-3"),
            ("x = 1 and y = 2", "x=1,y=2"),
        ] {
            assert_eq!(normal(answer), expected, "{answer}");
        }
    }

    #[test]
    fn separators_are_told_from_commas() {
        assert_eq!(without_separators("1,234,567"), "1234567");
        assert_eq!(without_separators("1,2"), "1,2");
        assert_eq!(without_separators("1,2345"), "1,2345");
        assert!(is_whole("1,000"));
        assert!(!is_whole("1.5"));
        assert!(!is_whole("inf"));
    }
}

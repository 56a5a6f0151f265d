//! LaTeX answers made regular before they are read: spacing, synonyms, connecting words, units.

use crate::grade::fraction_of_integers;
use crate::text::{is_space, skip_while, split_braced, starts_with, strip};

/// The answer without dollar signs, quotes, sizes and units, with commas for *and* and *or*, and with one spelling of
/// percent, infinity, fractions and text.
///
/// Source: the groups `basic_latex`, `units` and `nits` of latex2sympy2_extended. Malformed operators (`\frac12`,
/// `\sqrt2`, `x^(1/2)`) are left to the parser, which reads them as they are.
pub(crate) fn normalized(text: &str) -> String {
    let text = text.replace(r"\left", "").replace(r"\right", "").replace(r"\displaystyle", "").replace(r"\!", "");
    let text = renamed(&text);
    let text = reworded(&text);
    let text = without_units(&text);
    let text = if text.starts_with('.') { format!("0{text}") } else { text };
    fraction_of_integers(&text).unwrap_or_else(|| strip(&text).to_owned())
}

/// One name for commands with one meaning; dollar signs and quotes left out.
fn renamed(text: &str) -> String {
    let mut renamed = text.replace(r"\$", "").replace(['$', '"', '\''], "");
    for (from, to) in [
        (r"\mathrm", r"\text"),
        (r"\mathit", r"\text"),
        (r"\mathbf", r"\text"),
        (r"\textnormal", r"\text"),
        (r"\textbf", r"\text"),
        (r"\textit", r"\text"),
        (r"\textrm", r"\text"),
        (r"\dfrac", r"\frac"),
        (r"\tfrac", r"\frac"),
        (r"\cfrac", r"\frac"),
        (r"\text{}", ""),
        (r"{,}", ","),
        (r"\ldots", " "),
    ] {
        renamed = renamed.replace(from, to);
    }
    renamed.replace(['\n', '\t'], " ")
}

/// Words that stand for signs.
const WORDS: [(&str, &str); 7] = [
    ("and", ","),
    ("or", ","),
    ("infinity", r"\infty"),
    ("inf", r"\infty"),
    ("percentage", r"\%"),
    ("percent", r"\%"),
    ("pct", r"\%"),
];

/// Replaces [`WORDS`] where they stand alone, in `\text{…}` too.
fn reworded(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut reworded = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        if starts_with(&chars, at, r"\text") {
            let open = skip_while(&chars, at + 5, is_space);
            let rest: String = chars.iter().skip(open).take(40).collect();
            if let Some((word, _)) = rest.strip_prefix('{').and_then(split_braced)
                && let Some(sign) = sign_for(strip(word))
            {
                push_sign(&mut reworded, sign);
                at = open + word.chars().count() + 2;
                continue;
            }
        }
        let command = c == '\\';
        let end = skip_while(&chars, at + usize::from(command), char::is_alphabetic);
        if end == at || command && end == at + 1 {
            reworded.push(c);
            at += 1;
            continue;
        }
        let word: String = chars[at..end].iter().collect();
        match sign_for(&word) {
            Some(sign) => push_sign(&mut reworded, sign),
            None => reworded.push_str(&word),
        }
        at = end;
    }
    reworded
}

fn sign_for(word: &str) -> Option<&'static str> {
    WORDS.iter().find(|(from, _)| *from == word).map(|(_, to)| *to)
}

/// A comma takes the place of the one that may stand before the word.
fn push_sign(text: &mut String, sign: &str) {
    if sign == "," {
        let kept = text.trim_end_matches(is_space);
        let kept = kept.strip_suffix(',').unwrap_or(kept).len();
        text.truncate(kept);
    }
    text.push_str(sign);
}

/// Units, and words that answers carry like units, in singular; a plural `s` or `es` is taken off too.
const UNITS: &[&str] = &[
    "a.m", "acre", "am", "apple", "are", "bc", "by", "c", "cc", "cent", "cm", "coin", "cu", "cube", "cubic", "d",
    "day", "decrease", "deg", "degree", "digit", "dm", "east", "edge", "excess", "feet", "ft", "g", "gain", "gal",
    "gallon", "gm", "h", "hectare", "hour", "hr", "inch", "inches", "increase", "kg", "km", "kmh", "kmph", "l", "lb",
    "less", "liter", "litre", "loss", "lt", "m", "man", "mark", "meal", "men", "meter", "metre", "mile", "min",
    "minute", "mm", "monkey", "month", "more", "mp", "mph", "mt", "mtr", "multiple", "noon", "number", "o", "ohm",
    "per", "pie", "pm", "point", "pound", "prime", "profit", "pure", "ratio", "rd", "rise", "rounds", "rs", "rupee",
    "s", "sec", "second", "soldier", "sq", "square", "st", "student", "t", "th", "tile", "toy", "unit", "way", "west",
    "woman", "women", "yard", "year", "yr",
];

/// Cuts off a trailing `\text{…}` (with its power) and up to two trailing unit words, as long as something remains.
fn without_units(text: &str) -> String {
    let mut kept = strip(text);
    if let Some(start) = trailing_text(kept)
        && !strip(&kept[..start]).is_empty()
    {
        kept = strip(&kept[..start]);
    }
    for _ in 0..2 {
        kept = without_unit(kept);
    }
    kept.to_owned()
}

/// Where the first `\text{` or `\mbox{` stands, if the last brace of the text closes it or a later one.
fn trailing_text(text: &str) -> Option<usize> {
    let without_power = match text.strip_suffix(|c: char| c.is_ascii_digit()) {
        Some(rest) => rest.strip_suffix('^')?,
        None => text,
    };
    let start = [r"\text{", r"\mbox{"].iter().filter_map(|open| text.find(open)).min()?;
    (without_power.ends_with('}') && start < without_power.len()).then_some(start)
}

fn without_unit(text: &str) -> &str {
    let number = text.trim_end_matches(char::is_alphabetic);
    let unit = &text[number.len()..];
    let is_unit = |word: &str| UNITS.contains(&word);
    let known =
        is_unit(unit) || unit.strip_suffix('s').is_some_and(is_unit) || unit.strip_suffix("es").is_some_and(is_unit);
    let follows = number.ends_with(|c: char| c.is_ascii_digit() || c == '}' || c.is_whitespace());
    let remains = number.trim_end();
    if known && follows && !remains.is_empty() { remains } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_cut_off_as_long_as_something_remains() {
        for (text, expected) in [
            ("7 cm", "7"),
            ("7cm", "7"),
            (r"5\text{cm}^2", "5"),
            (r"5 \text{ dollars}", "5"),
            ("3 square meters", "3"),
            ("3 inches", "3"),
            ("cm", "cm"),
            (r"\text{A}", r"\text{A}"),
            ("5 dollars", "5 dollars"),
            ("New York", "New York"),
        ] {
            assert_eq!(normalized(text), expected, "{text}");
        }
    }

    #[test]
    fn words_become_signs() {
        for (text, expected) in [
            ("x=1 or x=2", "x=1, x=2"),
            (r"A\text{ and }B", "A,B"),
            ("1, and 2", "1, 2"),
            ("50 percent", r"50 \%"),
            ("-infinity", r"-\infty"),
            ("sand", "sand"),
            (r"\$2.50", "2.50"),
            (r"\dfrac{1}{2}", r"\frac{1}{2}"),
        ] {
            assert_eq!(normalized(text), expected, "{text}");
        }
    }
}

//! Numbers within a tolerance.

use serde::{Deserialize, Serialize};

use crate::error::{Result, RulesError};

use super::{Truth, Verdict, answer_of};

/// How far a number may be from the true one: by `absolute`, or by `relative` times the true one, whichever is more.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tolerance {
    /// A part of the true value: 0.05 is five percent.
    pub relative: f64,
    /// In the unit of the true answer.
    pub absolute: f64,
}

impl Tolerance {
    /// Nothing but the rounding of f64.
    pub const NONE: Self = Self { relative: 1e-12, absolute: 0.0 };

    /// Refuses what is negative or not a number.
    pub fn check(&self) -> Result<()> {
        for (field, found) in [("relative", self.relative), ("absolute", self.absolute)] {
            if found.is_nan() || found < 0.0 {
                return Err(RulesError::BadTolerance { field, found });
            }
        }
        Ok(())
    }

    fn accepts(&self, given: f64, truth: f64) -> bool {
        (given - truth).abs() <= self.absolute.max(self.relative * truth.abs())
    }
}

/// A number as it stands in a text.
#[derive(Debug, Clone, PartialEq)]
pub struct Quantity {
    /// The number with its word of magnitude, a percent sign left aside: 50 for `50%`, 2000000 for `2 million`.
    pub value: f64,
    /// Whether a percent sign or word is behind it.
    pub percent: bool,
    /// The word behind it, in lower case, if it is a unit.
    pub unit: Option<&'static str>,
}

impl Quantity {
    /// The last number of a text: sign, currency, thousands separators, fraction (`3/4`), power of ten, magnitude
    /// (`thousand` to `trillion`), percent and unit are read with it.
    pub fn last_in(text: &str) -> Option<Self> {
        let chars: Vec<char> = text.chars().collect();
        let mut at = 0;
        let mut last = None;
        while at < chars.len() {
            match quantity(&chars, at) {
                Some((quantity, end)) => {
                    last = Some(quantity);
                    at = end;
                }
                None => at += 1,
            }
        }
        last
    }

    /// What it is worth beside `truth`, in the unit of `truth`; `None` where the units do not go together.
    ///
    /// A missing unit is that of the other side.
    fn value_beside(&self, truth: &Self) -> Option<f64> {
        match (self.unit.and_then(unit), truth.unit.and_then(unit)) {
            (Some(given), Some(truth)) if given.dimension == truth.dimension => {
                Some(self.value * given.factor / truth.factor)
            }
            (Some(_), Some(_)) => None,
            _ => Some(self.value),
        }
    }
}

struct Unit {
    names: &'static [&'static str],
    dimension: &'static str,
    factor: f64,
}

const fn unit_of(names: &'static [&'static str], dimension: &'static str, factor: f64) -> Unit {
    Unit { names, dimension, factor }
}

const UNITS: &[Unit] = &[
    unit_of(&["mm", "millimeter", "millimeters", "millimetres"], "length", 0.001),
    unit_of(&["cm", "centimeter", "centimeters", "centimetres"], "length", 0.01),
    unit_of(&["m", "meter", "meters", "metre", "metres"], "length", 1.0),
    unit_of(&["km", "kilometer", "kilometers", "kilometres"], "length", 1000.0),
    unit_of(&["in", "inch", "inches"], "length", 0.0254),
    unit_of(&["ft", "foot", "feet"], "length", 0.3048),
    unit_of(&["mi", "mile", "miles"], "length", 1609.344),
    unit_of(&["mg", "milligram", "milligrams"], "mass", 1e-6),
    unit_of(&["g", "gram", "grams"], "mass", 0.001),
    unit_of(&["kg", "kilogram", "kilograms"], "mass", 1.0),
    unit_of(&["lb", "lbs", "pound", "pounds"], "mass", 0.453_592_37),
    unit_of(&["ml", "milliliter", "milliliters"], "volume", 0.001),
    unit_of(&["l", "liter", "liters", "litre", "litres"], "volume", 1.0),
    unit_of(&["s", "sec", "second", "seconds"], "time", 1.0),
    unit_of(&["min", "minute", "minutes"], "time", 60.0),
    unit_of(&["h", "hr", "hour", "hours"], "time", 3600.0),
    unit_of(&["day", "days"], "time", 86400.0),
    unit_of(&["degree", "degrees", "°"], "angle", 1.0),
    unit_of(&["dollar", "dollars", "usd"], "dollar", 1.0),
    unit_of(&["euro", "euros", "eur"], "euro", 1.0),
];

fn unit(name: &str) -> Option<&'static Unit> {
    UNITS.iter().find(|unit| unit.names.contains(&name))
}

const MAGNITUDES: [(&str, f64); 4] = [("thousand", 1e3), ("million", 1e6), ("billion", 1e9), ("trillion", 1e12)];

/// A number that begins at a position, with what belongs to it.
fn quantity(chars: &[char], at: usize) -> Option<(Quantity, usize)> {
    let before = at.checked_sub(1).map(|before| chars[before]);
    if before.is_some_and(|c| c.is_alphanumeric() || c == '.') {
        return None;
    }
    let (mut value, mut end) = signed(chars, at)?;
    if chars.get(end) == Some(&'/')
        && let Some((below, after)) = digits(chars, end + 1)
        && below != 0.0
    {
        (value, end) = (value / below, after);
    }
    let (word, after) = next_word(chars, end);
    if let Some((_, factor)) = MAGNITUDES.iter().find(|(name, _)| *name == word) {
        (value, end) = (value * factor, after);
    }
    let (word, after) = next_word(chars, end);
    let percent = matches!(word.as_str(), "%" | "percent" | "percentage" | "pct");
    let unit = unit(&word).and_then(|unit| unit.names.first().copied());
    let end = if percent || unit.is_some() { after } else { end };
    Some((Quantity { value, percent, unit }, end))
}

/// A sign and a currency, in either order, and digits.
fn signed(chars: &[char], at: usize) -> Option<(f64, usize)> {
    let mut begin = at;
    let mut sign = 1.0;
    while let Some(c) = chars.get(begin).filter(|_| begin < at + 2) {
        match c {
            '-' | '−' => sign = -1.0,
            '+' | '$' | '€' | '£' | '¥' => {}
            _ => break,
        }
        begin += 1;
    }
    digits(chars, begin).map(|(value, end)| (sign * value, end))
}

fn digits(chars: &[char], begin: usize) -> Option<(f64, usize)> {
    let mut text = String::new();
    let mut end = begin;
    let digit = |index: usize| chars.get(index).is_some_and(char::is_ascii_digit);
    let mut point = false;
    while let Some(&c) = chars.get(end) {
        match c {
            '0'..='9' => text.push(c),
            ',' if !point && end > begin && (1..=3).all(|i| digit(end + i)) && !digit(end + 4) => {}
            '.' if !point && digit(end + 1) => {
                point = true;
                text.push(c);
            }
            _ => break,
        }
        end += 1;
    }
    if matches!(chars.get(end), Some('e' | 'E')) && !text.is_empty() {
        let sign = end + 1 + usize::from(matches!(chars.get(end + 1), Some('+' | '-')));
        let exponent = crate::text::skip_while(chars, sign, |c| c.is_ascii_digit());
        if exponent > sign {
            text.extend(&chars[end..exponent]);
            end = exponent;
        }
    }
    let value = text.parse::<f64>().ok().filter(|value| value.is_finite())?;
    Some((value, end))
}

/// The word or sign behind spaces, in lower case.
fn next_word(chars: &[char], at: usize) -> (String, usize) {
    let begin = crate::text::skip_while(chars, at, |c| c == ' ' || c == '\\');
    let end = match chars.get(begin) {
        Some('%' | '°') => begin + 1,
        _ => crate::text::skip_while(chars, begin, char::is_alphabetic),
    };
    (chars[begin..end].iter().collect::<String>().to_lowercase(), end)
}

/// Correct when the last number of the answer is within the tolerance of a true one.
///
/// - The answer is what is in the answer tags and then in the box of the reply, where there are any.
/// - Units of one dimension are converted, units of two are wrong, a missing one is that of the other side.
/// - Where one side is in percent and the other is not, both 0.5 and 50 are right for 50%.
pub fn numeric(reply: &str, truth: &Truth<'_>, tolerance: Tolerance) -> Verdict {
    let Some(given) = Quantity::last_in(answer_of(reply)) else { return Verdict::Wrong { read: None } };
    let right = truth.answers.iter().filter_map(|answer| Quantity::last_in(answer)).any(|truth| {
        let Some(value) = given.value_beside(&truth) else { return false };
        tolerance.accepts(value, truth.value)
            || given.percent && !truth.percent && tolerance.accepts(value / 100.0, truth.value)
            || truth.percent && !given.percent && tolerance.accepts(value * 100.0, truth.value)
    });
    let percent = if given.percent { "%" } else { "" };
    let unit = given.unit.map_or(String::new(), |unit| format!(" {unit}"));
    Verdict::of(right, format!("{}{percent}{unit}", given.value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Option<f64> {
        Quantity::last_in(text).map(|quantity| quantity.value)
    }

    #[test]
    fn numbers_are_read_with_what_belongs_to_them() {
        for (text, expected) in [
            ("1,234.5", Some(1234.5)),
            ("-$3", Some(-3.0)),
            ("3/4", Some(0.75)),
            ("2.5 million people", Some(2.5e6)),
            ("1e3", Some(1000.0)),
            ("between 2 and 3.", Some(3.0)),
            (".5", Some(0.5)),
            ("x5", None),
            ("none", None),
        ] {
            assert_eq!(value(text), expected, "{text}");
        }
    }

    fn right(reply: &str, answer: &str, relative: f64) -> bool {
        let tolerance = Tolerance { relative, absolute: 0.0 };
        numeric(reply, &Truth { answers: &[answer], options: &[] }, tolerance).is_correct()
    }

    #[test]
    fn the_tolerance_is_relative_to_the_truth() {
        assert!(right("<answer>104</answer>", "100", 0.05));
        assert!(!right("106", "100", 0.05));
        assert!(right("-96", "-100", 0.05));
        assert!(!right("0.001", "0", 0.05));
        let tolerance = Tolerance { relative: 0.0, absolute: 0.01 };
        assert!(numeric("0.001", &Truth { answers: &["0"], options: &[] }, tolerance).is_correct());
    }

    #[test]
    fn units_are_converted_and_percent_is_free() {
        assert!(right("150 cm", "1.5 m", 1e-9));
        assert!(right("1.5", "1.5 m", 1e-9));
        assert!(!right("1.5 kg", "1.5 m", 1e-9));
        assert!(right("50%", "0.5", 1e-9));
        assert!(right("0.5", "50%", 1e-9));
        assert!(right("50", "50 percent", 1e-9));
    }

    #[test]
    fn a_tolerance_below_zero_is_refused() {
        let tolerance = Tolerance { relative: f64::NAN, absolute: 0.0 };
        assert_eq!(
            tolerance.check().unwrap_err().to_string(),
            "`relative` of the tolerance is NaN; expected a number of at least 0"
        );
    }
}

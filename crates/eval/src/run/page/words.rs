//! Numbers as a reader meets them.

use crate::statistics::Interval;

pub(in crate::run) fn interval(of: Interval, places: usize, with_sign: bool) -> String {
    let shown = |number: f64| if with_sign { signed(number, places) } else { format!("{number:.places$}") };
    format!("{} ({} to {})", shown(of.value), shown(of.low), shown(of.high))
}

pub(in crate::run) fn signed(number: f64, places: usize) -> String {
    // Minus zero is zero.
    let number = if format!("{number:.places$}").trim_start_matches('-').parse() == Ok(0.0) { 0.0 } else { number };
    format!("{number:+.places$}")
}

pub(super) fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "–".to_owned(), |share| format!("{share:.1} %"))
}

pub(super) fn probability(p: f64) -> String {
    if p < 0.0005 { "< 0.001".to_owned() } else { format!("{p:.3}") }
}

/// A number with that many places; a dash where there is none.
pub(super) fn number(of: Option<f64>, places: usize) -> String {
    of.map_or_else(|| "–".to_owned(), |number| format!("{number:.places$}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_have_a_sign_and_nothing_is_minus_zero() {
        assert_eq!(
            [signed(1.25, 1), signed(-1.26, 1), signed(-0.0, 1), signed(-0.04, 1)],
            ["+1.2", "-1.3", "+0.0", "+0.0"]
        );
    }
}

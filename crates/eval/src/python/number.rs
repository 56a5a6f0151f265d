//! Numbers: `float(text)`, `int(text)`, `repr(float)` and `round`.

use super::character::{digit_value, is_space};

/// `float(text)`; `None` where Python raises `ValueError`.
///
/// White space around it, a sign, `_` between digits, exponents, `inf`, `infinity` and `nan` in any case and digits of
/// every script are read; commas, units and currencies are not. Too large a number is infinite.
pub(crate) fn parse_float(text: &str) -> Option<f64> {
    plain(text)?.parse().ok()
}

/// `str(int(text))`, of any length; `None` where Python raises `ValueError`.
pub(crate) fn parse_integer(text: &str) -> Option<String> {
    let plain = plain(text)?;
    let negative = plain.starts_with('-');
    let digits = plain.strip_prefix(['+', '-']).unwrap_or(&plain);
    // Python 3.11 refuses to convert more.
    let convertible = (1..=4300).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    let digits = convertible.then(|| digits.trim_start_matches('0'))?;
    Some(match (digits.is_empty(), negative) {
        (true, _) => "0".to_owned(),
        (false, true) => format!("-{digits}"),
        (false, false) => digits.to_owned(),
    })
}

/// The text of a number in ASCII, without white space around it and without underscores; `None` if it cannot be one.
fn plain(text: &str) -> Option<String> {
    // As C sees it the four separators U+001C to U+001F are no white space.
    let around = |c: char| is_space(c) && !('\u{1c}'..='\u{1f}').contains(&c);
    let ascii: Option<String> = text
        .trim_matches(around)
        .chars()
        .map(|c| if c.is_ascii() { Some(c) } else { char::from_digit(digit_value(c)?, 10) })
        .collect();
    without_underscores(&ascii?)
}

/// Takes out underscores, each of which has to stand between two digits.
fn without_underscores(text: &str) -> Option<String> {
    let pieces: Vec<&str> = text.split('_').collect();
    let joined = pieces.windows(2).all(|pair| {
        pair[0].ends_with(|c: char| c.is_ascii_digit()) && pair[1].starts_with(|c: char| c.is_ascii_digit())
    });
    joined.then(|| pieces.concat())
}

/// `repr(x)`: the shortest digits that give the number back, always with a point or an exponent (`14.0`, `1e+16`,
/// `1e-07`, `-0.0`, `inf`, `nan`).
pub(crate) fn float_text(x: f64) -> String {
    if x.is_nan() {
        return "nan".to_owned();
    }
    let scientific = format!("{x:e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else {
        return scientific;
    };
    match exponent.parse::<i32>() {
        Ok(exponent) if !(-4..16).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs())
        }
        _ => format!("{x:?}"),
    }
}

/// `round(x, decimals)`: of the exact binary value, ties to even (`2.675` is below the tie and gives `2.67`).
pub(crate) fn round(x: f64, decimals: u32) -> f64 {
    // No double has more than 323 decimals in front of its last bit.
    if decimals > 323 {
        return x;
    }
    format!("{x:.*}", decimals as usize).parse().unwrap_or(x)
}

/// `str(int(x))` of a whole number, all its digits; `None` for one that is not finite.
pub(crate) fn whole_text(x: f64) -> Option<String> {
    let text = format!("{x:.0}");
    x.is_finite().then(|| if text == "-0" { "0".to_owned() } else { text })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_float_is_read_as_python_reads_it() {
        for (text, number) in [
            (" 1_000.5 ", 1000.5),
            ("+.5", 0.5),
            ("5.", 5.0),
            ("1e-1", 0.1),
            ("１２", 12.0),
            ("\u{3000}٣\n", 3.0),
            ("1_0e1_0", 1e11),
            ("-Infinity", f64::NEG_INFINITY),
            ("1e400", f64::INFINITY),
        ] {
            assert_eq!(parse_float(text), Some(number), "{text:?}");
        }
        assert!(parse_float("NaN").is_some_and(f64::is_nan));
    }

    #[test]
    fn what_python_refuses_is_refused() {
        for text in ["", " ", ".", "1e", "1,000", "$5", "5 %", "0x10", "1__0", "_1", "1_", "1_.5", "½", "²", "\u{1c}5"]
        {
            assert_eq!(parse_float(text), None, "{text:?}");
        }
        for text in ["", "+", "-", "1.0", "1e3", "- 5", "1__0", "½"] {
            assert_eq!(parse_integer(text), None, "{text:?}");
        }
    }

    #[test]
    fn an_integer_has_all_its_digits_and_no_leading_zeros() {
        for (text, number) in [("014", "14"), ("-0", "0"), ("+1_4", "14"), (" -１４ ", "-14"), ("000", "0")] {
            assert_eq!(parse_integer(text).as_deref(), Some(number), "{text:?}");
        }
        let long = "123456789012345678901234567890";
        assert_eq!(parse_integer(long).as_deref(), Some(long));
        assert_eq!(parse_integer(&"1".repeat(4301)), None);
    }

    #[test]
    fn a_float_prints_as_its_shortest_digits() {
        for (number, text) in [
            (14.0, "14.0"),
            (-0.0, "-0.0"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (0.0001, "0.0001"),
            (1e-5, "1e-05"),
            (1e-7, "1e-07"),
            (5e-324, "5e-324"),
            (1.234_567_890_123_456_7e19, "1.2345678901234567e+19"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
        ] {
            assert_eq!(float_text(number), text);
        }
    }

    #[test]
    fn rounding_looks_at_the_binary_value_and_ties_go_to_even() {
        assert_eq!(
            [round(2.675, 2), round(0.125, 2), round(0.375, 2), round(1.005, 2), round(0.55, 1)],
            [2.67, 0.12, 0.38, 1.0, 0.6]
        );
        assert_eq!([round(2.5, 0), round(1e17, 2), round(0.1, 400)], [2.0, 1e17, 0.1]);
        assert_eq!(round(f64::INFINITY, 2), f64::INFINITY);
        assert!(round(f64::NAN, 2).is_nan());
    }

    #[test]
    fn whole_numbers_have_no_exponent_and_no_negative_zero() {
        assert_eq!(whole_text(1e22).as_deref(), Some("10000000000000000000000"));
        assert_eq!(whole_text(-0.0).as_deref(), Some("0"));
        assert_eq!(whole_text(f64::NAN), None);
    }

    proptest! {
        #[test]
        fn any_float_is_read_back_from_its_text(bits in any::<u64>()) {
            let x = f64::from_bits(bits);
            let back = parse_float(&float_text(x)).unwrap();
            prop_assert!(back == x || (back.is_nan() && x.is_nan()));
        }

        #[test]
        fn any_text_is_read_or_refused(text in any::<String>()) {
            parse_float(&text);
            parse_integer(&text);
        }
    }
}

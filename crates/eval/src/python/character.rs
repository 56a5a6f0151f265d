//! Classes of characters: `str.isspace`, `str.isalpha`, and `\w`, `\d` of a regular expression.

use std::sync::LazyLock;

use regex::Regex;

/// `str.isspace`, which is also what `str.strip`, `str.split` and `\s` go by.
///
/// Rust's `char::is_whitespace` lacks the four separators U+001C to U+001F.
pub(crate) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// `str.isalpha`: the general categories of letters. Rust's `char::is_alphabetic` has more, among them vowel signs.
pub(crate) fn is_letter(c: char) -> bool {
    static LETTER: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\p{L}").expect("the pattern is a constant"));
    if c.is_ascii() { c.is_ascii_alphabetic() } else { matches(&LETTER, c) }
}

/// `\w`: letters, numbers of every kind, and the underscore. Combining marks are not in it.
pub(crate) fn is_word(c: char) -> bool {
    static NUMBER: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\p{N}").expect("the pattern is a constant"));
    if c.is_ascii() { c.is_ascii_alphanumeric() || c == '_' } else { is_letter(c) || matches(&NUMBER, c) }
}

fn matches(class: &Regex, c: char) -> bool {
    class.is_match(c.encode_utf8(&mut [0; 4]))
}

/// The value of a decimal digit of any script (`\d`, `str.isdecimal`).
pub(crate) fn digit_value(c: char) -> Option<u32> {
    let code = u32::from(c);
    let scripts_before = ZEROS.partition_point(|&zero| zero <= code);
    let zero = ZEROS.get(scripts_before.checked_sub(1)?)?;
    (code - zero < 10).then_some(code - zero)
}

/// The zeros of all scripts with decimal digits, Unicode 14 as Python 3.11 has it; nine digits follow each.
const ZEROS: [u32; 66] = [
    0x30, 0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xde6, 0xe50, 0xed0,
    0xf20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50, 0x1bb0, 0x1c40, 0x1c50, 0xa620,
    0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0xff10, 0x104a0, 0x10d30, 0x11066, 0x110f0, 0x11136, 0x111d0,
    0x112f0, 0x11450, 0x114d0, 0x11650, 0x116c0, 0x11730, 0x118e0, 0x11950, 0x11c50, 0x11d50, 0x11da0, 0x16a60,
    0x16ac0, 0x16b50, 0x1d7ce, 0x1d7d8, 0x1d7e2, 0x1d7ec, 0x1d7f6, 0x1e140, 0x1e2f0, 0x1e950, 0x1fbf0,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_below_the_space_are_white_space_and_the_zero_width_space_is_not() {
        assert!(['\u{1c}', '\u{1f}', '\u{85}', '\u{a0}', '\u{3000}'].into_iter().all(is_space));
        assert!(!['\u{200b}', '\u{feff}', 'a'].into_iter().any(is_space));
    }

    #[test]
    fn marks_and_circled_letters_are_no_word_characters_and_odd_numbers_are() {
        assert!(['a', '_', '7', 'é', '字', '½', '²', 'Ⅷ', '٣'].into_iter().all(is_word));
        assert!(!['\u{301}', '\u{20e3}', 'Ⓐ', '-', ' '].into_iter().any(is_word));
        assert!(is_letter('ß') && !is_letter('½') && !is_letter('_') && !is_letter('Ⓐ'));
    }

    #[test]
    fn digits_of_every_script_have_their_value() {
        assert_eq!(['0', '9', '٣', '９', '𝟗', '𝟘'].map(digit_value), [0, 9, 3, 9, 9, 0].map(Some));
        assert_eq!(['²', '½', '/', ':', '\0', 'a'].map(digit_value), [None; 6]);
    }

    #[test]
    fn the_zeros_are_in_order() {
        assert!(ZEROS.is_sorted());
    }
}

//! White space and word characters as Python has them: the reference's rules are written in its patterns.

/// A character that `str.strip` and `\s` take for white space: Unicode's, and the four separators U+001C to U+001F.
pub(crate) fn is_space(character: char) -> bool {
    character.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&character)
}

/// `str.strip`.
pub(crate) fn strip(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// A character that `\w` matches.
pub(crate) fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_four_separators_are_white_space_too() {
        assert_eq!(strip("\u{1c}\u{1f} a\u{a0}b \u{1d}\u{2029}\n"), "a\u{a0}b");
        assert_eq!(strip("\u{200b}a"), "\u{200b}a");
    }
}

//! Small readings of text that several rules share.

/// White space as Python's `str.strip` has it: Unicode white space and U+001C to U+001F.
pub(crate) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// The text without white space at either end.
pub(crate) fn strip(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// The contents of braces: `text` begins after an opening brace. Returns what is before the brace that closes it, and
/// what is after. `None` when it is not closed.
pub(crate) fn split_braced(text: &str) -> Option<(&str, &str)> {
    let mut depth = 0_usize;
    for (index, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => return Some((&text[..index], &text[index + 1..])),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// Whether `text[at..]` begins with `word`.
pub(crate) fn starts_with(text: &[char], at: usize, word: &str) -> bool {
    let mut chars = text.iter().skip(at);
    word.chars().all(|expected| chars.next() == Some(&expected))
}

/// [`starts_with`] without regard to ASCII case.
pub(crate) fn starts_with_ignoring_case(text: &[char], at: usize, word: &str) -> bool {
    let mut chars = text.iter().skip(at);
    word.chars().all(|expected| chars.next().is_some_and(|c| c.eq_ignore_ascii_case(&expected)))
}

/// The position after the characters of `text` from `at` on that `accept` takes.
pub(crate) fn skip_while(text: &[char], at: usize, accept: impl Fn(char) -> bool) -> usize {
    at + text.iter().skip(at).take_while(|&&c| accept(c)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_close_at_their_own_level() {
        assert_eq!(split_braced("a{b}c}d"), Some(("a{b}c", "d")));
        assert_eq!(split_braced("a{b}"), None);
    }
}

//! Methods of `str`.

use super::character::is_space;

/// `str.strip()`.
pub(crate) fn strip(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// `str.split()`: the pieces between runs of white space.
pub(crate) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_space).filter(|piece| !piece.is_empty())
}

/// `str.strip(mark)` with each mark once, in their order: of `B.!` the marks `.!` leave the dot.
pub(crate) fn strip_each<'a>(text: &'a str, marks: &str) -> &'a str {
    marks.chars().fold(text, |rest, mark| rest.trim_matches(mark))
}

/// `str.capitalize()`: the first character in title case, all others in lower case.
pub(crate) fn capitalize(text: &str) -> String {
    let Some(first) = text.chars().next() else {
        return String::new();
    };
    // The whole text is lowered, not its rest: how a final sigma is written depends on what is before it.
    let lowered = text.to_lowercase();
    let first_lowered: usize = first.to_lowercase().map(char::len_utf8).sum();
    let rest = lowered.get(first_lowered..).unwrap_or_default();
    format!("{}{rest}", title(first))
}

/// The title case of a character: mostly a capital, with the rest of what it expands to in lower case (`ﬁ` is `Fi`).
fn title(c: char) -> String {
    let upper: String = c.to_uppercase().collect();
    match c {
        // Georgian has capitals for whole words only.
        '\u{10d0}'..='\u{10fa}' | '\u{10fd}'..='\u{10ff}' => c.to_string(),
        // Digraphs with a form of their own, which stands between the capital and the small one.
        'Ǆ'..='ǆ' => "ǅ".to_owned(),
        'Ǉ'..='ǉ' => "ǈ".to_owned(),
        'Ǌ'..='ǌ' => "ǋ".to_owned(),
        'Ǳ'..='ǳ' => "ǲ".to_owned(),
        'ŉ' => upper,
        // Greek with an iota below: it stays below, in one character where there is one.
        '\u{1f80}'..='\u{1faf}' => char::from_u32(u32::from(c) | 8).map_or(upper, String::from),
        'ᾳ' | 'ᾼ' => "ᾼ".to_owned(),
        'ῃ' | 'ῌ' => "ῌ".to_owned(),
        'ῳ' | 'ῼ' => "ῼ".to_owned(),
        'ᾲ' | 'ᾴ' | 'ᾷ' | 'ῂ' | 'ῄ' | 'ῇ' | 'ῲ' | 'ῴ' | 'ῷ' => upper.replace('Ι', "\u{345}"),
        _ => {
            let mut parts = upper.chars();
            parts.next().map(String::from).unwrap_or_default() + &parts.as_str().to_lowercase()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stripping_takes_every_kind_of_space_from_both_ends() {
        assert_eq!(strip("\u{1c}\u{3000} a b\r\n"), "a b");
        assert_eq!(strip("\u{200b}a"), "\u{200b}a");
        assert_eq!(words(" a \u{1d}b\n\nc").collect::<Vec<_>>(), ["a", "b", "c"]);
    }

    #[test]
    fn marks_are_stripped_one_after_another() {
        assert_eq!(strip_each("..B.!", ".!"), "B.");
        assert_eq!(strip_each("..B.!", "!."), "B");
    }

    #[test]
    fn the_first_character_gets_title_case_and_the_rest_is_lowered() {
        assert_eq!(capitalize("WHAT is IT?"), "What is it?");
        assert_eq!(capitalize(" WHAT"), " what");
        assert_eq!(capitalize("ﬁND"), "Find");
        assert_eq!(capitalize("ßA"), "Ssa");
        assert_eq!(capitalize("ǆ"), "ǅ");
        assert_eq!(capitalize("ᾳ"), "ᾼ");
        assert_eq!(capitalize("ŉ"), "ʼN");
        assert_eq!(capitalize("აბ"), "აბ");
        assert_eq!(capitalize("İS IT"), "İs it");
        assert_eq!(capitalize(""), "");
    }

    #[test]
    fn a_final_sigma_is_seen_behind_the_first_character() {
        assert_eq!(capitalize("ΑΣ"), "Ας");
    }
}

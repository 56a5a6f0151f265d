//! `ast.literal_eval` of a list of texts: MMMU stores its options as the source text of a Python list.

use std::iter::Peekable;
use std::str::Chars;

use super::character::is_space;
use super::number::{float_text, parse_float, parse_integer};
use super::text::strip;

/// The items of `['a', "it's", 3]` as `str()` prints them; `None` for anything but a list of texts, numbers, truth
/// values and `None`.
pub(crate) fn parse(source: &str) -> Option<Vec<String>> {
    let inside = strip(source).strip_prefix('[')?;
    let mut rest = inside.chars().peekable();
    let mut items = Vec::new();
    loop {
        skip_space(&mut rest);
        if rest.next_if_eq(&']').is_some() {
            break;
        }
        items.push(item(&mut rest)?);
        skip_space(&mut rest);
        match rest.next()? {
            ',' => {}
            ']' => break,
            _ => return None,
        }
    }
    rest.all(is_space).then_some(items)
}

fn skip_space(rest: &mut Peekable<Chars<'_>>) {
    while rest.next_if(|c| is_space(*c)).is_some() {}
}

fn item(rest: &mut Peekable<Chars<'_>>) -> Option<String> {
    if !matches!(rest.peek()?, '\'' | '"') {
        return bare(rest);
    }
    let mut text = String::new();
    // Texts that stand side by side are one.
    while let Some(quote) = rest.next_if(|c| matches!(c, '\'' | '"')) {
        quoted(rest, quote, &mut text)?;
        skip_space(rest);
    }
    Some(text)
}

/// A number, a truth value or `None`.
fn bare(rest: &mut Peekable<Chars<'_>>) -> Option<String> {
    let mut source = String::new();
    while let Some(c) = rest.next_if(|c| !matches!(c, ',' | ']')) {
        source.push(c);
    }
    let source = strip(&source);
    if matches!(source, "None" | "True" | "False") {
        return Some(source.to_owned());
    }
    let number = source.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.'));
    number.then(|| parse_integer(source).or_else(|| parse_float(source).map(float_text))).flatten()
}

fn quoted(rest: &mut Peekable<Chars<'_>>, quote: char, text: &mut String) -> Option<()> {
    loop {
        match rest.next()? {
            c if c == quote => return Some(()),
            '\n' => return None,
            '\\' => escaped(rest, text)?,
            c => text.push(c),
        }
    }
}

/// What follows a backslash; an escape that Python does not know stays as it is.
fn escaped(rest: &mut Peekable<Chars<'_>>, text: &mut String) -> Option<()> {
    let c = match rest.next()? {
        '\n' => return Some(()),
        c @ ('\\' | '\'' | '"') => c,
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        'a' => '\u{7}',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'v' => '\u{b}',
        'x' => hexadecimal(rest, 2)?,
        'u' => hexadecimal(rest, 4)?,
        'U' => hexadecimal(rest, 8)?,
        c @ '0'..='7' => octal(rest, c)?,
        other => {
            text.push('\\');
            other
        }
    };
    text.push(c);
    Some(())
}

fn hexadecimal(rest: &mut Peekable<Chars<'_>>, digits: u32) -> Option<char> {
    let mut code = 0_u32;
    for _ in 0..digits {
        code = code.checked_mul(16)? + rest.next()?.to_digit(16)?;
    }
    char::from_u32(code)
}

fn octal(rest: &mut Peekable<Chars<'_>>, first: char) -> Option<char> {
    let mut code = first.to_digit(8)?;
    for _ in 0..2 {
        let Some(digit) = rest.next_if(|c| c.is_digit(8)) else { break };
        code = code * 8 + digit.to_digit(8)?;
    }
    char::from_u32(code)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn items(source: &str) -> Vec<String> {
        parse(source).unwrap_or_else(|| panic!("{source}"))
    }

    #[test]
    fn both_quotes_and_their_escapes_are_read() {
        assert_eq!(items(r#"['a', "it's", 'it\'s', '']"#), ["a", "it's", "it's", ""]);
        assert_eq!(items(r"['\\frac{1}{2}', '\d', 'a\nb', '\u03b1\x41\101']"), [r"\frac{1}{2}", r"\d", "a\nb", "αAA"]);
        assert_eq!(items("[]"), Vec::<String>::new());
        assert_eq!(items(" ['a' 'b',\n 'c',] "), ["ab", "c"]);
    }

    #[test]
    fn other_constants_are_printed() {
        assert_eq!(items("[1, -2.50, 1e3, None, True]"), ["1", "-2.5", "1000.0", "None", "True"]);
    }

    #[test]
    fn anything_else_is_refused() {
        for source in ["", "[", "['a'", "['a]", "['a'] x", "[a]", "('a',)", "['a' 3]", "[nan]", "['a\nb']", "[,]"] {
            assert_eq!(parse(source), None, "{source}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(source in r#"\[[ ,'"\\a0-9xuUn\]é]{0,12}"#) {
            parse(&source);
        }
    }
}

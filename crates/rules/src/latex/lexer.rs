//! Characters into tokens.

use crate::text::{skip_while, split_braced};

use super::commands::{SPACES, is_accent, is_text};

/// A piece of LaTeX.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// Digits with at most one point, and a power of ten behind `E`.
    Number(String),
    /// A letter of any alphabet.
    Letter(char),
    /// `\name`, or a backslash with one sign.
    Command(String),
    /// `\text{…}` and its like (no accent), or an accent with what it is on.
    Named { accent: String, content: String },
    /// Any other sign.
    Sign(char),
}

/// `None` where a sign has no place in mathematics.
pub(super) fn tokens(text: &str) -> Option<Vec<Token>> {
    let chars: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        if c.is_whitespace() {
            at += 1;
        } else if c == '\\' {
            at = command(&chars, at, &mut tokens);
        } else if c.is_ascii_digit() || c == '.' && chars.get(at + 1).is_some_and(char::is_ascii_digit) {
            let end = number_end(&chars, at);
            tokens.push(Token::Number(chars[at..end].iter().collect()));
            at = end;
        } else {
            tokens.push(sign(c)?);
            at += 1;
        }
    }
    Some(tokens)
}

fn number_end(chars: &[char], start: usize) -> usize {
    let digits = |from: usize| skip_while(chars, from, |c| c.is_ascii_digit());
    let mut end = digits(start);
    if chars.get(end) == Some(&'.') && digits(end + 1) > end + 1 {
        end = digits(end + 1);
    }
    if chars.get(end) == Some(&'E') {
        let sign = end + 1 + usize::from(matches!(chars.get(end + 1), Some('+' | '-')));
        if digits(sign) > sign {
            end = digits(sign);
        }
    }
    end
}

fn sign(c: char) -> Option<Token> {
    let command = |name: &str| Some(Token::Command(name.to_owned()));
    match c {
        'π' => command("pi"),
        '×' => command("times"),
        '÷' => command("div"),
        '±' => command("pm"),
        '≤' => command("leq"),
        '≥' => command("geq"),
        '≠' => command("neq"),
        '≈' => command("approx"),
        '∪' => command("cup"),
        '−' => Some(Token::Sign('-')),
        'a'..='z' | 'A'..='Z' | 'α'..='ω' | 'Α'..='Ω' => Some(Token::Letter(c)),
        '+' | '-' | '*' | '/' | '^' | '_' | '=' | '<' | '>' | '(' | ')' | '[' | ']' | '{' | '}' | '|' | ',' | ';'
        | ':' | '!' | '%' => Some(Token::Sign(c)),
        _ => None,
    }
}

/// Reads from a backslash on; returns where to go on.
fn command(chars: &[char], at: usize, tokens: &mut Vec<Token>) -> usize {
    let mut end = skip_while(chars, at + 1, |c| c.is_ascii_alphabetic());
    if end == at + 1 {
        end = (at + 2).min(chars.len());
    }
    let name: String = chars[at + 1..end].iter().collect();
    if is_text(&name) || is_accent(&name) {
        let open = skip_while(chars, end, char::is_whitespace);
        let rest: String = chars.iter().skip(open).collect();
        if let Some((content, _)) = rest.strip_prefix('{').and_then(split_braced) {
            let accent = if is_text(&name) { String::new() } else { name };
            tokens.push(Token::Named { accent, content: content.to_owned() });
            return open + 2 + content.chars().count();
        }
    }
    if !SPACES.contains(&name.as_str()) {
        tokens.push(Token::Command(name));
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_commands_and_names_are_told_apart() {
        let number = |text: &str| Token::Number(text.to_owned());
        let command = |name: &str| Token::Command(name.to_owned());
        assert_eq!(tokens(r"12.5\pi x").unwrap(), [number("12.5"), command("pi"), Token::Letter('x')]);
        assert_eq!(tokens(r"1E3\,2").unwrap(), [number("1E3"), number("2")]);
        assert_eq!(tokens(r"1e3").unwrap(), [number("1"), Token::Letter('e'), number("3")]);
        assert_eq!(tokens(r"\text{a b}").unwrap(), [Token::Named { accent: String::new(), content: "a b".to_owned() }]);
    }

    #[test]
    fn a_sign_without_a_place_in_mathematics_ends_it() {
        assert_eq!(tokens("42."), None);
        assert_eq!(tokens("5 # 3"), None);
        assert_eq!(tokens("中"), None);
    }
}

//! JSON as Python's `json.loads` reads it: `NaN` and `Infinity` allowed, the last of equal keys wins, and errors in its
//! words, because the reference hands them to the model.
//!
//! Source: `Modules/_json.c` of CPython 3.11. Positions count characters. The texts that come here hold no line break
//! (see [`crate::lenient`]), so every position is on line 1.

use std::fmt;

use crate::lenient::{ReferenceError, ReferenceErrorKind};

/// Near Python's default recursion limit of 1000, less the frames that are there already.
const MAX_DEPTH: usize = 960;

/// A value as Python holds it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum PythonValue {
    /// `None`
    None,
    /// `bool`
    Bool(bool),
    /// `int`, its digits kept because it has no upper bound.
    Int(String),
    /// `float`
    Float(f64),
    /// `str`
    Text(String),
    /// `list`
    List(Vec<PythonValue>),
    /// `dict`, in order of first insertion.
    Dict(Vec<(String, PythonValue)>),
}

impl PythonValue {
    /// `self[key]`.
    pub(crate) fn item(&self, key: &str) -> Result<&Self, ReferenceError> {
        let kind = match self {
            Self::Dict(items) => {
                let found = items.iter().find(|(name, _)| name == key).map(|(_, value)| value);
                return found.ok_or_else(|| ReferenceError::new(ReferenceErrorKind::Key, format!("'{key}'")));
            }
            Self::List(_) => "list indices must be integers or slices, not str",
            Self::Text(_) => "string indices must be integers, not 'str'",
            Self::None => "'NoneType' object is not subscriptable",
            Self::Bool(_) => "'bool' object is not subscriptable",
            Self::Int(_) => "'int' object is not subscriptable",
            Self::Float(_) => "'float' object is not subscriptable",
        };
        Err(ReferenceError::new(ReferenceErrorKind::Type, kind))
    }

    /// `repr(self)`; differs from `str` for text only.
    fn repr(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Text(text) = self else {
            return write!(f, "{self}");
        };
        let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
        write!(f, "{quote}")?;
        for character in text.chars() {
            match character {
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                c if c == quote => write!(f, "\\{c}")?,
                c if c.is_control() => write!(f, "\\x{:02x}", u32::from(c))?,
                c => write!(f, "{c}")?,
            }
        }
        write!(f, "{quote}")
    }
}

/// `str(self)`.
impl fmt::Display for PythonValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Bool(true) => f.write_str("True"),
            Self::Bool(false) => f.write_str("False"),
            Self::Int(digits) => f.write_str(digits),
            Self::Float(number) => f.write_str(&float_text(*number)),
            Self::Text(text) => f.write_str(text),
            Self::List(items) => {
                f.write_str("[")?;
                for (index, item) in items.iter().enumerate() {
                    f.write_str(if index > 0 { ", " } else { "" })?;
                    item.repr(f)?;
                }
                f.write_str("]")
            }
            Self::Dict(items) => {
                f.write_str("{")?;
                for (index, (key, value)) in items.iter().enumerate() {
                    f.write_str(if index > 0 { ", " } else { "" })?;
                    Self::Text(key.clone()).repr(f)?;
                    f.write_str(": ")?;
                    value.repr(f)?;
                }
                f.write_str("}")
            }
        }
    }
}

/// Shortest digits as in Rust, but an exponent has a sign and two digits at least.
fn float_text(number: f64) -> String {
    if number.is_nan() {
        return "nan".to_owned();
    }
    let text = format!("{number:?}");
    match text.split_once('e') {
        Some((digits, exponent)) => {
            let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |rest| ('-', rest));
            format!("{digits}e{sign}{exponent:0>2}")
        }
        None => text,
    }
}

/// Parses one JSON text that begins without white space, as `json.loads`.
pub(crate) fn parse(text: &str) -> Result<PythonValue, ReferenceError> {
    let mut reader = Reader { chars: text.chars().collect(), at: 0, depth: 0 };
    let value = reader.value()?;
    reader.skip_space();
    if reader.at < reader.chars.len() {
        return Err(decode_error("Extra data", reader.at));
    }
    Ok(value)
}

fn decode_error(message: &str, at: usize) -> ReferenceError {
    let text = format!("{message}: line 1 column {} (char {at})", at + 1);
    ReferenceError::new(ReferenceErrorKind::JsonDecode, text)
}

struct Reader {
    chars: Vec<char>,
    at: usize,
    depth: usize,
}

impl Reader {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(' ' | '\t' | '\n' | '\r')) {
            self.at += 1;
        }
    }

    fn take(&mut self, word: &str) -> bool {
        let matches = word.chars().enumerate().all(|(index, c)| self.chars.get(self.at + index) == Some(&c));
        if matches {
            self.at += word.chars().count();
        }
        matches
    }

    fn value(&mut self) -> Result<PythonValue, ReferenceError> {
        match self.peek() {
            Some('"') => {
                self.at += 1;
                self.string().map(PythonValue::Text)
            }
            Some('{') => self.nested("object", Self::dict),
            Some('[') => self.nested("array", Self::list),
            Some('n') if self.take("null") => Ok(PythonValue::None),
            Some('t') if self.take("true") => Ok(PythonValue::Bool(true)),
            Some('f') if self.take("false") => Ok(PythonValue::Bool(false)),
            Some('N') if self.take("NaN") => Ok(PythonValue::Float(f64::NAN)),
            Some('I') if self.take("Infinity") => Ok(PythonValue::Float(f64::INFINITY)),
            Some('-') if self.take("-Infinity") => Ok(PythonValue::Float(f64::NEG_INFINITY)),
            _ => self.number(),
        }
    }

    fn nested(
        &mut self,
        what: &str,
        read: fn(&mut Self) -> Result<PythonValue, ReferenceError>,
    ) -> Result<PythonValue, ReferenceError> {
        if self.depth == MAX_DEPTH {
            let text = format!("maximum recursion depth exceeded while decoding a JSON {what} from a unicode string");
            return Err(ReferenceError::new(ReferenceErrorKind::Recursion, text));
        }
        self.depth += 1;
        self.at += 1;
        self.skip_space();
        let value = read(self)?;
        self.at += 1;
        self.depth -= 1;
        Ok(value)
    }

    /// Reads up to the closing brace.
    fn dict(&mut self) -> Result<PythonValue, ReferenceError> {
        let mut items: Vec<(String, PythonValue)> = Vec::new();
        if self.peek() == Some('}') {
            return Ok(PythonValue::Dict(items));
        }
        loop {
            if self.peek() != Some('"') {
                return Err(decode_error("Expecting property name enclosed in double quotes", self.at));
            }
            self.at += 1;
            let key = self.string()?;
            self.skip_space();
            if self.peek() != Some(':') {
                return Err(decode_error("Expecting ':' delimiter", self.at));
            }
            self.at += 1;
            self.skip_space();
            let value = self.value()?;
            match items.iter_mut().find(|(name, _)| *name == key) {
                Some(item) => item.1 = value,
                None => items.push((key, value)),
            }
            if self.ends_with('}')? {
                return Ok(PythonValue::Dict(items));
            }
        }
    }

    /// Reads up to the closing bracket.
    fn list(&mut self) -> Result<PythonValue, ReferenceError> {
        let mut items = Vec::new();
        if self.peek() == Some(']') {
            return Ok(PythonValue::List(items));
        }
        loop {
            items.push(self.value()?);
            if self.ends_with(']')? {
                return Ok(PythonValue::List(items));
            }
        }
    }

    /// Behind an item: true at `end`, false behind a comma.
    fn ends_with(&mut self, end: char) -> Result<bool, ReferenceError> {
        self.skip_space();
        if self.peek() == Some(end) {
            return Ok(true);
        }
        if self.peek() != Some(',') {
            return Err(decode_error("Expecting ',' delimiter", self.at));
        }
        self.at += 1;
        self.skip_space();
        Ok(false)
    }

    /// Reads behind the opening quote, up to and including the closing one.
    fn string(&mut self) -> Result<String, ReferenceError> {
        let begin = self.at - 1;
        let unterminated = || decode_error("Unterminated string starting at", begin);
        let mut text = String::new();
        loop {
            let character = self.peek().ok_or_else(unterminated)?;
            if character <= '\u{1f}' {
                return Err(decode_error("Invalid control character at", self.at));
            }
            self.at += 1;
            match character {
                '"' => return Ok(text),
                '\\' => {
                    let escape = self.peek().ok_or_else(unterminated)?;
                    self.at += 1;
                    text.push(self.escaped(escape)?);
                }
                other => text.push(other),
            }
        }
    }

    fn escaped(&mut self, escape: char) -> Result<char, ReferenceError> {
        Ok(match escape {
            '"' | '\\' | '/' => escape,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => return self.unicode_escape(),
            _ => return Err(decode_error("Invalid \\escape", self.at - 2)),
        })
    }

    /// Behind `\u`. Half a surrogate pair has no place in UTF-8 and becomes U+FFFD.
    fn unicode_escape(&mut self) -> Result<char, ReferenceError> {
        let invalid = |at: usize| decode_error("Invalid \\uXXXX escape", at);
        // Four digits and at least the closing quote must follow.
        if self.at + 4 >= self.chars.len() {
            return Err(invalid(self.at - 1));
        }
        let first = self.hex(self.at).ok_or_else(|| invalid(self.at - 1))?;
        self.at += 4;
        let pair_follows = (0xD800..0xDC00).contains(&first)
            && self.at + 6 < self.chars.len()
            && self.chars[self.at] == '\\'
            && self.chars[self.at + 1] == 'u';
        if pair_follows {
            let second = self.hex(self.at + 2).ok_or_else(|| invalid(self.at + 1))?;
            if (0xDC00..0xE000).contains(&second) {
                self.at += 6;
                let code = 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
                return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
        }
        Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn hex(&self, at: usize) -> Option<u32> {
        self.chars.get(at..at + 4)?.iter().try_fold(0, |code, c| Some(code * 16 + c.to_digit(16)?))
    }

    fn digits(&mut self) {
        while matches!(self.peek(), Some('0'..='9')) {
            self.at += 1;
        }
    }

    fn number(&mut self) -> Result<PythonValue, ReferenceError> {
        let start = self.at;
        if self.peek() == Some('-') {
            self.at += 1;
        }
        match self.peek() {
            Some('0') => self.at += 1,
            Some('1'..='9') => self.digits(),
            _ => return Err(decode_error("Expecting value", start)),
        }
        let mut is_float = false;
        if self.peek() == Some('.') && matches!(self.chars.get(self.at + 1), Some('0'..='9')) {
            is_float = true;
            self.at += 1;
            self.digits();
        }
        if matches!(self.peek(), Some('e' | 'E')) {
            let before = self.at;
            self.at += 1;
            if matches!(self.peek(), Some('+' | '-')) {
                self.at += 1;
            }
            let digits_from = self.at;
            self.digits();
            if self.at == digits_from {
                self.at = before;
            } else {
                is_float = true;
            }
        }
        let text: String = self.chars[start..self.at].iter().collect();
        Ok(match text.as_str() {
            _ if is_float => PythonValue::Float(text.parse().unwrap_or(f64::NAN)),
            "-0" => PythonValue::Int("0".to_owned()),
            _ => PythonValue::Int(text),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        parse(text).map_or_else(|error| error.text, |value| value.to_string())
    }

    #[test]
    fn values_print_as_python_prints_them() {
        assert_eq!(
            shown(r#"{"a": [null, true, -0, 1e3, 1e22, 1e-7, "it's", "\u653e\n"], "a": 2, "b": "x"}"#),
            "{'a': 2, 'b': 'x'}"
        );
        assert_eq!(
            shown(r#"[null, true, false, -0, 1e3, 1e22, 1e-7, 0.5, "it's", "\u653e\n", NaN, -Infinity]"#),
            "[None, True, False, 0, 1000.0, 1e+22, 1e-07, 0.5, \"it's\", '放\\n', nan, -inf]"
        );
        assert_eq!(shown(r#""\ud83d\ude00 \ud83d""#), "😀 \u{FFFD}");
    }

    #[test]
    fn errors_have_pythons_words_and_positions() {
        for (text, words) in [
            ("{]}}", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
            (r#"{"a" 1}"#, "Expecting ':' delimiter: line 1 column 6 (char 5)"),
            (r#"{"a": }"#, "Expecting value: line 1 column 7 (char 6)"),
            (r#"{"a": 1 2}"#, "Expecting ',' delimiter: line 1 column 9 (char 8)"),
            (r#"["a", ]"#, "Expecting value: line 1 column 7 (char 6)"),
            (r#"["\x"]"#, r"Invalid \escape: line 1 column 3 (char 2)"),
            (r#"["\u12"]"#, r"Invalid \uXXXX escape: line 1 column 4 (char 3)"),
            ("[\"a\tb\"]", "Invalid control character at: line 1 column 4 (char 3)"),
            (r#"["a]"#, "Unterminated string starting at: line 1 column 2 (char 1)"),
            ("{}}", "Extra data: line 1 column 3 (char 2)"),
            ("[-]", "Expecting value: line 1 column 2 (char 1)"),
        ] {
            assert_eq!(shown(text), words, "{text}");
        }
    }

    #[test]
    fn endless_nesting_is_an_error() {
        let error = parse(&"[".repeat(100_000)).unwrap_err();
        assert_eq!(error.kind, ReferenceErrorKind::Recursion);
        assert!(parse(&format!("{}{}", "[".repeat(900), "]".repeat(900))).is_ok());
    }
}

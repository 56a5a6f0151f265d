//! Rows of a JSONL file: one object per line.

use std::io::{self, BufRead, BufReader, Read};

use serde_json::{Map, Value};

use crate::error::{DataError, Place, RowError, RowProblem};
use crate::question::{ImageSource, Question, TargetSize};
use crate::read::record::{Kind, Record, one_image, question};
use crate::read::{Images, Shard};
use crate::selection::{Selection, Tries};

/// A row is text and the name of an image. A longer line is a file of another kind, and would only fill the memory.
const LINE_LIMIT_BYTES: usize = 16 << 20;

/// The lines of one file.
#[derive(Debug)]
pub(super) struct Lines {
    shard: Shard,
    reader: BufReader<fs_err::File>,
    buffer: Vec<u8>,
    /// The line in `buffer`, counted from 1.
    line: u64,
    failed: bool,
}

impl Lines {
    pub(super) fn open(shard: Shard) -> Result<Self, DataError> {
        let reader = BufReader::new(fs_err::File::open(&shard.path)?);
        Ok(Self { shard, reader, buffer: Vec::new(), line: 0, failed: false })
    }

    pub(super) fn next_question(&mut self, images: Images) -> Option<Result<Question, RowError>> {
        let object = match self.next_object()? {
            Ok(object) => object,
            Err(error) => return Some(Err(error)),
        };
        let record = Object { object: &object, shard: &self.shard };
        let question = question(&record, &self.shard, self.line - 1, images);
        Some(question.map_err(|problem| self.error(problem)))
    }

    /// The object of the next line that is not empty.
    pub(super) fn next_object(&mut self) -> Option<Result<Map<String, Value>, RowError>> {
        while !self.failed {
            self.line += 1;
            let place = Place::Line(self.line);
            match read_line(&mut self.reader, &mut self.buffer, LINE_LIMIT_BYTES) {
                Err(error) => {
                    self.failed = true;
                    return Some(Err(self.shard.error(place, RowProblem::Io(error))));
                }
                Ok(Line::End) => return None,
                Ok(Line::TooLong) => {
                    return Some(Err(self.shard.error(place, RowProblem::LongLine { limit: LINE_LIMIT_BYTES })));
                }
                Ok(Line::Read) => {
                    let line = self.buffer.as_slice();
                    // Some editors begin a file with a byte order mark.
                    let line = if self.line == 1 { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line) } else { line };
                    if !line.iter().all(u8::is_ascii_whitespace) {
                        return Some(object(line).map_err(|problem| self.shard.error(place, problem)));
                    }
                }
            }
        }
        None
    }

    /// The error for the line last read.
    pub(super) fn error(&self, problem: RowProblem) -> RowError {
        self.shard.error(Place::Line(self.line), problem)
    }

    pub(super) fn shard(&self) -> &Shard {
        &self.shard
    }
}

fn object(line: &[u8]) -> Result<Map<String, Value>, RowProblem> {
    serde_json::from_slice(line)
        .map_err(|error| if error.is_eof() { RowProblem::Truncated } else { RowProblem::Json(error) })
}

enum Line {
    Read,
    TooLong,
    End,
}

/// Reads the next line into `buffer`; of a line beyond the limit the rest is skipped.
fn read_line(reader: &mut impl BufRead, buffer: &mut Vec<u8>, limit: usize) -> io::Result<Line> {
    buffer.clear();
    // One byte more for the newline, one to notice that the line is too long.
    reader.by_ref().take(limit as u64 + 2).read_until(b'\n', buffer)?;
    if buffer.is_empty() {
        return Ok(Line::End);
    }
    let ended = buffer.ends_with(b"\n");
    if buffer.len() - usize::from(ended) <= limit {
        return Ok(Line::Read);
    }
    if !ended {
        reader.skip_until(b'\n')?;
    }
    Ok(Line::TooLong)
}

/// The object of one line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Object<'a> {
    pub(super) object: &'a Map<String, Value>,
    pub(super) shard: &'a Shard,
}

impl Object<'_> {
    /// The value of a column; `None` where there is none or it is null.
    fn value(&self, column: &str) -> Option<&Value> {
        self.object.get(column).filter(|value| !value.is_null())
    }

    /// The images of a column, none where it is null or not there.
    pub(super) fn images(&self, column: &str) -> Result<Vec<ImageSource>, RowProblem> {
        match self.value(column) {
            None => Ok(Vec::new()),
            Some(Value::Array(images)) => {
                images.iter().filter_map(|image| self.image_in(column, image).transpose()).collect()
            }
            Some(image) => Ok(self.image_in(column, image)?.into_iter().collect()),
        }
    }

    fn image_in(&self, column: &str, value: &Value) -> Result<Option<ImageSource>, RowProblem> {
        match value {
            Value::Null => Ok(None),
            Value::String(path) => self.shard.image_at(column, path).map(Some),
            _ => Err(wrong(column, value, Kind::Image.expected())),
        }
    }
}

impl Record for Object<'_> {
    fn has(&self, column: &str) -> bool {
        self.object.contains_key(column)
    }

    fn columns(&self) -> Vec<String> {
        self.object.keys().cloned().collect()
    }

    fn text(&self, column: &str) -> Result<Option<String>, RowProblem> {
        match self.value(column) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(value) => Err(wrong(column, value, Kind::Text.expected())),
        }
    }

    fn identifier(&self, column: &str) -> Result<Option<String>, RowProblem> {
        match self.value(column) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(Value::Number(number)) if !number.is_f64() => Ok(Some(number.to_string())),
            Some(value) => Err(wrong(column, value, Kind::Identifier.expected())),
        }
    }

    fn texts(&self, column: &str) -> Result<Vec<String>, RowProblem> {
        match self.value(column) {
            None => Ok(Vec::new()),
            Some(Value::Array(values)) => values
                .iter()
                .map(|value| match value {
                    Value::String(text) => Ok(text.clone()),
                    _ => Err(wrong(column, value, Kind::Texts.expected())),
                })
                .collect(),
            Some(value) => Err(wrong(column, value, Kind::Texts.expected())),
        }
    }

    fn flag(&self, column: &str) -> Result<Option<bool>, RowProblem> {
        match self.value(column) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(value) => Err(wrong(column, value, Kind::Flag.expected())),
        }
    }

    fn image(&self, column: &str) -> Result<Option<ImageSource>, RowProblem> {
        one_image(column, self.images(column)?)
    }

    fn target(&self, column: &str) -> Result<Option<TargetSize>, RowProblem> {
        let Some(Value::Object(info)) = self.value(column) else { return Ok(None) };
        let at = |key: &str| info.get(key).filter(|value| !value.is_null());
        let (Some(width), Some(height), Some(tool)) = (at("tgt_width"), at("tgt_height"), at("use_tool")) else {
            return Ok(None);
        };
        let pixels = |value: &Value| {
            value
                .as_u64()
                .and_then(|pixels| u32::try_from(pixels).ok())
                .ok_or_else(|| wrong(column, value, Kind::Target.expected()))
        };
        let use_tool = tool.as_bool().ok_or_else(|| wrong(column, tool, Kind::Target.expected()))?;
        Ok(Some(TargetSize { width_px: pixels(width)?, height_px: pixels(height)?, use_tool }))
    }

    fn selection(&self, column: &str) -> Result<Option<Selection>, RowProblem> {
        let Some(value @ Value::Object(selection)) = self.value(column) else { return Ok(None) };
        let at = |key: &str| selection.get(key).filter(|value| !value.is_null());
        let (Some(class), Some(rollouts), Some(low), Some(full)) =
            (at("class"), at("rollouts"), at("right_low"), at("right_full"))
        else {
            return Ok(None);
        };
        let wrong = || wrong(column, value, Kind::Selection.expected());
        let count = |value: &Value| value.as_u64().and_then(|count| u32::try_from(count).ok()).ok_or_else(wrong);
        let class = class.as_str().and_then(|class| class.parse().ok()).ok_or_else(wrong)?;
        let tries = Tries { rollouts: count(rollouts)?, right_low: count(low)?, right_full: count(full)? };
        Ok(Some(Selection { class, tries }))
    }
}

pub(super) fn wrong(column: &str, value: &Value, expected: &'static str) -> RowProblem {
    let found = match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "a boolean".to_owned(),
        Value::Number(number) => format!("the number {number}"),
        Value::String(_) => "a string".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    };
    RowProblem::Type { column: column.to_owned(), found, expected }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_exactly_the_limit_is_read_and_a_longer_one_skipped() {
        let mut reader = BufReader::with_capacity(3, &b"12345\n123456\n1234567890\n12345"[..]);
        let mut buffer = Vec::new();
        let mut seen = Vec::new();
        loop {
            match read_line(&mut reader, &mut buffer, 5).unwrap() {
                Line::End => break,
                Line::TooLong => seen.push("too long".to_owned()),
                Line::Read => seen.push(String::from_utf8(buffer.clone()).unwrap()),
            }
        }
        assert_eq!(seen, ["12345\n", "too long", "too long", "12345"]);
    }
}

//! Request and result lines of `generate` and `score`.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use anyhow::Context;
use serde::Serialize;
use serde_json::Value;
use visionthink_protocol::Message;

use crate::failure::Failure;

/// One line of a request file.
#[derive(Debug, Default)]
pub(crate) struct Request {
    /// Text or number; the line number where there is none.
    pub(crate) id: Option<Value>,
    /// A conversation, rendered with the checkpoint's chat template.
    pub(crate) messages: Option<Vec<Message>>,
    /// Raw text with one `<|image_pad|>` an image; no template is applied.
    pub(crate) prompt: Option<String>,
    /// Paths or URLs of the images of `prompt`, in order.
    pub(crate) images: Vec<String>,
    /// Text to score.
    pub(crate) completion: Option<String>,
    /// Ids to score.
    pub(crate) completion_ids: Option<Vec<u32>>,
}

impl Request {
    /// Keys of a line.
    const KEYS: [&str; 6] = ["id", "messages", "prompt", "images", "completion", "completion_ids"];

    /// Reads a line key by key, so that what is wrong is said by its name. A key that is `null` is not there.
    fn from_line(line: &str) -> Result<Self, String> {
        let columns = match serde_json::from_str(line) {
            Ok(Value::Object(columns)) => columns,
            Ok(other) => return Err(format!("found {}; expected an object", kind(&other))),
            Err(error) => {
                return Err(format!("not JSON from column {} on; expected one object a line", error.column()));
            }
        };
        let mut request = Self::default();
        for (key, value) in columns {
            let wrong = |expected: &str| format!("`{key}` is {}; expected {expected}", kind(&value));
            match key.as_str() {
                _ if value.is_null() && Self::KEYS.contains(&key.as_str()) => {}
                "id" => request.id = Some(value),
                "messages" => request.messages = Some(messages(value)?),
                "prompt" => request.prompt = Some(text(&value).ok_or_else(|| wrong("a text"))?),
                "images" => {
                    request.images = each(&value, text).ok_or_else(|| wrong("a list of paths or URLs"))?;
                }
                "completion" => request.completion = Some(text(&value).ok_or_else(|| wrong("a text"))?),
                "completion_ids" => {
                    let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
                    request.completion_ids = Some(each(&value, id).ok_or_else(|| wrong("a list of token ids"))?);
                }
                _ => return Err(format!("unknown key `{key}`; expected `{}`", Self::KEYS.join("`, `"))),
            }
        }
        Ok(request)
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// All members of a list, if it is one and each is of the kind.
fn each<T>(value: &Value, member: impl Fn(&Value) -> Option<T>) -> Option<Vec<T>> {
    value.as_array()?.iter().map(member).collect()
}

fn messages(value: Value) -> Result<Vec<Message>, String> {
    let Value::Array(list) = value else {
        return Err(format!("`messages` is {}; expected a list", kind(&value)));
    };
    let message = |(place, value): (usize, Value)| {
        serde_json::from_value(value).map_err(|_| {
            format!(
                "`messages[{place}]` is no message; expected `role` (`system`, `user`, `assistant` or `tool`) and `content`, \
                 a text or a list of parts like `{{\"type\": \"text\", \"text\": \"…\"}}` and \
                 `{{\"type\": \"image_url\", \"image_url\": {{\"url\": \"…\"}}}}`"
            )
        })
    };
    list.into_iter().enumerate().map(message).collect()
}

/// What a JSON value is, in words.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// One line of a result file.
#[derive(Debug, Serialize)]
pub(crate) struct Completed {
    pub(crate) id: Value,
    pub(crate) prompt_ids: Vec<u32>,
    pub(crate) completion_ids: Vec<u32>,
    pub(crate) text: String,
    /// Natural logarithms, one per completion token.
    pub(crate) logprobs: Vec<f64>,
    /// `stop`, `length` or `cancelled`; `scored` where the completion was given.
    pub(crate) finish_reason: Value,
}

/// Reads all requests; ids are unique afterwards.
///
/// # Errors
///
/// Names file and line of the first line that is no request, and an id that stands twice.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<(Value, Request)>> {
    let file = BufReader::new(fs_err::File::open(path)?);
    let mut requests = Vec::new();
    let mut seen = HashSet::new();
    for (number, line) in file.lines().enumerate() {
        let place = || format!("{}:{}", path.display(), number + 1);
        let line = line.with_context(place)?;
        if line.trim().is_empty() {
            continue;
        }
        let mut request =
            Request::from_line(&line).map_err(|problem| Failure::failed(format!("{}: {problem}", place())))?;
        let id = request.id.take().unwrap_or_else(|| Value::from(number as u64));
        if !(id.is_string() || id.is_number()) {
            return Err(Failure::failed(format!("{}: `id` is {id}; expected a text or a number", place())).into());
        }
        if !seen.insert(id.to_string()) {
            return Err(Failure::failed(format!("{}: `id` {id} stands twice; ids must differ", place()))
                .hint("lines without an `id` take their line number, counted from 0")
                .into());
        }
        check(&request).map_err(|problem| Failure::failed(format!("{}: {problem}", place())))?;
        requests.push((id, request));
    }
    Ok(requests)
}

fn check(request: &Request) -> Result<(), String> {
    match (&request.messages, &request.prompt) {
        (Some(_), Some(_)) => Err("`messages` and `prompt` are both given; expected one of them".to_owned()),
        (None, None) => Err("neither `messages` nor `prompt` is given; expected one of them".to_owned()),
        (Some(messages), None) if messages.is_empty() => {
            Err("`messages` is empty; expected at least one message".to_owned())
        }
        (Some(_), None) if !request.images.is_empty() => {
            Err("`images` stands beside `messages`; put images into `image_url` parts".to_owned())
        }
        _ => Ok(()),
    }
}

/// The id of a line of results; `None` for a line that is something else, a request above all.
fn id_of_result(line: &[u8]) -> Option<Value> {
    let Value::Object(mut row) = serde_json::from_slice(line).ok()? else { return None };
    let asks = row.contains_key("prompt") || row.contains_key("messages");
    if asks { None } else { row.remove("id") }
}

/// Where results go: a file that grows line by line, or stdout.
pub(crate) struct Results {
    out: Box<dyn Write>,
    done: HashSet<String>,
}

impl Results {
    /// Opens the output of the requests in `input`. Results that are already in the file stay, and their ids are known; a last line
    /// that was cut off by a kill is dropped, so that its request runs again.
    ///
    /// # Errors
    ///
    /// The file is the input, or holds something else than results.
    pub(crate) fn open(input: &Path, path: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = path else {
            return Ok(Self { out: Box::new(BufWriter::new(std::io::stdout())), done: HashSet::new() });
        };
        let mut done = HashSet::new();
        if path.exists() {
            if fs_err::canonicalize(path)? == fs_err::canonicalize(input)? {
                return Err(Failure::usage(format!("`--output` {} is the input", path.display()))
                    .hint("name another file; results are added behind what it holds")
                    .into());
            }
            // Bytes, not text: a kill can cut inside a character.
            let bytes = fs_err::read(path)?;
            let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            for (number, line) in bytes[..whole].split(|byte| *byte == b'\n').enumerate() {
                if line.iter().all(u8::is_ascii_whitespace) {
                    continue;
                }
                let id = id_of_result(line).ok_or_else(|| {
                    Failure::failed(format!("{}:{}: not a result of an earlier run", path.display(), number + 1))
                        .hint("results are added behind what `--output` holds; name another file")
                })?;
                done.insert(id.to_string());
            }
            if whole < bytes.len() {
                fs_err::OpenOptions::new().write(true).open(path)?.file().set_len(whole as u64)?;
            }
        }
        let file = fs_err::OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self { out: Box::new(file), done })
    }

    /// Whether an earlier run has answered this.
    pub(crate) fn has(&self, id: &Value) -> bool {
        self.done.contains(&id.to_string())
    }

    /// Writes one result as one line, at once: what is done survives a kill.
    pub(crate) fn write(&mut self, result: &Completed) -> anyhow::Result<()> {
        let mut line = serde_json::to_string(result)?;
        line.push('\n');
        self.out.write_all(line.as_bytes())?;
        self.out.flush()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(lines: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs_err::write(file.path(), lines).unwrap();
        file
    }

    #[test]
    fn a_bad_line_is_named() {
        for (lines, expected) in [
            ("{\"prompt\": \"a\"}\n{", ":2: not JSON from column 1 on; expected one object a line"),
            ("[]", ":1: found a list; expected an object"),
            ("{\"prompt\": \"a\", \"image\": []}", "unknown key `image`; expected `id`, `messages`"),
            ("{\"prompt\": 7}", "`prompt` is a number; expected a text"),
            ("{\"prompt\": \"a\", \"images\": [1]}", "`images` is a list; expected a list of paths or URLs"),
            ("{\"prompt\": \"a\", \"completion_ids\": [-1]}", "expected a list of token ids"),
            (
                "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"judge\"}]}",
                "`messages[1]` is no message; expected `role`",
            ),
            ("{}", "neither"),
            ("{\"prompt\": \"a\", \"messages\": []}", "both"),
            ("{\"id\": 1, \"prompt\": \"a\"}\n{\"id\": 1, \"prompt\": \"a\"}", "twice"),
            ("{\"id\": [], \"prompt\": \"a\"}", "expected a text"),
        ] {
            let file = written(lines);
            let error = format!("{:#}", read(file.path()).unwrap_err());
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_cut_last_line_is_run_again_and_the_others_are_not() {
        let (input, file) = (written(""), written(""));
        let whole = "{\"id\":\"a\",\"completion_ids\":[1]}\n\n";
        // The cut is inside the two bytes of a letter.
        let cut = [whole.as_bytes(), "{\"id\":\"b\",\"text\":\"ä".as_bytes()].concat();
        fs_err::write(file.path(), &cut[..cut.len() - 1]).unwrap();
        let results = Results::open(input.path(), Some(file.path())).unwrap();
        assert!(results.has(&Value::from("a")));
        assert!(!results.has(&Value::from("b")));
        assert_eq!(fs_err::read_to_string(file.path()).unwrap(), whole);
    }

    #[test]
    fn requests_are_not_taken_for_results() {
        let requests = written("{\"id\":\"a\",\"prompt\":\"b\"}\n");
        let error = Results::open(requests.path(), Some(requests.path())).err().unwrap().to_string();
        assert!(error.contains("is the input"), "{error}");
        let error = Results::open(written("").path(), Some(requests.path())).err().unwrap().to_string();
        assert!(error.contains(":1: not a result"), "{error}");
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_requests_or_an_error(bytes: Vec<u8>) {
            let file = written("");
            fs_err::write(file.path(), bytes).unwrap();
            let _ = read(file.path());
        }

        #[test]
        fn any_request_line_is_a_request_or_an_error(id: String, prompt: String, images: Vec<String>, more in "[\\[\\]{}\",:a-z0-9]{0,40}") {
            let line = serde_json::json!({ "id": id, "prompt": prompt, "images": images }).to_string();
            let file = written(&format!("{line}\n{more}\n{}", line.replacen('"', &more, 1)));
            let _ = read(file.path());
        }
    }
}

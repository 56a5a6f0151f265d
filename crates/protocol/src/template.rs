//! The chat template of a checkpoint: messages in, prompt text out.
//!
//! The environment is the one transformers renders templates in: `trim_blocks` and `lstrip_blocks` on, plain `tojson`,
//! `break` and `continue`, Python's string methods, undefined values false.

use std::io;
use std::path::Path;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde};
use minijinja::{Environment, ErrorKind, Value as TemplateValue};
use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};
use serde_json::{Map, Value, json};

use crate::error::{ProtocolError, Result};
use crate::message::{Content, Message, Part};

const NAME: &str = "chat_template";

/// What a template may see beside the messages.
#[derive(Debug, Clone, Default)]
pub struct RenderOptions {
    /// End with the opening of an assistant message.
    pub add_generation_prompt: bool,
    /// Tool schemas, in the OpenAI format.
    pub tools: Vec<Value>,
    /// Number images (`Picture 1: `) and videos.
    pub add_vision_id: bool,
    /// Further variables, such as `enable_thinking`.
    pub extra: Map<String, Value>,
}

/// A compiled chat template.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    /// `bos_token` and its like, which transformers hands to every template.
    special_tokens: Map<String, Value>,
}

impl ChatTemplate {
    /// Reads the template of a checkpoint folder: `chat_template.jinja`, else `chat_template` in `chat_template.json`,
    /// else in `tokenizer_config.json`.
    ///
    /// # Errors
    /// [`ProtocolError::TemplateMissing`], [`ProtocolError::TemplateInvalid`] or an unreadable file.
    pub fn from_dir(dir: &Path) -> Result<Self> {
        let config = read_object(dir, "tokenizer_config.json")?;
        let (source, origin) = find_source(dir, config.as_ref())?;
        let mut template = Self::compile(source, &origin)?;
        for name in ["bos_token", "eos_token", "pad_token", "unk_token"] {
            let token = config.as_ref().and_then(|config| config.get(name));
            let text = token.and_then(|token| token.as_str().or_else(|| token.get("content")?.as_str()));
            if let Some(text) = text {
                template.special_tokens.insert(name.to_owned(), text.into());
            }
        }
        Ok(template)
    }

    /// Compiles a template from its text.
    ///
    /// # Errors
    /// [`ProtocolError::TemplateInvalid`].
    pub fn from_source(source: &str) -> Result<Self> {
        Self::compile(source.to_owned(), NAME)
    }

    fn compile(source: String, origin: &str) -> Result<Self> {
        let invalid = |source| ProtocolError::TemplateInvalid { origin: origin.to_owned(), source };
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().map_err(invalid)?;
        environment.set_syntax(syntax);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_filter("tojson", tojson);
        environment.add_function("raise_exception", raise_exception);
        environment.add_template_owned(NAME, source).map_err(invalid)?;
        Ok(Self { environment, special_tokens: Map::new() })
    }

    /// Renders messages. Every image becomes one `<|vision_start|><|image_pad|><|vision_end|>`, whatever it holds.
    ///
    /// # Errors
    /// [`ProtocolError::TemplateRender`], also when the template itself rejects the messages.
    pub fn render(&self, messages: &[Message], options: &RenderOptions) -> Result<String> {
        let mut context = self.special_tokens.clone();
        context.extend(options.extra.clone());
        context.insert("messages".to_owned(), messages.iter().map(template_message).collect());
        context.insert("add_generation_prompt".to_owned(), options.add_generation_prompt.into());
        if options.add_vision_id {
            context.insert("add_vision_id".to_owned(), true.into());
        }
        if !options.tools.is_empty() {
            context.insert("tools".to_owned(), options.tools.clone().into());
        }
        self.environment
            .get_template(NAME)
            .and_then(|template| template.render(TemplateValue::from(Serde(&context))))
            .map_err(|source| ProtocolError::TemplateRender { source })
    }
}

fn read_object(dir: &Path, name: &str) -> Result<Option<Value>> {
    let path = dir.join(name);
    if !path.is_file() {
        return Ok(None);
    }
    let bytes = fs_err::read(&path)?;
    let value = serde_json::from_slice(&bytes).map_err(|source| ProtocolError::Json { path, source })?;
    Ok(Some(value))
}

fn find_source(dir: &Path, config: Option<&Value>) -> Result<(String, String)> {
    let plain = dir.join("chat_template.jinja");
    if plain.is_file() {
        return Ok((fs_err::read_to_string(&plain)?, plain.display().to_string()));
    }
    let processor = read_object(dir, "chat_template.json")?;
    for (file, value) in [("chat_template.json", processor.as_ref()), ("tokenizer_config.json", config)] {
        if let Some(source) = value.and_then(|value| named_template(value.get("chat_template")?)) {
            return Ok((source.to_owned(), dir.join(file).display().to_string()));
        }
    }
    Err(ProtocolError::TemplateMissing { dir: dir.to_owned() })
}

/// A template stands there as a string, or as one of a list of `{name, template}`, of which `default` is meant.
fn named_template(value: &Value) -> Option<&str> {
    match value {
        Value::String(source) => Some(source),
        Value::Array(entries) => {
            let default = entries.iter().find(|entry| entry.get("name").is_some_and(|name| name == "default"))?;
            default.get("template")?.as_str()
        }
        _ => None,
    }
}

/// A message as templates expect it. Image URLs stay out: a template only counts images, and a `data:` URL is long.
fn template_message(message: &Message) -> Value {
    let content = match &message.content {
        Content::Text(text) => Value::from(text.as_str()),
        Content::Parts(parts) => parts.iter().map(template_part).collect(),
    };
    let mut value = json!({"role": message.role, "content": content});
    if !message.tool_calls.is_empty() {
        value["tool_calls"] = json!(message.tool_calls);
    }
    if let Some(id) = &message.tool_call_id {
        value["tool_call_id"] = id.as_str().into();
    }
    value
}

fn template_part(part: &Part) -> Value {
    match part {
        Part::Text { text } => json!({"type": "text", "text": text}),
        Part::Image { .. } => json!({"type": "image"}),
        Part::Video => json!({"type": "video"}),
    }
}

/// JSON with `", "` and `": "` between items, as Python's `json.dumps` writes it.
struct PythonFormatter;

impl Formatter for PythonFormatter {
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}

/// Plain JSON, non-ASCII kept, nothing escaped for HTML, unlike the built-in filter.
fn tojson(value: &TemplateValue, arguments: Kwargs) -> Result<TemplateValue, minijinja::Error> {
    let indent: Option<usize> = arguments.get("indent")?;
    arguments.assert_all_used()?;
    let mut json = Vec::new();
    let written = match indent {
        Some(width) => {
            let indent = " ".repeat(width.min(16));
            let formatter = PrettyFormatter::with_indent(indent.as_bytes());
            value.serialize(&mut Serializer::with_formatter(&mut json, formatter))
        }
        None => value.serialize(&mut Serializer::with_formatter(&mut json, PythonFormatter)),
    };
    let failed = |reason: String| minijinja::Error::new(ErrorKind::BadSerialization, reason);
    written.map_err(|error| failed(error.to_string()))?;
    let text = String::from_utf8(json).map_err(|error| failed(error.to_string()))?;
    Ok(TemplateValue::from_safe_string(text))
}

fn raise_exception(message: String) -> Result<TemplateValue, minijinja::Error> {
    Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Role;

    fn render(source: &str, messages: &[Message], options: &RenderOptions) -> Result<String> {
        ChatTemplate::from_source(source)?.render(messages, options)
    }

    #[test]
    fn json_keeps_order_spaces_and_characters() {
        let options =
            RenderOptions { tools: vec![json!({"b": "<é> & 'x'", "a": [1, 2.0, null]})], ..Default::default() };
        let text = render("{{ tools[0] | tojson }}", &[], &options).unwrap();
        assert_eq!(text, r#"{"b": "<é> & 'x'", "a": [1, 2.0, null]}"#);
        let text = render("{{ tools[0].a | tojson(indent=2) }}", &[], &options).unwrap();
        assert_eq!(text, "[\n  1,\n  2.0,\n  null\n]");
    }

    #[test]
    fn python_string_methods_loop_controls_and_slices_work() {
        let source = "{% for m in messages[::-1] %}\n{% if loop.index0 == 1 %}\n{% break %}\n{% endif %}\n\
            {{ m.content.split('</think>')[-1].lstrip('\\n').strip() }}\
            {% if m.content.startswith('<think>') and not m.tool_calls %}!{% endif %}\n{% endfor %}";
        let messages = [Message::new(Role::User, "q"), Message::new(Role::Assistant, "<think>\nhm\n</think>\n\nyes ")];
        assert_eq!(render(source, &messages, &RenderOptions::default()).unwrap(), "yes!");
    }

    #[test]
    fn undefined_is_false_and_extra_variables_arrive() {
        let source = "{% if enable_thinking is defined and enable_thinking is false %}off{% elif tools %}x{% endif %}";
        let mut options = RenderOptions::default();
        assert_eq!(render(source, &[], &options).unwrap(), "");
        options.extra.insert("enable_thinking".to_owned(), false.into());
        assert_eq!(render(source, &[], &options).unwrap(), "off");
    }

    #[test]
    fn a_template_can_reject_messages_and_a_broken_one_is_an_error() {
        let error = render("{{ raise_exception('no system role') }}", &[], &RenderOptions::default()).unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains("no system role"), "{source}");
        let error = render("{% if %}", &[], &RenderOptions::default()).unwrap_err();
        assert!(matches!(error, ProtocolError::TemplateInvalid { .. }), "{error}");
    }

    #[test]
    fn a_folder_is_searched_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let missing = ChatTemplate::from_dir(dir.path()).unwrap_err();
        assert!(matches!(missing, ProtocolError::TemplateMissing { .. }), "{missing}");
        let empty = RenderOptions::default();
        let config = r#"{"eos_token": {"content": "<e>"}, "chat_template": [{"name": "default", "template": "c{{ eos_token }}"}]}"#;
        fs_err::write(dir.path().join("tokenizer_config.json"), config).unwrap();
        assert_eq!(ChatTemplate::from_dir(dir.path()).unwrap().render(&[], &empty).unwrap(), "c<e>");
        fs_err::write(dir.path().join("chat_template.json"), r#"{"chat_template": "b"}"#).unwrap();
        assert_eq!(ChatTemplate::from_dir(dir.path()).unwrap().render(&[], &empty).unwrap(), "b");
        fs_err::write(dir.path().join("chat_template.jinja"), "a").unwrap();
        assert_eq!(ChatTemplate::from_dir(dir.path()).unwrap().render(&[], &empty).unwrap(), "a");
    }
}

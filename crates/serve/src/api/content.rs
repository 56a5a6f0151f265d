//! Messages and their parts: checked, and the images taken out of them.

use serde_json::{Value, json};
use visionthink_protocol::{FunctionCall, Message, Part, Role, ToolCall};

use super::error::ApiError;
use super::field::{Object, wrong};
use super::limits::RequestLimits;

/// An image of a request, by reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageRef {
    /// The field that names it.
    pub path: String,
    /// A `data:`, `file:`, `http:` or `https:` URL.
    pub url: String,
}

/// The messages of a request, twice: as the protocol reads them, and as they came but for the URLs of images, which are
/// long and stand in `images` alone.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Messages {
    /// As the protocol reads them; image parts are bare.
    pub typed: Vec<Message>,
    /// As they came; `image_url.url` is the empty text.
    pub raw: Vec<Value>,
    /// The images in the order of their parts.
    pub images: Vec<ImageRef>,
}

impl Messages {
    pub(crate) fn read(list: Vec<Value>, limits: &RequestLimits) -> Result<Self, ApiError> {
        if list.is_empty() {
            let (path, found) = ("messages".to_owned(), "an empty list".to_owned());
            return Err(ApiError::Field { path, found, expected: "at least one message".to_owned() });
        }
        if list.len() > limits.max_messages {
            let (path, found) = ("messages".to_owned(), list.len());
            return Err(ApiError::TooMany { path, found, limit: limits.max_messages });
        }
        let mut messages = Self::default();
        for (index, value) in list.into_iter().enumerate() {
            messages.add(Object::new(format!("messages[{index}]"), value)?)?;
            if messages.images.len() > limits.max_images {
                let found = messages.images.len();
                return Err(ApiError::TooManyImages { found, limit: limits.max_images });
            }
        }
        Ok(messages)
    }

    fn add(&mut self, mut message: Object) -> Result<(), ApiError> {
        const ROLES: &str = "`system`, `developer`, `user`, `assistant` or `tool`";
        let name = message.text("role")?.ok_or_else(|| message.missing("role", ROLES))?;
        let role = match name.as_str() {
            "system" | "developer" => Role::System,
            "user" => Role::User,
            "assistant" => Role::Assistant,
            "tool" => Role::Tool,
            _ => return Err(wrong(&message.path("role"), &json!(name), ROLES)),
        };
        let calls = tool_calls(&mut message)?;
        let tool_call_id = message.text("tool_call_id")?;
        let (typed, raw) = match message.value("content") {
            None if role == Role::Assistant => (Message::new(role, ""), Value::Null),
            None => return Err(message.missing("content", "a string or a list of parts")),
            Some(Value::String(text)) => (Message::new(role, text.as_str()), Value::String(text)),
            Some(Value::Array(list)) => {
                let path = message.path("content");
                let (mut parts, mut raw) = (Vec::with_capacity(list.len()), Vec::with_capacity(list.len()));
                for (index, value) in list.into_iter().enumerate() {
                    let (part, value) = self.part(Object::new(format!("{path}[{index}]"), value)?, role)?;
                    parts.push(part);
                    raw.push(value);
                }
                (Message::new(role, parts), Value::Array(raw))
            }
            Some(other) => return Err(wrong(&message.path("content"), &other, "a string or a list of parts")),
        };
        message.put("role", json!(name));
        message.put("content", raw);
        if let Some((_, raw)) = &calls {
            message.put("tool_calls", raw.clone());
        }
        if let Some(id) = &tool_call_id {
            message.put("tool_call_id", json!(id));
        }
        self.typed.push(Message {
            tool_calls: calls.map(|(calls, _)| calls).unwrap_or_default(),
            tool_call_id,
            ..typed
        });
        self.raw.push(Value::Object(message.rest()));
        Ok(())
    }

    fn part(&mut self, mut part: Object, role: Role) -> Result<(Part, Value), ApiError> {
        const KINDS: &str = "`text` or `image_url`";
        let kind = part.text("type")?.ok_or_else(|| part.missing("type", KINDS))?;
        let typed = match kind.as_str() {
            "text" => {
                let text = part.text("text")?.ok_or_else(|| part.missing("text", "a string"))?;
                part.put("text", json!(text));
                Part::Text { text }
            }
            // What a model has said in an earlier turn and would not say; it stays text.
            "refusal" if role == Role::Assistant => {
                let text = part.text("refusal")?.ok_or_else(|| part.missing("refusal", "a string"))?;
                part.put("refusal", json!(text));
                Part::Text { text }
            }
            "image_url" if role == Role::User || role == Role::Tool => {
                let url = self.image_url(&mut part)?;
                part.put("image_url", url);
                Part::Image { url: None }
            }
            "image_url" => {
                let expected = format!("`text`: a message of role `{role}` holds no image");
                return Err(wrong(&part.path("type"), &json!(kind), &expected));
            }
            _ => return Err(wrong(&part.path("type"), &json!(kind), KINDS)),
        };
        part.put("type", json!(kind));
        Ok((typed, Value::Object(part.rest())))
    }

    /// Takes the URL out; what is left of the field comes back.
    fn image_url(&mut self, part: &mut Object) -> Result<Value, ApiError> {
        let path = part.path("image_url");
        match part.value("image_url") {
            None => Err(part.missing("image_url", "`{\"url\": …}`")),
            // Not OpenAI's, but what many clients write.
            Some(Value::String(url)) => {
                self.images.push(ImageRef { path, url });
                Ok(json!({"url": ""}))
            }
            Some(value) => {
                let mut object = Object::new(path, value)?;
                let url = object.text("url")?.ok_or_else(|| object.missing("url", "a `data:` or `https:` URL"))?;
                self.images.push(ImageRef { path: object.path("url"), url });
                object.put("url", json!(""));
                Ok(Value::Object(object.rest()))
            }
        }
    }
}

fn tool_calls(message: &mut Object) -> Result<Option<(Vec<ToolCall>, Value)>, ApiError> {
    let path = message.path("tool_calls");
    let Some(list) = message.list("tool_calls", "a list of calls")? else { return Ok(None) };
    let mut calls = Vec::with_capacity(list.len());
    for (index, value) in list.iter().enumerate() {
        let mut call = Object::new(format!("{path}[{index}]"), value.clone())?;
        let id = call.text("id")?;
        let kind = call.text("type")?.unwrap_or_else(|| "function".to_owned());
        let mut function = call.object("function")?.ok_or_else(|| call.missing("function", "an object"))?;
        let name = function.text("name")?.ok_or_else(|| function.missing("name", "a string"))?;
        let arguments = function.value("arguments").unwrap_or_else(|| json!({}));
        calls.push(ToolCall { id, kind, function: FunctionCall { name, arguments } });
    }
    Ok(Some((calls, Value::Array(list))))
}

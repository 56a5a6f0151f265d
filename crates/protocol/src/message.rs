//! Chat messages in the OpenAI format, as requests and fixtures carry them.

use std::fmt;

use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};

/// One image in a problem, as the VisionThink data writes it.
pub(crate) const IMAGE_MARK: &str = "<image>";

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions.
    #[serde(alias = "developer")]
    System,
    /// The person asking.
    User,
    /// The model.
    Assistant,
    /// The result of a tool.
    Tool,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        })
    }
}

/// One message. Keys of the format that mean nothing here (`refusal`, `annotations`, …) are ignored when read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said; `null` is read as the empty text.
    #[serde(default)]
    pub content: Content,
    /// Calls made by an assistant message.
    #[serde(default, deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// The call that a tool message answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
}

impl Message {
    /// A message without tool calls.
    pub fn new(role: Role, content: impl Into<Content>) -> Self {
        Self { role, content: content.into(), tool_calls: Vec::new(), tool_call_id: None }
    }

    /// A user message from a text in which each `<image>` stands for an image, as the VisionThink data writes it.
    pub fn from_problem(problem: &str) -> Self {
        let mut parts = Vec::new();
        for (index, text) in problem.split(IMAGE_MARK).enumerate() {
            if index > 0 {
                parts.push(Part::Image { url: None });
            }
            if !text.is_empty() {
                parts.push(Part::Text { text: text.to_owned() });
            }
        }
        if parts.iter().any(|part| matches!(part, Part::Image { .. })) {
            Self::new(Role::User, parts)
        } else {
            Self::new(Role::User, problem)
        }
    }

    /// Number of image parts.
    pub fn image_count(&self) -> usize {
        match &self.content {
            Content::Text(_) => 0,
            Content::Parts(parts) => parts.iter().filter(|part| matches!(part, Part::Image { .. })).count(),
        }
    }
}

/// The content of a message: one text, or parts in reading order.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Content {
    /// Plain text.
    Text(String),
    /// Text and images in reading order.
    Parts(Vec<Part>),
}

impl Default for Content {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

impl From<&str> for Content {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Content {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Vec<Part>> for Content {
    fn from(parts: Vec<Part>) -> Self {
        Self::Parts(parts)
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // By hand instead of an untagged enum, whose errors name neither the part nor the field.
        struct ContentVisitor;
        impl<'de> Visitor<'de> for ContentVisitor {
            type Value = Content;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`content` to be a string or a list of parts")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Content, E> {
                Ok(Content::Text(text.to_owned()))
            }

            fn visit_unit<E: de::Error>(self) -> Result<Content, E> {
                Ok(Content::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Content, A::Error> {
                let mut parts = Vec::new();
                while let Some(part) = list.next_element()? {
                    parts.push(part);
                }
                Ok(Content::Parts(parts))
            }
        }
        deserializer.deserialize_any(ContentVisitor)
    }
}

/// One piece of a message.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// Text.
    Text {
        /// The text.
        text: String,
    },
    /// An image: `image_url` with a path, `file:` or `data:` URL, or a bare `image` whose pixels come from elsewhere.
    Image {
        /// Where the pixels are, if the message says so.
        url: Option<String>,
    },
    /// A video. Chat templates know it; a conversation refuses it.
    Video,
}

impl Serialize for Part {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Url<'a> {
            url: &'a str,
        }
        let mut map = serializer.serialize_map(None)?;
        match self {
            Self::Text { text } => {
                map.serialize_entry("type", "text")?;
                map.serialize_entry("text", text)?;
            }
            Self::Image { url: Some(url) } => {
                map.serialize_entry("type", "image_url")?;
                map.serialize_entry("image_url", &Url { url })?;
            }
            Self::Image { url: None } => map.serialize_entry("type", "image")?,
            Self::Video => map.serialize_entry("type", "video")?,
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Raw {
            r#type: String,
            text: Option<String>,
            image_url: Option<UrlField>,
            image: Option<String>,
            url: Option<String>,
            path: Option<String>,
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum UrlField {
            Object { url: String },
            Plain(String),
        }
        let raw = Raw::deserialize(deserializer)?;
        match raw.r#type.as_str() {
            "text" => {
                let text = raw.text.ok_or_else(|| de::Error::custom("a part of type `text` has no `text`"))?;
                Ok(Self::Text { text })
            }
            "image" => Ok(Self::Image { url: raw.image.or(raw.url).or(raw.path) }),
            "image_url" => match raw.image_url {
                Some(UrlField::Object { url } | UrlField::Plain(url)) => Ok(Self::Image { url: Some(url) }),
                None => Err(de::Error::custom("a part of type `image_url` has no `image_url.url`")),
            },
            "video" => Ok(Self::Video),
            other => Err(de::Error::custom(format_args!(
                "`type` of a content part is `{other}`, expected `text`, `image` or `image_url`"
            ))),
        }
    }
}

/// A call that an assistant message of the history made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// Name of the call, repeated by the tool message that answers it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Always `function` in the OpenAI format.
    #[serde(default = "function_kind", rename = "type")]
    pub kind: String,
    /// What is called.
    pub function: FunctionCall,
}

/// Name and arguments of a [`ToolCall`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FunctionCall {
    /// The function.
    pub name: String,
    /// Its arguments, an object or (OpenAI) a string holding JSON.
    pub arguments: serde_json::Value,
}

fn function_kind() -> String {
    "function".to_owned()
}

fn null_is_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<ToolCall>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(value: &serde_json::Value) -> Result<Message, serde_json::Error> {
        serde_json::from_str(&value.to_string())
    }

    #[test]
    fn openai_messages_read_and_write_back() {
        let value = json!({"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "file:a.png"}},
            {"type": "text", "text": "What?"},
        ]});
        let message = parse(&value).unwrap();
        assert_eq!(message.image_count(), 1);
        assert_eq!(serde_json::to_value(&message).unwrap(), value);
    }

    #[test]
    fn an_assistant_message_with_null_content_and_foreign_keys_is_accepted() {
        let message = parse(&json!({"role": "assistant", "content": null, "refusal": null, "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "resize_image", "arguments": "{}"}}]}))
        .unwrap();
        assert_eq!(message.content, Content::default());
        assert_eq!(message.tool_calls[0].function.name, "resize_image");
        assert!(parse(&json!({"role": "assistant", "content": "a", "tool_calls": null})).is_ok());
    }

    #[test]
    fn an_unknown_part_or_role_is_named() {
        let error = parse(&json!({"role": "user", "content": [{"type": "input_audio"}]})).unwrap_err().to_string();
        assert!(error.starts_with("`type` of a content part is `input_audio`, expected `text`"), "{error}");
        let error = parse(&json!({"role": "user", "content": 3})).unwrap_err().to_string();
        assert!(error.contains("`content` to be a string or a list of parts"), "{error}");
        let error = parse(&json!({"role": "robot", "content": ""})).unwrap_err().to_string();
        assert!(error.contains("robot"), "{error}");
        let error = parse(&json!({"role": "user", "content": [{"type": "image_url"}]})).unwrap_err().to_string();
        assert!(error.contains("`image_url.url`"), "{error}");
    }

    #[test]
    fn a_problem_is_cut_at_its_image_placeholders() {
        let message = Message::from_problem("a <image> b");
        let image = Part::Image { url: None };
        let text = |text: &str| Part::Text { text: text.to_owned() };
        assert_eq!(message.content, Content::Parts(vec![text("a "), image, text(" b")]));
        assert_eq!(Message::from_problem("no picture").content, Content::from("no picture"));
    }
}

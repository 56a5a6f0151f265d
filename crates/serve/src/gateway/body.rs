//! The body of a request to an upstream server.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use visionthink_protocol::{Content, Message, Part};

use crate::api::{ApiError, ChatRequest};

/// Everything but the model. Each sample is a request of its own, so that each can take its own turns; with a seed, each
/// has its own.
pub(super) fn of(request: &ChatRequest, messages: Value, sample: usize) -> Map<String, Value> {
    let mut body = request.rest.clone();
    let mut put = |key: &str, value: Value| {
        body.insert(key.to_owned(), value);
    };
    put("messages", messages);
    put("stream", json!(true));
    put("stream_options", json!({"include_usage": true}));
    if let Some(temperature) = request.sampling.temperature {
        put("temperature", json!(temperature));
    }
    if let Some(top_p) = request.sampling.top_p {
        put("top_p", json!(top_p));
    }
    if let Some(seed) = request.sampling.seed {
        put("seed", json!(seed.wrapping_add(sample as i64)));
    }
    if let Some(tokens) = request.max_tokens {
        put("max_tokens", json!(tokens));
    }
    if !request.stop.is_empty() {
        put("stop", json!(request.stop));
    }
    if let Some(top) = request.logprobs {
        put("logprobs", json!(true));
        put("top_logprobs", json!(top));
    }
    if let Some(format) = &request.response_format {
        put("response_format", format.clone());
    }
    if !request.tools.is_empty() {
        put("tools", json!(request.tools));
    }
    body
}

/// The messages as they came, the URLs of their images put in.
pub(super) fn raw_messages(messages: &[Value], urls: &[Arc<str>]) -> Value {
    let mut messages = messages.to_vec();
    let parts = messages.iter_mut().filter_map(|message| message.get_mut("content")?.as_array_mut()).flatten();
    let images = parts.filter_map(|part| part.get_mut("image_url")?.get_mut("url"));
    for (place, url) in images.zip(urls) {
        *place = Value::String(url.to_string());
    }
    Value::Array(messages)
}

/// The messages of a dialogue, the URLs of their images put in.
///
/// # Errors
/// [`ApiError::Internal`]: messages are always JSON.
pub(super) fn typed_messages(messages: &[Message], urls: &[Arc<str>]) -> Result<Value, ApiError> {
    let mut messages = messages.to_vec();
    let mut urls = urls.iter();
    for message in &mut messages {
        let Content::Parts(parts) = &mut message.content else { continue };
        for part in parts {
            if let Part::Image { url } = part {
                *url = urls.next().map(ToString::to_string);
            }
        }
    }
    serde_json::to_value(messages).map_err(|_| ApiError::Internal { reason: "messages could not be written as JSON" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::RequestLimits;

    fn request(body: Value) -> ChatRequest {
        ChatRequest::from_value(body, &RequestLimits::default()).unwrap()
    }

    #[test]
    fn what_the_client_asked_for_goes_on_and_what_is_ours_does_not() {
        let request = request(json!({
            "model": "m", "messages": [{"role": "user", "content": "hi"}], "temperature": 0.5, "seed": 7, "n": 2,
            "max_completion_tokens": 9, "stop": "x", "logprobs": true, "top_logprobs": 2, "frequency_penalty": 0.1,
            "tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "auto", "visionthink": {},
        }));
        let body = of(&request, json!([]), 1);
        assert_eq!(
            Value::Object(body),
            json!({
                "messages": [], "stream": true, "stream_options": {"include_usage": true}, "temperature": 0.5,
                "seed": 8, "max_tokens": 9, "stop": ["x"], "logprobs": true, "top_logprobs": 2, "frequency_penalty": 0.1,
                "tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "auto",
            })
        );
    }

    #[test]
    fn urls_go_to_their_parts_and_everything_else_stays() {
        let image = |url: &str| json!({"type": "image_url", "image_url": {"url": url, "detail": "high"}});
        let messages = |urls: [&str; 2]| {
            json!([
                {"role": "user", "name": "ann", "content": [image(urls[0]), {"type": "text", "text": "and"}]},
                {"role": "assistant", "content": "yes"},
                {"role": "user", "content": [image(urls[1])]},
            ])
        };
        let request = request(json!({"model": "m", "messages": messages(["a:1", "a:2"])}));
        assert_eq!(request.messages.images[1].path, "messages[2].content[0].image_url.url");
        let urls = ["data:x".into(), "data:y".into()];
        assert_eq!(raw_messages(&request.messages.raw, &urls), messages(["data:x", "data:y"]));
        let typed = typed_messages(&request.messages.typed, &urls).unwrap();
        assert_eq!(typed[2]["content"][0]["image_url"]["url"], "data:y");
    }
}

//! The reply of an upstream server, put together from its chunks.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use visionthink_protocol::{FinishReason, TOOL_NAME, names};

use crate::api::Usage;

/// One chunk; fields that mean nothing here are skipped.
#[derive(Debug, Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
    #[serde(default)]
    usage: Option<ChunkUsage>,
    /// Servers that fail behind their status say so here.
    #[serde(default)]
    error: Option<Value>,
    /// vLLM, with `return_token_ids`.
    #[serde(default)]
    prompt_token_ids: Option<Vec<u32>>,
}

#[derive(Debug, Deserialize)]
struct Choice {
    #[serde(default)]
    delta: Delta,
    #[serde(default)]
    finish_reason: Option<String>,
    #[serde(default)]
    logprobs: Option<Value>,
    #[serde(default)]
    token_ids: Option<Vec<u32>>,
}

#[derive(Debug, Default, Deserialize)]
struct Delta {
    #[serde(default)]
    content: Option<String>,
    /// vLLM's older word and that of most clients.
    #[serde(default)]
    reasoning_content: Option<String>,
    /// vLLM's newer word.
    #[serde(default)]
    reasoning: Option<String>,
    #[serde(default)]
    tool_calls: Option<Vec<Value>>,
}

#[derive(Debug, Deserialize)]
struct ChunkUsage {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
    #[serde(default)]
    prompt_tokens_details: Option<ChunkDetails>,
}

#[derive(Debug, Deserialize)]
struct ChunkDetails {
    #[serde(default)]
    cached_tokens: Option<u64>,
}

/// What a chunk adds that can be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fragment {
    Content(String),
    Reasoning(String),
}

/// A reply so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Reply {
    /// `content`.
    pub(crate) content: String,
    /// What a reasoning parser of the server has taken out of the content.
    pub(crate) reasoning: String,
    /// Calls that a tool parser of the server has taken out of the content.
    pub(crate) tool_calls: Vec<Value>,
    pub(crate) finish_reason: Option<String>,
    /// `{"content": [...]}`, the entries of all chunks.
    pub(crate) logprobs: Option<Value>,
    pub(crate) usage: Usage,
    pub(crate) prompt_token_ids: Vec<u32>,
    pub(crate) token_ids: Vec<u32>,
}

/// Calls beyond these places are not the work of a model.
const MAX_CALLS: usize = 256;

impl Reply {
    /// Takes the data of an event.
    ///
    /// # Errors
    /// What the server says has gone wrong, or that it speaks another language.
    pub(crate) fn push(&mut self, data: &str) -> Result<Vec<Fragment>, String> {
        let chunk: Chunk = serde_json::from_str(data).map_err(|error| format!("a chunk that is none: {error}"))?;
        if let Some(error) = chunk.error {
            return Err(message_of(&error));
        }
        if let Some(usage) = chunk.usage {
            let cached = usage.prompt_tokens_details.and_then(|details| details.cached_tokens).unwrap_or(0);
            self.usage = Usage::new(usage.prompt_tokens, usage.completion_tokens, cached);
        }
        if let Some(ids) = chunk.prompt_token_ids {
            self.prompt_token_ids = ids;
        }
        // One sample is asked for.
        let Some(choice) = chunk.choices.into_iter().next() else { return Ok(Vec::new()) };
        self.token_ids.extend(choice.token_ids.unwrap_or_default());
        if let Some(logprobs) = choice.logprobs {
            self.add_logprobs(logprobs);
        }
        for call in choice.delta.tool_calls.unwrap_or_default() {
            self.add_call(call)?;
        }
        self.finish_reason = choice.finish_reason.or(self.finish_reason.take());
        let mut fragments = Vec::new();
        let reasoning = choice.delta.reasoning_content.or(choice.delta.reasoning).unwrap_or_default();
        if !reasoning.is_empty() {
            self.reasoning.push_str(&reasoning);
            fragments.push(Fragment::Reasoning(reasoning));
        }
        let content = choice.delta.content.unwrap_or_default();
        if !content.is_empty() {
            self.content.push_str(&content);
            fragments.push(Fragment::Content(content));
        }
        Ok(fragments)
    }

    fn add_logprobs(&mut self, logprobs: Value) {
        let entries = |value: &mut Value| match value.get_mut("content") {
            Some(Value::Array(list)) => std::mem::take(list),
            _ => Vec::new(),
        };
        let (mut logprobs, mut all) = (logprobs, self.logprobs.take().unwrap_or_else(|| json!({"content": []})));
        let mut list = entries(&mut all);
        list.append(&mut entries(&mut logprobs));
        self.logprobs = Some(json!({"content": list}));
    }

    /// A call comes in pieces: its name first, its arguments as a text that grows.
    fn add_call(&mut self, piece: Value) -> Result<(), String> {
        let index = piece.get("index").and_then(Value::as_u64).unwrap_or(self.tool_calls.len() as u64) as usize;
        if index >= MAX_CALLS {
            return Err(format!("a call at place {index}"));
        }
        while self.tool_calls.len() <= index {
            self.tool_calls.push(json!({"type": "function", "function": {"name": "", "arguments": ""}}));
        }
        let Some(Value::Object(call)) = self.tool_calls.get_mut(index) else { return Ok(()) };
        if let Some(id) = piece.get("id").filter(|id| id.is_string()) {
            call.insert("id".to_owned(), id.clone());
        }
        let Some(Value::Object(function)) = call.get_mut("function") else { return Ok(()) };
        append(function, "name", &piece["function"]["name"]);
        append(function, "arguments", &piece["function"]["arguments"]);
        Ok(())
    }

    /// The reply as the model wrote it, as nearly as can be told: what the server's parsers took out is put back. Calls
    /// of the caller's own functions stay out.
    pub(crate) fn text(&self) -> String {
        let mut text = self.without_calls();
        for call in self.tool_calls.iter().filter(|call| is_ours(call)) {
            let function = &call["function"];
            // Arguments that are no JSON stay the text they are, and are malformed as such.
            let arguments: Value = function["arguments"]
                .as_str()
                .and_then(|text| serde_json::from_str(text).ok())
                .unwrap_or_else(|| function["arguments"].clone());
            let call = json!({"name": function["name"], "arguments": arguments});
            text.extend([names::TOOL_CALL, "\n", &call.to_string(), "\n", names::TOOL_CALL_END]);
        }
        text
    }

    /// [`Reply::text`] but for the calls.
    pub(crate) fn without_calls(&self) -> String {
        let thought =
            if self.reasoning.is_empty() { String::new() } else { format!("<think>{}</think>", self.reasoning) };
        thought + &self.content
    }

    /// Calls of the caller's own functions.
    pub(crate) fn foreign_calls(&self) -> Vec<Value> {
        self.tool_calls.iter().filter(|call| !is_ours(call)).cloned().collect()
    }

    pub(crate) fn finish(&self) -> FinishReason {
        if self.finish_reason.as_deref() == Some("length") { FinishReason::Length } else { FinishReason::Stop }
    }
}

fn is_ours(call: &Value) -> bool {
    call["function"]["name"] == TOOL_NAME
}

fn append(function: &mut Map<String, Value>, key: &str, piece: &Value) {
    if let (Some(Value::String(text)), Some(piece)) = (function.get_mut(key), piece.as_str()) {
        text.push_str(piece);
    }
}

/// What an error object says, in any of the shapes that servers use.
pub(crate) fn message_of(error: &Value) -> String {
    let texts = [&error["error"]["message"], &error["message"], &error["error"], &error["detail"], error];
    let text = texts.into_iter().find_map(Value::as_str).map_or_else(|| error.to_string(), str::to_owned);
    crate::upstream::shown(&text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reply(chunks: &[Value]) -> Reply {
        let mut reply = Reply::default();
        for chunk in chunks {
            reply.push(&chunk.to_string()).unwrap();
        }
        reply
    }

    #[test]
    fn a_reply_is_put_together_with_ids_logprobs_and_counts() {
        let choice = |delta: Value, logprob: f64, ids: [u32; 1]| {
            json!({"choices": [{"index": 0, "delta": delta, "token_ids": ids,
                "logprobs": {"content": [{"token": "x", "logprob": logprob}]}, "finish_reason": null}]})
        };
        let reply = reply(&[
            json!({"choices": [{"delta": {"role": "assistant", "content": ""}}], "prompt_token_ids": [1, 2, 3]}),
            choice(json!({"reasoning": "hm"}), -0.5, [4]),
            choice(json!({"content": "7"}), -0.25, [5]),
            json!({"choices": [{"delta": {}, "finish_reason": "length"}]}),
            json!({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 1}}}),
        ]);
        assert_eq!((reply.content.as_str(), reply.reasoning.as_str()), ("7", "hm"));
        assert_eq!(reply.text(), "<think>hm</think>7");
        assert_eq!((reply.prompt_token_ids.len(), &reply.token_ids[..]), (3, &[4, 5][..]));
        assert_eq!(reply.logprobs.as_ref().unwrap()["content"][1]["logprob"], -0.25);
        assert_eq!(reply.usage, Usage::new(3, 2, 1));
        assert_eq!(reply.finish(), FinishReason::Length);
    }

    #[test]
    fn a_call_that_the_servers_parser_took_out_is_put_back_and_a_foreign_one_is_not() {
        let piece = |index: u64, function: Value| json!({"choices": [{"delta": {"tool_calls": [{"index": index, "id": "c", "function": function}]}}]});
        let reply = reply(&[
            piece(0, json!({"name": "resize_image", "arguments": ""})),
            piece(0, json!({"arguments": "{\"action\": "})),
            piece(0, json!({"arguments": "\"resize\"}"})),
            piece(1, json!({"name": "weather", "arguments": "{}"})),
        ]);
        let parsed = visionthink_protocol::parse_tool_call(&reply.text(), visionthink_protocol::Strictness::Strict);
        assert_eq!(parsed, visionthink_protocol::ToolCallParse::Resize);
        assert_eq!(reply.foreign_calls().len(), 1);
        assert_eq!(reply.foreign_calls()[0]["function"], json!({"name": "weather", "arguments": "{}"}));
    }

    #[test]
    fn a_failure_inside_the_stream_is_one() {
        let mut reply = Reply::default();
        assert_eq!(
            reply.push(r#"{"error": {"message": "out of memory", "code": 500}}"#),
            Err("out of memory".to_owned())
        );
        assert!(reply.push("<html>").is_err());
        let far = json!({"choices": [{"delta": {"tool_calls": [{"index": 4_000_000_000_u64}]}}]});
        assert!(reply.push(&far.to_string()).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_a_chunk_or_an_error(text: String) {
            let _ = Reply::default().push(&text);
        }
    }
}

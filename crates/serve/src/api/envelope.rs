//! A chat completion as it is written: whole, or in chunks.

use serde::Serialize;
use serde_json::{Map, Value};
use visionthink_protocol::View;

use super::response::{Completion, Sample, Usage, VisionReport};

/// What all objects of one reply have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// `chatcmpl-…`.
    pub id: String,
    /// Seconds since 1970.
    pub created: u64,
    /// The model as the client calls it.
    pub model: String,
}

#[derive(Serialize)]
struct Reply<'a, C> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: Vec<C>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    visionthink: Option<Looked<'a>>,
}

/// The `visionthink` object: of a whole reply, or of a chunk that begins a turn.
#[derive(Serialize)]
#[serde(untagged)]
enum Looked<'a> {
    Report(VisionReport),
    Turn { turn: usize, views: &'a [View] },
}

#[derive(Serialize)]
struct Choice<'a> {
    index: usize,
    message: AssistantMessage<'a>,
    finish_reason: &'a str,
    logprobs: Option<&'a Value>,
}

#[derive(Serialize)]
struct AssistantMessage<'a> {
    role: &'static str,
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    reasoning_content: &'a str,
    #[serde(skip_serializing_if = "<[Value]>::is_empty")]
    tool_calls: &'a [Value],
    refusal: Option<&'static str>,
}

#[derive(Serialize)]
struct ChunkChoice<'a> {
    index: usize,
    delta: Delta<'a>,
    finish_reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<&'a Value>,
}

/// What a chunk adds.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Delta<'a> {
    /// A message begins.
    Role {
        /// `assistant`.
        role: &'static str,
        /// The empty text.
        content: &'static str,
    },
    /// A piece of the answer.
    Content {
        /// The piece.
        content: &'a str,
    },
    /// A piece of what is thought.
    Reasoning {
        /// The piece.
        reasoning_content: &'a str,
    },
    /// Calls of the caller's own functions, each with its `index`.
    ToolCalls {
        /// The calls.
        tool_calls: Vec<Value>,
    },
    /// Nothing: the message ends, or a turn of it begins.
    End {},
}

impl Envelope {
    /// The whole reply, `object: chat.completion`.
    ///
    /// # Errors
    /// Only those of the serializer, which this data gives no cause for.
    pub fn whole(&self, completion: &Completion) -> serde_json::Result<Vec<u8>> {
        let choices = completion.samples.iter().enumerate().map(|(index, sample)| Choice {
            index,
            message: AssistantMessage {
                role: "assistant",
                content: (!sample.content.is_empty() || sample.tool_calls.is_empty()).then_some(&sample.content),
                reasoning_content: &sample.reasoning,
                tool_calls: &sample.tool_calls,
                refusal: None,
            },
            finish_reason: &sample.finish_reason,
            logprobs: sample.logprobs.as_ref(),
        });
        serde_json::to_vec(&Reply {
            choices: choices.collect(),
            usage: Some(completion.usage()),
            visionthink: Some(Looked::Report(completion.report())),
            ..self.reply("chat.completion")
        })
    }

    /// One chunk, `object: chat.completion.chunk`.
    ///
    /// # Errors
    /// As [`Envelope::whole`].
    pub fn chunk(&self, index: usize, delta: Delta<'_>) -> serde_json::Result<Vec<u8>> {
        let choices = vec![ChunkChoice { index, delta, finish_reason: None, logprobs: None }];
        serde_json::to_vec(&Reply { choices, ..self.reply("chat.completion.chunk") })
    }

    /// The chunk that says that a turn of a sample begins, and what the model sees in it. It adds nothing to the message.
    ///
    /// # Errors
    /// As [`Envelope::whole`].
    pub fn turn_chunk(&self, index: usize, turn: usize, views: &[View]) -> serde_json::Result<Vec<u8>> {
        let choices = vec![ChunkChoice { index, delta: Delta::End {}, finish_reason: None, logprobs: None }];
        let visionthink = Some(Looked::Turn { turn, views });
        serde_json::to_vec(&Reply { choices, visionthink, ..self.reply("chat.completion.chunk") })
    }

    /// The chunk that ends the message of a sample. With `completion`, it carries the report: a chunk of its own would have
    /// no choices, which clients do not expect unless they ask for the counts.
    ///
    /// # Errors
    /// As [`Envelope::whole`].
    pub fn last_chunk(
        &self,
        index: usize,
        sample: &Sample,
        completion: Option<&Completion>,
    ) -> serde_json::Result<Vec<u8>> {
        let (finish_reason, logprobs) = (Some(sample.finish_reason.as_str()), sample.logprobs.as_ref());
        let choices = vec![ChunkChoice { index, delta: Delta::End {}, finish_reason, logprobs }];
        let visionthink = completion.map(|completion| Looked::Report(completion.report()));
        serde_json::to_vec(&Reply { choices, visionthink, ..self.reply("chat.completion.chunk") })
    }

    /// The chunk without choices that ends the stream with the counts.
    ///
    /// # Errors
    /// As [`Envelope::whole`].
    pub fn usage_chunk(&self, usage: Usage) -> serde_json::Result<Vec<u8>> {
        let choices = Vec::<ChunkChoice<'_>>::new();
        serde_json::to_vec(&Reply { choices, usage: Some(usage), ..self.reply("chat.completion.chunk") })
    }

    fn reply<C>(&self, object: &'static str) -> Reply<'_, C> {
        Reply {
            id: &self.id,
            object,
            created: self.created,
            model: &self.model,
            choices: Vec::new(),
            usage: None,
            visionthink: None,
        }
    }
}

/// A call as a delta carries it: with the index of its place.
pub fn indexed_call(index: usize, call: &Value) -> Value {
    let mut fields = Map::new();
    fields.insert("index".to_owned(), index.into());
    if let Value::Object(call) = call {
        fields.extend(call.iter().filter(|(key, _)| *key != "index").map(|(key, value)| (key.clone(), value.clone())));
    }
    Value::Object(fields)
}

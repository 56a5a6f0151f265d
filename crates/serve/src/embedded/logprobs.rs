//! Log-probabilities as OpenAI writes them.

use serde_json::{Value, json};
use visionthink_engine::TurnReply;
use visionthink_protocol::Tokenizer;

/// `{"content": [{"token", "logprob", "bytes", "top_logprobs"}]}`, one entry a sampled token, the end token included.
pub(super) fn of(reply: &TurnReply, tokenizer: &Tokenizer) -> Value {
    let entry = |(id, logprob): (&u32, &f32)| {
        let bytes = tokenizer.bytes_of(*id).unwrap_or_default();
        json!({"token": String::from_utf8_lossy(&bytes), "logprob": logprob, "bytes": bytes, "top_logprobs": []})
    };
    json!({"content": reply.ids.iter().zip(&reply.logprobs).map(entry).collect::<Vec<Value>>()})
}

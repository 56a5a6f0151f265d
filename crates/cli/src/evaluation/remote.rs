//! Questions as another server takes them, and its replies as answers.

use std::time::Duration;

use serde_json::{Map, Value, json};
use visionthink_engine::Task;
use visionthink_eval::run::{Answer, Ledger, Seconds};
use visionthink_model::Config;
use visionthink_protocol::Mode;
use visionthink_serve::api::{ChatRequest, Completion, RequestLimits};

use crate::elsewhere::Elsewhere;
use crate::images::data_url_of;

/// The question of a task; the gateway puts the profile's prompts around it and has the turns.
pub(super) fn request(server: &Elsewhere, task: &Task, question: &str, mode: Mode) -> anyhow::Result<ChatRequest> {
    let mut content = Vec::with_capacity(task.pictures.len() + 1);
    for picture in &task.pictures {
        let url = data_url_of(&picture.image().encode_png()?);
        content.push(json!({"type": "image_url", "image_url": {"url": url}}));
    }
    content.push(json!({"type": "text", "text": question}));
    let mut body = Map::new();
    let mut put = |key: &str, value: Value| body.insert(key.to_owned(), value);
    put("model", json!(server.model));
    put("messages", json!([{"role": "user", "content": content}]));
    put("temperature", json!(task.sampling.temperature));
    // Seeds of the API are signed; every number has its own all the same.
    put("seed", json!(task.sampling.seed as i64));
    put("max_tokens", json!(task.conversation.limits().max_new_tokens_per_turn));
    put("visionthink", json!({"mode": mode, "show_turns": true}));
    Ok(ChatRequest::from_value(Value::Object(body), &RequestLimits::default())?)
}

/// What came back, as an answer. What only the server knows, operations and time by phase, stays 0.
pub(super) fn answer(completion: &Completion, config: &Config, took: Duration) -> Option<Answer> {
    let sample = completion.samples.first()?;
    let report = &sample.report;
    let tokens = report.image_tokens.unwrap_or(0) as u64;
    let unit = config.vision.as_ref().map_or(1, |vision| vision.merge_unit() as u64);
    let reused = sample.usage.prompt_tokens_details.cached_tokens;
    let turns = report.transcript.iter().flatten().map(|turn| turn.turn.text.clone()).collect();
    Some(Answer {
        text: sample.content.clone(),
        decision: report.decision,
        turns,
        ledger: Ledger {
            patches_encoded: tokens * unit,
            visual_tokens: tokens,
            visual_tokens_per_layer: tokens as f64,
            visual_kv_entries: tokens * config.text.num_hidden_layers as u64,
            generated_tokens: sample.usage.completion_tokens,
            prefilled_tokens: sample.usage.prompt_tokens.saturating_sub(reused),
            reused_tokens: reused,
            ..Ledger::default()
        },
        seconds: Seconds { total: took.as_secs_f64(), ..Seconds::default() },
    })
}

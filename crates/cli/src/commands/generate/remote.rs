//! Requests as another server takes them, and its replies as results.

use std::path::Path;

use serde_json::{Map, Value, json};
use visionthink_protocol::{Content, Part};
use visionthink_serve::api::{ChatRequest, Completion, RequestLimits};

use crate::args::GenerateArguments;
use crate::elsewhere::Elsewhere;
use crate::failure::Failure;
use crate::images::as_data_url;
use crate::requests::{Completed, Request};

/// What the server is asked. Settings that change nothing are left out: not every server knows them all.
pub(super) fn body(
    arguments: &GenerateArguments,
    server: &Elsewhere,
    request: Request,
    folder: &Path,
) -> anyhow::Result<ChatRequest> {
    let Some(mut messages) = request.messages else {
        return Err(Failure::failed(
            "`prompt` is text for this checkpoint's own ids, which another server does not take",
        )
        .hint("give `messages`, or leave `--engine` out")
        .into());
    };
    for part in messages.iter_mut().flat_map(|message| match &mut message.content {
        Content::Parts(parts) => parts.as_mut_slice(),
        Content::Text(_) => &mut [],
    }) {
        if let Part::Image { url: Some(url) } = part {
            *url = as_data_url(url, folder)?;
        }
    }
    let sampling = &arguments.sampling;
    let mut body = Map::new();
    let mut put = |key: &str, value: Value| body.insert(key.to_owned(), value);
    put("model", json!(server.model));
    put("messages", serde_json::to_value(messages)?);
    put("max_tokens", json!(arguments.max_tokens));
    put("logprobs", json!(true));
    put("temperature", json!(sampling.temperature));
    put("seed", json!(sampling.seed));
    put("visionthink", json!({"show_turns": true}));
    for (key, value, changes) in [
        ("top_p", json!(sampling.top_p), sampling.top_p < 1.0),
        ("top_k", json!(sampling.top_k), sampling.top_k > 0),
        ("min_p", json!(sampling.min_p), sampling.min_p > 0.0),
        ("repetition_penalty", json!(sampling.repetition_penalty), sampling.repetition_penalty != 1.0),
        ("ignore_eos", json!(true), arguments.ignore_eos),
    ] {
        if changes {
            put(key, value);
        }
    }
    Ok(ChatRequest::from_value(Value::Object(body), &RequestLimits::default())?)
}

/// Ids are empty where the server does not tell them.
pub(super) fn completed(id: Value, completion: &Completion) -> Completed {
    let sample = completion.samples.first();
    let turn = sample.and_then(|sample| sample.report.transcript.as_ref()?.last());
    let entries = sample.and_then(|sample| sample.logprobs.as_ref()?["content"].as_array());
    Completed {
        id,
        prompt_ids: turn.map(|turn| turn.prompt_token_ids.clone()).unwrap_or_default(),
        completion_ids: turn.map(|turn| turn.token_ids.clone()).unwrap_or_default(),
        text: turn.map(|turn| turn.turn.text.clone()).unwrap_or_default(),
        logprobs: entries.into_iter().flatten().filter_map(|entry| entry["logprob"].as_f64()).collect(),
        finish_reason: json!(sample.map(|sample| sample.finish_reason.clone())),
    }
}

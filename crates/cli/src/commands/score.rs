//! `visionthink score`: log-probabilities of given completions.

use anyhow::Context;
use serde_json::Value;
use visionthink_engine::{EngineOptions, ScoreRequest};

use crate::args::ScoreArguments;
use crate::commands::generate::{ImageSource, outcome, prompt};
use crate::failure::Failure;
use crate::model::Opened;
use crate::progress;
use crate::requests::{Completed, Request, Results, read};

/// Requests that share passes.
const TOGETHER: usize = 16;

struct Prepared {
    id: Value,
    prompt_tokens: usize,
    request: ScoreRequest,
}

pub(crate) fn run(arguments: &ScoreArguments) -> anyhow::Result<()> {
    let requests = read(&arguments.input)?;
    let mut results = Results::open(&arguments.input, arguments.output.as_deref())?;
    let mut opened = arguments.model.open(EngineOptions::default())?;
    let source = ImageSource::beside(&arguments.input, arguments.image_limits);
    let bar = progress::bar(requests.len() as u64, "scoring");
    let requested = requests.len();
    let waiting: Vec<_> = requests.into_iter().filter(|(id, _)| !results.has(id)).collect();
    bar.inc((requested - waiting.len()) as u64);
    let mut failed = 0;
    for chunk in waiting.chunks(TOGETHER) {
        let mut prepared = Vec::with_capacity(chunk.len());
        for (id, request) in chunk {
            match prepare(&opened, id, request, &source) {
                Ok(one) => prepared.push(one),
                Err(error) => {
                    failed += 1;
                    tracing::error!("request {id}: {error:#}");
                }
            }
        }
        let batch: Vec<ScoreRequest> = prepared.iter().map(|one| one.request.clone()).collect();
        let scores = opened.engine.score(&batch)?;
        for (one, logprobs) in prepared.into_iter().zip(scores) {
            let (prompt_ids, completion_ids) = one.request.ids.split_at(one.prompt_tokens);
            results.write(&Completed {
                id: one.id,
                prompt_ids: prompt_ids.to_vec(),
                completion_ids: completion_ids.to_vec(),
                text: opened.folder.tokenizer.decode(completion_ids, true)?,
                logprobs: logprobs.into_iter().map(f64::from).collect(),
                finish_reason: Value::from("scored"),
            })?;
        }
        bar.inc(chunk.len() as u64);
    }
    bar.finish_and_clear();
    outcome(failed, arguments.output.is_some())
}

fn prepare(opened: &Opened, id: &Value, request: &Request, source: &ImageSource<'_>) -> anyhow::Result<Prepared> {
    let completion = match (&request.completion, &request.completion_ids) {
        (Some(text), None) => opened.folder.tokenizer.encode(text).context("`completion`")?,
        (None, Some(ids)) => ids.clone(),
        _ => return Err(Failure::failed("expected one of `completion` and `completion_ids`").into()),
    };
    if completion.is_empty() {
        return Err(Failure::failed("the completion is empty; there is nothing to score").into());
    }
    let prompt = prompt(opened, request, source)?;
    let prompt_tokens = prompt.ids.len();
    let mut ids = prompt.ids;
    ids.extend(completion);
    let request = ScoreRequest { ids, images: prompt.images, from: prompt_tokens };
    opened.engine.can_score(&request)?;
    Ok(Prepared { id: id.clone(), prompt_tokens, request })
}

//! `visionthink ask`: one question about some images.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use serde::Serialize;
use visionthink_engine::{CancelToken, EngineOptions, Picture, Rollout, Task, TurnLedger, run as roll_out};
use visionthink_image::View;
use visionthink_protocol::{Conversation, Decision, FinishReason, Limits, Mode, Profile, Rules, Setup, Turn};

use crate::args::AskArguments;
use crate::failure::Failure;
use crate::images::{Sources, load};
use crate::model::{Opened, processor_of, profile};
use crate::output;

#[derive(Serialize)]
struct Answered<'a> {
    answer: Option<&'a str>,
    decision: Decision,
    mode: Mode,
    model: &'a str,
    turns: &'a [Turn],
    images: Vec<Seen<'a>>,
    visual_tokens: VisualTokens,
    usage: Usage,
    /// Only with `--pruning`.
    #[serde(skip_serializing_if = "Option::is_none")]
    ledger: Option<TurnLedger>,
    timing_ms: TimingMs,
    seed: u64,
}

#[derive(Serialize)]
struct Seen<'a> {
    source: &'a str,
    width: u32,
    height: u32,
    low: View,
    full: View,
}

#[derive(Serialize)]
struct VisualTokens {
    used: usize,
    full: usize,
    /// Null without an image.
    ratio: Option<f64>,
}

#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "the keys are the command line's contract")]
struct Usage {
    prompt_tokens: usize,
    completion_tokens: usize,
    prefilled_tokens: usize,
    reused_tokens: usize,
}

#[derive(Serialize)]
struct TimingMs {
    image: f64,
    vision: f64,
    prefill: f64,
    decode: f64,
    total: f64,
}

pub(crate) fn run(arguments: &AskArguments) -> anyhow::Result<()> {
    let sampling = arguments.sampling.settings()?;
    if arguments.question.trim().is_empty() {
        return Err(Failure::usage("the question is empty").into());
    }
    if arguments.max_tokens == 0 {
        return Err(Failure::usage("`--max-tokens` is 0; expected at least 1").into());
    }
    if arguments.images.iter().filter(|source| *source == "-").count() > 1 {
        return Err(Failure::usage("`--image -` is given twice; stdin holds one image").into());
    }
    // The images first: a wrong path should not cost a load of the weights.
    let mut images = Vec::with_capacity(arguments.images.len());
    for source in &arguments.images {
        images.push(load(source, Path::new(""), Sources::Person, &arguments.image_limits.decoding())?);
    }
    let options = EngineOptions { max_rows: 1, ..EngineOptions::default() };
    let mut opened = arguments.model.open_pruned(options, arguments.pruning)?;
    let mut pictures = Vec::with_capacity(images.len());
    for (image, source) in images.into_iter().zip(&arguments.images) {
        let picture = Picture::new(image, processor_of(&opened)?).with_context(|| name_of(source).to_owned())?;
        pictures.push(Arc::new(picture));
    }
    let profile = profile(&opened.folder, arguments.profile)?;
    let mode = mode(arguments.mode, &profile)?;
    let conversation = begin(arguments, &opened, profile, mode, &pictures)?;
    let task = Task {
        conversation,
        pictures: pictures.clone(),
        sampling,
        samples: 1,
        suppressed_ids: opened.folder.suppressed_ids(),
        stop_texts: Vec::new(),
        logprobs: false,
    };
    let rollouts = roll_out(&mut opened.engine, [task], &CancelToken::new(), |_| {});
    let rollout = rollouts.into_iter().next().ok_or_else(|| Failure::failed("the engine gave no answer"))?;
    if let Some(error) = &rollout.error {
        return Err(error.clone().into());
    }
    report(arguments, &opened, mode, &pictures, &rollout)
}

/// A source as it is shown. A data URL is the image itself; repeating it helps nobody.
fn name_of(source: &str) -> &str {
    if source.starts_with("data:") { "data:" } else { source }
}

/// The mode asked for, or the one that suits the profile.
fn mode(wanted: Option<Mode>, profile: &Profile) -> Result<Mode, Failure> {
    match (wanted, &profile.tool) {
        (Some(Mode::Adaptive), None) => {
            Err(Failure::usage(format!("profile `{}` offers no tool; mode `adaptive` needs one", profile.name))
                .hint("leave `--mode` out, or choose `full` or `low`"))
        }
        (Some(mode), _) => Ok(mode),
        (None, Some(_)) => Ok(Mode::Adaptive),
        (None, None) => Ok(Mode::Full),
    }
}

fn begin(
    arguments: &AskArguments,
    opened: &Opened,
    profile: Profile,
    mode: Mode,
    pictures: &[Arc<Picture>],
) -> anyhow::Result<Conversation> {
    let question = profile.question(&arguments.question, pictures.len());
    let context = opened.folder.config.text.max_position_embeddings;
    let setup = Setup {
        tokenizer: opened.folder.tokenizer.clone(),
        profile: Arc::new(profile),
        mode,
        images: pictures.iter().map(|picture| picture.tokens()).collect(),
        limits: Limits { max_new_tokens_per_turn: arguments.max_tokens, ..Limits::for_context(context) },
        rules: Rules::Exact,
    };
    Ok(Conversation::start(setup, &opened.folder.template, &[question])?)
}

fn report(
    arguments: &AskArguments,
    opened: &Opened,
    mode: Mode,
    pictures: &[Arc<Picture>],
    rollout: &Rollout,
) -> anyhow::Result<()> {
    let conversation = &rollout.conversation;
    if !arguments.json {
        match conversation.answer() {
            Some(answer) => {
                output::line(answer)?;
                if conversation.finish_reason() == Some(FinishReason::Length) {
                    tracing::warn!("the reply was cut off by a limit; `--max-tokens` is {}", arguments.max_tokens);
                }
            }
            None => return Err(no_answer(conversation)),
        }
        return Ok(());
    }
    let ms = |time: std::time::Duration| time.as_secs_f64() * 1000.0;
    let (usage, timing) = (rollout.usage, rollout.timing);
    output::json(&Answered {
        answer: conversation.answer(),
        decision: conversation.decision(),
        mode,
        model: &opened.name,
        turns: conversation.turns(),
        images: arguments
            .images
            .iter()
            .zip(pictures)
            .map(|(source, picture)| Seen {
                source: name_of(source),
                width: picture.image().width,
                height: picture.image().height,
                low: picture.costs().low,
                full: picture.costs().full,
            })
            .collect(),
        visual_tokens: VisualTokens {
            used: usage.image_tokens,
            full: usage.full_image_tokens,
            ratio: (usage.full_image_tokens > 0).then(|| usage.image_tokens as f64 / usage.full_image_tokens as f64),
        },
        usage: Usage {
            prompt_tokens: usage.prompt_tokens,
            completion_tokens: usage.completion_tokens,
            prefilled_tokens: usage.prefilled_tokens,
            reused_tokens: usage.reused_tokens,
        },
        ledger: arguments.pruning.map(|_| rollout.ledger),
        timing_ms: TimingMs {
            image: ms(timing.image),
            vision: ms(timing.vision),
            prefill: ms(timing.prefill),
            decode: ms(timing.decode),
            total: ms(timing.total),
        },
        seed: arguments.sampling.seed,
    })
}

/// A model that never comes to an answer is an outcome with `--json`, and a failure for a person who wants the answer.
fn no_answer(conversation: &Conversation) -> anyhow::Error {
    let last = conversation.turns().last().map_or("", |turn| turn.text.as_str());
    Failure::failed(format!(
        "the model gave no answer after {} turns; its last words: `{last}`",
        conversation.turns().len()
    ))
    .hint("`--json` shows all turns; `--max-tokens` and `--mode full` may help")
    .into()
}

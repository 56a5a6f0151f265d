//! `visionthink generate`: complete prompts from a file, with log-probabilities.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use serde_json::Value;
use visionthink_engine::{Backend, EngineOptions, Event, Picture, TurnId, TurnReply, TurnRequest};
use visionthink_image::{DecodeOptions, Patches};
use visionthink_protocol::{Content, Conversation, Limits, Message, Mode, Part, Profile, Rules, Setup, View};

mod remote;

use crate::args::{GenerateArguments, ImageLimitArguments};
use crate::elsewhere::{Elsewhere, Place};
use crate::failure::Failure;
use crate::images::{Sources, load};
use crate::model::{Opened, processor_of};
use crate::progress;
use crate::requests::{Completed, Request, Results, read};

/// Where the images of a request file are, and how they are read.
pub(crate) struct ImageSource<'a> {
    folder: &'a Path,
    decoding: DecodeOptions,
}

impl<'a> ImageSource<'a> {
    /// Relative paths are relative to the request file.
    pub(crate) fn beside(input: &'a Path, limits: ImageLimitArguments) -> Self {
        Self { folder: input.parent().unwrap_or(Path::new("")), decoding: limits.decoding() }
    }
}

/// A prompt as the engine takes it.
pub(crate) struct Prompt {
    pub(crate) ids: Vec<u32>,
    pub(crate) images: Vec<Arc<Patches>>,
}

pub(crate) fn run(arguments: &GenerateArguments) -> anyhow::Result<()> {
    let sampling = arguments.sampling.settings()?;
    if arguments.max_tokens == 0 {
        return Err(Failure::usage("`--max-tokens` is 0; expected at least 1").into());
    }
    let requests = read(&arguments.input)?;
    let mut results = Results::open(&arguments.input, arguments.output.as_deref())?;
    if let Some(url) = &arguments.engine.url {
        let server = Elsewhere::connect(Place {
            url,
            model: arguments.engine.served_model.as_deref(),
            key_env: arguments.engine.key_env.as_deref(),
            // Messages go as they are.
            profile: Profile::by_name("general")?,
            processor: None,
            at_once: arguments.batch as usize,
        })?;
        return elsewhere(arguments, &server, requests, &mut results);
    }
    let options = EngineOptions { max_rows: arguments.batch as usize, ..EngineOptions::default() };
    let mut opened = arguments.model.open_pruned(options, arguments.pruning)?;
    let source = ImageSource::beside(&arguments.input, arguments.image_limits);
    let bar = progress::bar(requests.len() as u64, "generating");
    let mut waiting = requests.into_iter();
    let mut running: HashMap<TurnId, (Value, Vec<u32>)> = HashMap::new();
    let mut failed = 0_u64;
    loop {
        while running.len() < 2 * opened.engine.capacity() {
            let Some((id, request)) = waiting.next() else { break };
            if results.has(&id) {
                bar.inc(1);
                continue;
            }
            let submitted = prompt(&opened, &request, &source).and_then(|prompt| {
                let mut turn = TurnRequest::new(prompt.ids.clone(), sampling.clone(), arguments.max_tokens);
                turn.new_images = prompt.images;
                turn.suppressed_ids = opened.folder.suppressed_ids();
                turn.logprobs = true;
                if !arguments.ignore_eos {
                    turn.stop_ids = opened.folder.stop_ids().to_vec();
                }
                Ok((opened.engine.submit(turn)?, prompt.ids))
            });
            match submitted {
                Ok((turn, ids)) => {
                    running.insert(turn, (id, ids));
                }
                Err(error) => {
                    failed += 1;
                    bar.inc(1);
                    tracing::error!("request {id}: {error:#}");
                }
            }
        }
        if running.is_empty() {
            break;
        }
        for event in opened.engine.step()? {
            match event {
                Event::Token { .. } => {}
                Event::Finished { turn, reply } => {
                    opened.engine.release(reply.sequence);
                    if let Some((id, prompt_ids)) = running.remove(&turn) {
                        results.write(&completed(&opened, id, prompt_ids, reply)?)?;
                        bar.inc(1);
                    }
                }
                Event::Failed { turn, error } => {
                    if let Some((id, _)) = running.remove(&turn) {
                        failed += 1;
                        bar.inc(1);
                        tracing::error!("request {id}: {error}");
                    }
                }
            }
        }
    }
    bar.finish_and_clear();
    outcome(failed, arguments.output.is_some())
}

/// The same on another server, which has its own chat template.
fn elsewhere(
    arguments: &GenerateArguments,
    server: &Elsewhere,
    requests: Vec<(Value, Request)>,
    results: &mut Results,
) -> anyhow::Result<()> {
    let folder = arguments.input.parent().unwrap_or(Path::new(""));
    let bar = progress::bar(requests.len() as u64, "generating");
    let mut failed = 0_u64;
    let mut refused = 0_u64;
    let known = requests.iter().filter(|(id, _)| results.has(id)).count();
    bar.inc(known as u64);
    let new = requests.into_iter().filter(|(id, _)| !results.has(id)).collect::<Vec<_>>();
    let bodies = new.into_iter().filter_map(|(id, request)| match remote::body(arguments, server, request, folder) {
        Ok(body) => Some((id, body)),
        Err(error) => {
            refused += 1;
            bar.inc(1);
            tracing::error!("request {id}: {error:#}");
            None
        }
    });
    server.complete_all(bodies, |id, answered| {
        bar.inc(1);
        match answered {
            Ok(completion) => results.write(&remote::completed(id, &completion)),
            Err(error) => {
                failed += 1;
                tracing::error!("request {id}: {error}");
                Ok(())
            }
        }
    })?;
    bar.finish_and_clear();
    outcome(failed + refused, arguments.output.is_some())
}

/// Requests that failed are named in the log; the others are done.
pub(crate) fn outcome(failed: u64, to_a_file: bool) -> anyhow::Result<()> {
    if failed == 0 {
        return Ok(());
    }
    let requests = if failed == 1 { "request" } else { "requests" };
    let again = if to_a_file { "; a second run with the same `--output` asks only these again" } else { "" };
    Err(Failure::failed(format!("{failed} {requests} failed; the others are done"))
        .hint(format!("the log above names each{again}"))
        .into())
}

fn completed(opened: &Opened, id: Value, prompt_ids: Vec<u32>, reply: TurnReply) -> anyhow::Result<Completed> {
    Ok(Completed {
        id,
        prompt_ids,
        text: opened.folder.tokenizer.decode(&reply.ids, true)?,
        logprobs: reply.logprobs.iter().map(|logprob| f64::from(*logprob)).collect(),
        completion_ids: reply.ids,
        finish_reason: serde_json::to_value(reply.finish_reason)?,
    })
}

/// Renders and encodes a request and prepares its images, all in full.
pub(crate) fn prompt(opened: &Opened, request: &Request, images: &ImageSource<'_>) -> anyhow::Result<Prompt> {
    let sources: Vec<&str> = match &request.messages {
        Some(messages) => messages.iter().map(urls).collect::<Result<Vec<_>, _>>()?.concat(),
        None => request.images.iter().map(String::as_str).collect(),
    };
    let mut pictures = Vec::with_capacity(sources.len());
    for source in sources {
        let name = if source.starts_with("data:") { "image in a `data:` URL" } else { source };
        let image = load(source, images.folder, Sources::Local, &images.decoding)?;
        pictures.push(Picture::new(image, processor_of(opened)?).with_context(|| name.to_owned())?);
    }
    let context = opened.folder.config.text.max_position_embeddings;
    let setup = Setup {
        tokenizer: opened.folder.tokenizer.clone(),
        // Messages and prompts are taken as they are; the profile only says that no tool is offered.
        profile: Arc::new(Profile::by_name("general")?),
        mode: Mode::Full,
        images: pictures.iter().map(Picture::tokens).collect(),
        limits: Limits { max_turns: 1, ..Limits::for_context(context) },
        rules: Rules::Exact,
    };
    let conversation = match (&request.messages, &request.prompt) {
        (Some(messages), _) => Conversation::from_messages(setup, &opened.folder.template, messages)?,
        (None, Some(prompt)) => Conversation::from_prompt(setup, prompt)?,
        (None, None) => return Err(Failure::failed("neither `messages` nor `prompt` is given").into()),
    };
    let images = pictures.iter().map(|picture| picture.patches(View::Full)).collect::<Result<Vec<_>, _>>()?;
    Ok(Prompt { ids: conversation.ids().to_vec(), images })
}

/// Where the images of a message are.
fn urls(message: &Message) -> Result<Vec<&str>, Failure> {
    let Content::Parts(parts) = &message.content else { return Ok(Vec::new()) };
    let mut urls = Vec::new();
    for part in parts {
        if let Part::Image { url } = part {
            urls.push(url.as_deref().ok_or_else(|| {
                Failure::failed(
                    "an image part has no URL; expected `{\"type\": \"image_url\", \"image_url\": {\"url\": \"…\"}}`",
                )
            })?);
        }
    }
    Ok(urls)
}

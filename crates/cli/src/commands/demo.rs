//! `visionthink demo`: held-out questions in several modes, a table, and a report with the pictures.

use std::sync::Arc;
use std::time::Instant;

use visionthink_data::world::{Asked, Family, Split, draw_one};
use visionthink_engine::{CancelToken, EngineOptions, Picture, Rollout, RolloutEvent, Sampling, Task, run as roll_out};
use visionthink_protocol::{Conversation, Decision, Limits, Mode, Profile, Rules, Setup};

use crate::args::DemoArguments;
use crate::demo::page::{Sample, render};
use crate::demo::result::{Demo, Manifest, Row, Sums};
use crate::demo::table;
use crate::model::{Opened, processor_of, profile};
use crate::output;
use crate::progress;

/// Questions of each family, need and mode that the report shows with their pictures.
const SHOWN: usize = 8;

/// Longest reply; the embedded model's longest is a tool call of some twenty tokens.
const MAX_TOKENS: usize = 64;

struct Held {
    asked: Asked,
    picture: Arc<Picture>,
}

pub(crate) fn run(arguments: &DemoArguments) -> anyhow::Result<()> {
    let mut modes = Vec::with_capacity(arguments.modes.len());
    for mode in &arguments.modes {
        if !modes.contains(mode) {
            modes.push(*mode);
        }
    }
    // A report that cannot be written should not cost the run.
    fs_err::OpenOptions::new().create(true).append(true).open(&arguments.report)?;
    let mut opened = arguments.model.open(EngineOptions { max_rows: 32, ..EngineOptions::default() })?;
    let bar = progress::bar(arguments.questions * (Family::ALL.len() * modes.len()) as u64, "asking");
    let asking = Asking { questions: arguments.questions, seed: arguments.seed, modes: &modes };
    let (rows, samples) = measure(&mut opened, asking, &mut || bar.inc(1))?;
    bar.finish_and_clear();
    let manifest = Manifest {
        model: opened.name.clone(),
        seed: arguments.seed,
        device: opened.device.clone(),
        version: env!("CARGO_PKG_VERSION"),
        questions: arguments.questions,
    };
    let demo = Demo::new(rows, manifest);
    fs_err::write(&arguments.report, render(&demo, &samples)?)?;
    if arguments.json {
        return output::json(&demo);
    }
    output::line(&table::render(&demo))?;
    output::line(&format!("report: {}", arguments.report.display()))?;
    Ok(())
}

/// Held-out questions, and how they are asked.
#[derive(Clone, Copy)]
pub(crate) struct Asking<'a> {
    /// How many a family.
    pub(crate) questions: u64,
    /// Seed of the pictures and questions.
    pub(crate) seed: u64,
    /// Each question is asked in each of these.
    pub(crate) modes: &'a [Mode],
}

/// Asks, and counts by family, mode and need; `answered` is called behind every question.
pub(crate) fn measure(
    opened: &mut Opened,
    asking: Asking<'_>,
    answered: &mut dyn FnMut(),
) -> anyhow::Result<(Vec<Row>, Vec<Sample>)> {
    let profile = Arc::new(profile(&opened.folder, None)?);
    let mut rows = Vec::new();
    let mut samples = Vec::new();
    for family in Family::ALL {
        let questions = held_out(opened, family, asking)?;
        for &mode in asking.modes {
            for needs_full in [false, true] {
                let group: Vec<&Held> = questions.iter().filter(|held| held.asked.needs_full() == needs_full).collect();
                let (sums, rollouts) = ask(opened, &profile, mode, &group, answered)?;
                let shown = group.iter().zip(&rollouts).take(SHOWN);
                samples.extend(shown.map(|(held, rollout)| sample(family, mode, held, rollout)));
                rows.push(Row { family: family.name(), needs_full, mode, sums });
            }
        }
    }
    Ok((rows, samples))
}

fn held_out(opened: &Opened, family: Family, asking: Asking<'_>) -> anyhow::Result<Vec<Held>> {
    let processor = processor_of(opened)?;
    let mut questions = Vec::with_capacity(asking.questions as usize);
    for index in 0..asking.questions {
        let (image, asked) = draw_one(family, Split::Test, asking.seed, index);
        questions.push(Held { asked, picture: Arc::new(Picture::new(image, processor.clone())?) });
    }
    Ok(questions)
}

/// Asks a group together and counts.
fn ask(
    opened: &mut Opened,
    profile: &Arc<Profile>,
    mode: Mode,
    group: &[&Held],
    answered: &mut dyn FnMut(),
) -> anyhow::Result<(Sums, Vec<Rollout>)> {
    let began = Instant::now();
    let mut tasks = Vec::with_capacity(group.len());
    for held in group {
        tasks.push(task(opened, profile, mode, held)?);
    }
    let rollouts = roll_out(&mut opened.engine, tasks, &CancelToken::new(), |event| {
        if matches!(event, RolloutEvent::Finished(_)) {
            answered();
        }
    });
    let mut sums = Sums { questions: group.len(), ..Sums::default() };
    for (held, rollout) in group.iter().zip(&rollouts) {
        if let Some(error) = &rollout.error {
            return Err(error.clone().into());
        }
        sums.correct += usize::from(is_correct(held, rollout));
        sums.resize_calls += usize::from(rollout.conversation.decision() == Decision::Resize);
        sums.visual_tokens += rollout.usage.image_tokens;
        sums.completion_tokens += rollout.usage.completion_tokens;
    }
    sums.seconds = began.elapsed().as_secs_f64();
    Ok((sums, rollouts))
}

fn task(opened: &Opened, profile: &Arc<Profile>, mode: Mode, held: &Held) -> anyhow::Result<Task> {
    let context = opened.folder.config.text.max_position_embeddings;
    let setup = Setup {
        tokenizer: opened.folder.tokenizer.clone(),
        profile: profile.clone(),
        mode,
        images: vec![held.picture.tokens()],
        limits: Limits { max_new_tokens_per_turn: MAX_TOKENS, ..Limits::for_context(context) },
        rules: Rules::Exact,
    };
    let question = profile.question(&held.asked.question, 1);
    Ok(Task {
        conversation: Conversation::start(setup, &opened.folder.template, &[question])?,
        pictures: vec![held.picture.clone()],
        sampling: Sampling::greedy(),
        samples: 1,
        suppressed_ids: opened.folder.suppressed_ids(),
        stop_texts: Vec::new(),
        logprobs: false,
    })
}

fn is_correct(held: &Held, rollout: &Rollout) -> bool {
    rollout.conversation.answer().is_some_and(|answer| answer.trim().eq_ignore_ascii_case(&held.asked.answer))
}

fn sample(family: Family, mode: Mode, held: &Held, rollout: &Rollout) -> Sample {
    let conversation = &rollout.conversation;
    Sample {
        family: family.name(),
        needs_full: held.asked.needs_full(),
        mode,
        image: held.picture.image().clone(),
        question: held.asked.question.clone(),
        expected: held.asked.answer.clone(),
        answer: conversation.answer().unwrap_or("nothing").to_owned(),
        correct: is_correct(held, rollout),
        resized: conversation.decision() == Decision::Resize,
        turns: conversation.turns().iter().map(|turn| turn.text.clone()).collect(),
        visual_tokens: rollout.usage.image_tokens,
    }
}

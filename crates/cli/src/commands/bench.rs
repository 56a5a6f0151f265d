//! `visionthink bench`: what answers take on this machine, by the size of the picture and the mode, and what they cost.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;
use visionthink_data::world::{Family, Split, draw_one};
use visionthink_engine::{CancelToken, EngineOptions, Picture, Rollout, Sampling, Task, run as roll_out};
use visionthink_image::{Arithmetic, Filter, resize};
use visionthink_protocol::{Conversation, Decision, Limits, Mode, Profile, Rules, Setup};

use crate::args::BenchArguments;
use crate::failure::Failure;
use crate::model::{Opened, processor_of, profile};
use crate::output;
use crate::progress;

/// What a million tokens cost.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct TokenPrices {
    /// Run through the model in prompts.
    pub(crate) prompt: f64,
    /// Reused from an earlier turn.
    pub(crate) reused: f64,
    /// Sampled.
    pub(crate) completion: f64,
}

/// One size and mode.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Row {
    side_px: u32,
    mode: Mode,
    questions: usize,
    /// Share of questions that ask for the full image.
    calls: f64,
    visual_tokens: f64,
    prompt_tokens: f64,
    reused_tokens: f64,
    completion_tokens: f64,
    /// Of one question alone.
    latency_ms: Latency,
    /// Of many together.
    questions_per_second: f64,
    /// Of 1,000 requests.
    cost: Option<f64>,
    /// Of 1,000 requests, against mode `full` at the same size.
    saved: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct Latency {
    p50: f64,
    p95: f64,
}

/// The whole result; `--json` prints it.
#[derive(Debug, Serialize)]
struct Bench {
    model: String,
    device: String,
    version: &'static str,
    batch: u64,
    seed: u64,
    prices: Option<TokenPrices>,
    rows: Vec<Row>,
}

pub(crate) fn run(arguments: &BenchArguments) -> anyhow::Result<()> {
    // A picture that comes again is encoded again: each request is one of its own.
    let options =
        EngineOptions { max_rows: arguments.batch as usize, max_cached_image_tokens: 0, ..EngineOptions::default() };
    let mut opened = arguments.model.open(options)?;
    let profile = Arc::new(profile(&opened.folder, None)?);
    let total = 2 * arguments.questions * (arguments.sizes.len() * arguments.modes.len()) as u64;
    let bar = progress::bar(total, "measuring");
    let mut rows: Vec<Row> = Vec::new();
    for &side in &arguments.sizes {
        for &mode in &arguments.modes {
            let row = measure(&mut opened, &profile, arguments, side, mode)?;
            bar.inc(2 * arguments.questions);
            rows.push(row);
        }
    }
    bar.finish_and_clear();
    save(&mut rows);
    let bench = Bench {
        model: opened.name.clone(),
        device: opened.device.clone(),
        version: env!("CARGO_PKG_VERSION"),
        batch: arguments.batch,
        seed: arguments.seed,
        prices: arguments.prices,
        rows,
    };
    if arguments.json {
        return output::json(&bench);
    }
    output::line(table(&bench).trim_end())?;
    Ok(())
}

fn measure(
    opened: &mut Opened,
    profile: &Arc<Profile>,
    arguments: &BenchArguments,
    side: u32,
    mode: Mode,
) -> anyhow::Result<Row> {
    // The first pass of a shape pays for what later ones find ready.
    ask(opened, vec![task(opened, profile, arguments, side, mode, 0)?])?;
    let mut latencies = Vec::new();
    let mut rollouts = Vec::new();
    for index in 0..arguments.questions {
        let one = task(opened, profile, arguments, side, mode, index)?;
        let began = Instant::now();
        rollouts.extend(ask(opened, vec![one])?);
        latencies.push(1e3 * began.elapsed().as_secs_f64());
    }
    let tasks = (0..arguments.questions).map(|index| task(opened, profile, arguments, side, mode, index));
    let tasks = tasks.collect::<anyhow::Result<Vec<_>>>()?;
    let began = Instant::now();
    ask(opened, tasks)?;
    let questions_per_second = arguments.questions as f64 / began.elapsed().as_secs_f64().max(1e-9);
    let mean = |of: &dyn Fn(&Rollout) -> f64| rollouts.iter().map(of).sum::<f64>() / rollouts.len().max(1) as f64;
    latencies.sort_by(f64::total_cmp);
    let mut row = Row {
        side_px: side,
        mode,
        questions: rollouts.len(),
        calls: mean(&|one| f64::from(one.conversation.decision() == Decision::Resize)),
        visual_tokens: mean(&|one| one.usage.image_tokens as f64),
        prompt_tokens: mean(&|one| one.usage.prefilled_tokens as f64),
        reused_tokens: mean(&|one| one.usage.reused_tokens as f64),
        completion_tokens: mean(&|one| one.usage.completion_tokens as f64),
        latency_ms: Latency { p50: nearest(&latencies, 0.5), p95: nearest(&latencies, 0.95) },
        questions_per_second,
        cost: None,
        saved: None,
    };
    row.cost = arguments.prices.map(|prices| cost(&row, prices));
    Ok(row)
}

/// Asks and waits; a question that fails ends the measuring, which would otherwise be of less.
fn ask(opened: &mut Opened, tasks: Vec<Task>) -> anyhow::Result<Vec<Rollout>> {
    let rollouts = roll_out(&mut opened.engine, tasks, &CancelToken::new(), |_| {});
    match rollouts.iter().find_map(|rollout| rollout.error.clone()) {
        Some(error) => Err(error.into()),
        None => Ok(rollouts),
    }
}

/// A drawn question, its picture enlarged to `side`, with the full views made when they are asked for.
fn task(
    opened: &Opened,
    profile: &Arc<Profile>,
    arguments: &BenchArguments,
    side: u32,
    mode: Mode,
    index: u64,
) -> anyhow::Result<Task> {
    let family = Family::ALL[(index % Family::ALL.len() as u64) as usize];
    let (image, asked) = draw_one(family, Split::Test, arguments.seed, index);
    let image = resize(&image, side, side, Filter::Bicubic, Arithmetic::Pillow)?;
    let picture = Arc::new(Picture::new(image, processor_of(opened)?)?);
    let context = opened.folder.config.text.max_position_embeddings;
    let setup = Setup {
        tokenizer: opened.folder.tokenizer.clone(),
        profile: profile.clone(),
        mode,
        images: vec![picture.tokens()],
        limits: Limits { max_new_tokens_per_turn: arguments.max_tokens, ..Limits::for_context(context) },
        rules: Rules::Exact,
    };
    let conversation = Conversation::start(setup, &opened.folder.template, &[profile.question(&asked.question, 1)])
        .map_err(|error| {
            Failure::failed(format!("a picture of {side} px in mode {mode}: {error}"))
                .hint("leave the size out of `--sizes`")
        })?;
    Ok(Task {
        conversation,
        pictures: vec![picture],
        sampling: Sampling::greedy(),
        samples: 1,
        suppressed_ids: opened.folder.suppressed_ids(),
        stop_texts: Vec::new(),
        logprobs: false,
    })
}

/// The smallest number that a share of the numbers does not exceed.
fn nearest(sorted: &[f64], share: f64) -> f64 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

/// Of 1,000 requests: tokens by what a million of their kind costs.
fn cost(row: &Row, prices: TokenPrices) -> f64 {
    let request = row.prompt_tokens * prices.prompt
        + row.reused_tokens * prices.reused
        + row.completion_tokens * prices.completion;
    1_000.0 * request / 1e6
}

/// What each mode saves against `full` at the same size.
fn save(rows: &mut [Row]) {
    let full: Vec<(u32, Option<f64>)> =
        rows.iter().filter(|row| row.mode == Mode::Full).map(|row| (row.side_px, row.cost)).collect();
    for row in rows {
        let of_full = full.iter().find(|(side, _)| *side == row.side_px).and_then(|(_, cost)| *cost);
        row.saved = of_full.zip(row.cost).map(|(full, own)| full - own);
    }
}

fn table(bench: &Bench) -> String {
    let mut text = format!(
        "{:>5} {:<9} {:>6} {:>7} {:>7} {:>7} {:>9} {:>8} {:>8} {:>11} {:>10} {:>10}\n",
        "px",
        "mode",
        "calls",
        "visual",
        "prompt",
        "reused",
        "generated",
        "p50 ms",
        "p95 ms",
        "questions/s",
        "per 1,000",
        "saved"
    );
    let money = |amount: Option<f64>| amount.map_or_else(|| "-".to_owned(), |amount| format!("{amount:.4}"));
    for row in &bench.rows {
        let _ = writeln!(
            text,
            "{:>5} {:<9} {:>6.2} {:>7.1} {:>7.1} {:>7.1} {:>9.1} {:>8.1} {:>8.1} {:>11.1} {:>10} {:>10}",
            row.side_px,
            row.mode.to_string(),
            row.calls,
            row.visual_tokens,
            row.prompt_tokens,
            row.reused_tokens,
            row.completion_tokens,
            row.latency_ms.p50,
            row.latency_ms.p95,
            row.questions_per_second,
            money(row.cost),
            money(row.saved),
        );
    }
    let Bench { model, device, batch, .. } = bench;
    let _ = writeln!(text, "model {model} on {device}; latency of one question alone, questions/s of {batch} together");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(mode: Mode, prompt: f64, reused: f64, completion: f64) -> Row {
        Row {
            side_px: 112,
            mode,
            questions: 1,
            calls: 0.0,
            visual_tokens: 4.0,
            prompt_tokens: prompt,
            reused_tokens: reused,
            completion_tokens: completion,
            latency_ms: Latency { p50: 1.0, p95: 2.0 },
            questions_per_second: 1.0,
            cost: None,
            saved: None,
        }
    }

    #[test]
    fn a_thousand_requests_cost_their_tokens_and_save_what_full_costs_more() {
        let prices = TokenPrices { prompt: 2.0, reused: 0.5, completion: 10.0 };
        let mut rows = [row(Mode::Full, 1_000.0, 0.0, 10.0), row(Mode::Adaptive, 300.0, 100.0, 30.0)];
        for row in &mut rows {
            row.cost = Some(cost(row, prices));
        }
        save(&mut rows);
        // 1,000 · 2 + 10 · 10 and 300 · 2 + 100 · 0.5 + 30 · 10, per million and times a thousand.
        assert!((rows[0].cost.unwrap() - 2.1).abs() < 1e-12 && (rows[1].cost.unwrap() - 0.95).abs() < 1e-12);
        assert_eq!(rows[0].saved, Some(0.0));
        assert!((rows[1].saved.unwrap() - 1.15).abs() < 1e-12);
    }

    #[test]
    fn a_percentile_is_one_of_the_numbers() {
        let numbers: Vec<f64> = (1..=20).map(f64::from).collect();
        assert_eq!((nearest(&numbers, 0.5), nearest(&numbers, 0.95), nearest(&[3.0], 0.95)), (10.0, 19.0, 3.0));
        assert!(nearest(&[], 0.5).is_nan());
    }
}

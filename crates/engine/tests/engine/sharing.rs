//! Turns that share one engine fairly, and prompts that share their beginnings.

use std::sync::Arc;

use visionthink_engine::{Backend, EmbeddedEngine, EngineOptions, Event, Load, TurnId, TurnReply};
use visionthink_image::Patches;
use visionthink_protocol::FinishReason;

use crate::vectors::{Row, close, fixture};
use crate::{engine, generate, greedy, prompts};

fn with(options: EngineOptions) -> EmbeddedEngine {
    EmbeddedEngine::new(fixture("qwen2_5_vl-a").model(), None, options)
}

/// One row, given up every `tokens`.
fn taking_turns(tokens: usize) -> EmbeddedEngine {
    with(EngineOptions { max_rows: 1, tokens_before_pause: tokens, ..EngineOptions::default() })
}

fn step(engine: &mut EmbeddedEngine) -> Vec<(TurnId, TurnReply)> {
    let ended = |event| match event {
        Event::Finished { turn, reply } => Some((turn, reply)),
        Event::Token { .. } => None,
        Event::Failed { error, .. } => panic!("{error}"),
    };
    engine.step().unwrap().into_iter().filter_map(ended).collect()
}

/// Turns in the order in which they end.
fn order(engine: &mut EmbeddedEngine, turns: usize) -> Vec<(TurnId, TurnReply)> {
    let mut ended = Vec::new();
    while ended.len() < turns {
        ended.extend(step(engine));
    }
    ended
}

#[test]
fn a_long_turn_makes_room_for_short_ones_and_samples_what_it_samples_alone() {
    let prompts = prompts();
    let turns_of = |engine: &mut EmbeddedEngine| {
        let long = engine.submit(greedy(&prompts[1], 120)).unwrap();
        let short: Vec<TurnId> = (0..3).map(|index| engine.submit(greedy(&prompts[index], 6)).unwrap()).collect();
        (long, short)
    };
    let mut fair = taking_turns(8);
    let (long, short) = turns_of(&mut fair);
    let ended = order(&mut fair, 4);
    assert_eq!(ended.iter().map(|(turn, _)| *turn).collect::<Vec<_>>(), [short, vec![long]].concat());
    let alone = generate(&mut engine(1), greedy(&prompts[1], 120));
    assert_eq!(ended[3].1.ids, alone.ids);
    close("log-probabilities", &ended[3].1.logprobs, &alone.logprobs, 1e-4).unwrap();

    let mut unfair = taking_turns(usize::MAX);
    let (long, _) = turns_of(&mut unfair);
    assert_eq!(order(&mut unfair, 4)[0].0, long);
}

#[test]
fn short_turns_that_keep_coming_do_not_starve_a_long_one() {
    let prompts = prompts();
    let mut engine = taking_turns(8);
    let long = engine.submit(greedy(&prompts[1], 64)).unwrap();
    let mut before = 0;
    loop {
        if engine.load().waiting < 2 {
            engine.submit(greedy(&prompts[0], 4)).unwrap();
        }
        let ended = step(&mut engine);
        if ended.iter().any(|(turn, _)| *turn == long) {
            break;
        }
        before += ended.len();
        // Eight times eight tokens, and two that wait each time.
        assert!(before <= 20, "{before} short turns went before it");
    }
    assert!(before >= 7, "{before} short turns only");
}

#[test]
fn a_turn_that_is_cancelled_while_it_is_paused_ends_and_leaves_nothing() {
    let prompts = prompts();
    let mut engine = taking_turns(4);
    let paused = engine.submit(greedy(&prompts[1], 100)).unwrap();
    let other = engine.submit(greedy(&prompts[0], 100)).unwrap();
    for _ in 0..6 {
        assert!(step(&mut engine).is_empty());
    }
    assert_eq!((engine.load().running, engine.load().waiting), (1, 1));
    engine.cancel(paused);
    let ended = order(&mut engine, 1);
    assert_eq!((ended[0].0, ended[0].1.finish_reason), (paused, FinishReason::Cancelled));
    assert!(!ended[0].1.ids.is_empty());
    engine.release(ended[0].1.sequence);
    engine.cancel(other);
    let ended = order(&mut engine, 1);
    engine.release(ended[0].1.sequence);
    assert_eq!(engine.load(), Load::default());
}

/// An engine that keeps prompts.
fn keeping(tokens: usize) -> EmbeddedEngine {
    with(EngineOptions { max_prefix_tokens: tokens, ..EngineOptions::default() })
}

fn generate_and_release(engine: &mut EmbeddedEngine, row: &Row) -> TurnReply {
    let reply = generate(engine, greedy(row, 5));
    engine.release(reply.sequence);
    reply
}

/// The same prompt with another last id.
fn asked_otherwise(row: &Row) -> Row {
    let mut row = row.clone();
    let last = row.ids.len() - 1;
    row.ids[last] = if row.ids[last] == 5 { 6 } else { 5 };
    row
}

#[test]
fn a_prompt_that_begins_like_an_earlier_one_runs_only_the_rest() {
    for row in prompts() {
        let mut engine = keeping(10_000);
        let first = generate_and_release(&mut engine, &row);
        assert_eq!((first.prefilled_tokens, first.reused_tokens), (row.ids.len(), 0));
        let other = asked_otherwise(&row);
        for (row, name) in [(&row, "the same prompt"), (&other, "another last id")] {
            let again = generate_and_release(&mut engine, row);
            assert_eq!((again.prefilled_tokens, again.reused_tokens), (1, row.ids.len() - 1), "{name}");
            let alone = generate(&mut crate::engine(1), greedy(row, 5));
            assert_eq!(again.ids, alone.ids, "{name}");
            // Rounding of products of other shapes, f32.
            close("log-probabilities", &again.logprobs, &alone.logprobs, 1e-4).unwrap();
        }
    }
}

#[test]
fn a_prompt_with_another_image_shares_only_what_stands_before_it() {
    let row = &prompts()[1];
    let mut engine = keeping(10_000);
    generate_and_release(&mut engine, row);
    let image = row.images[0].as_ref();
    let darker = Patches { values: image.values.iter().map(|value| value - 0.5).collect(), grid: image.grid };
    let other = Row { images: vec![Arc::new(darker)], ..row.clone() };
    let reply = generate_and_release(&mut engine, &other);
    let pad = engine.model().config().image_token_id().unwrap();
    let before = row.ids.iter().position(|id| *id == pad).unwrap();
    assert_eq!(reply.reused_tokens, before);
    let alone = generate(&mut crate::engine(1), greedy(&other, 5));
    close("log-probabilities", &reply.logprobs, &alone.logprobs, 1e-4).unwrap();
}

#[test]
fn prompts_are_kept_up_to_a_number_of_tokens_and_the_oldest_goes_first() {
    let prompts = prompts();
    let lengths: Vec<usize> = prompts.iter().map(|row| row.ids.len()).collect();
    let mut engine = keeping(lengths[1] + lengths[2]);
    for row in &prompts {
        generate_and_release(&mut engine, row);
    }
    assert_eq!(engine.load(), Load { prefix_tokens: lengths[1] + lengths[2], ..Load::default() });
    let reply = generate_and_release(&mut engine, &prompts[2]);
    assert_eq!(reply.reused_tokens, lengths[2] - 1);

    let mut none = keeping(lengths[1] - 1);
    generate_and_release(&mut none, &prompts[1]);
    assert_eq!(none.load(), Load::default());
}

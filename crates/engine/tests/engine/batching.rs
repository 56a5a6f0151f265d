//! Turns that run together: joining, leaving, groups, limits and what is counted.

use std::sync::Arc;

use visionthink_engine::{Backend, EmbeddedEngine, EngineOptions, Event, Sampling, TurnRequest};

use crate::vectors::{Row, close, finish, fixture};
use crate::{engine, generate, greedy, prompts, request};

#[test]
fn turns_that_join_and_leave_a_batch_sample_what_they_sample_alone() {
    let prompts = prompts();
    let samplings = [
        Sampling::greedy(),
        Sampling::at_temperature(1.5, 11),
        Sampling { top_p: 0.8, top_k: 40, repetition_penalty: 1.2, ..Sampling::at_temperature(2.0, 12) },
        Sampling { min_p: 0.05, ..Sampling::at_temperature(1.0, 13) },
    ];
    let requests: Vec<TurnRequest> =
        (0..10).map(|index| request(&prompts[index % 3], samplings[index % 4].clone(), 5 + 7 * index % 17)).collect();

    // Three rows for ten turns, and turns that come while others run.
    let mut crowded = engine(3);
    let mut turns = Vec::new();
    let mut replies = Vec::new();
    for pair in requests.chunks(2) {
        turns.extend(pair.iter().map(|request| crowded.submit(request.clone()).unwrap()));
        for event in crowded.step().unwrap() {
            if let Event::Finished { turn, reply } = event {
                replies.push((turn, reply));
            }
        }
    }
    let waiting: Vec<_> = turns.iter().copied().filter(|turn| replies.iter().all(|(ended, _)| ended != turn)).collect();
    replies.extend(waiting.iter().copied().zip(finish(&mut crowded, &waiting)));
    replies.sort_by_key(|(turn, _)| *turn);

    for (request, (_, reply)) in requests.iter().zip(replies) {
        let alone = generate(&mut engine(1), request.clone());
        assert_eq!(reply.ids, alone.ids, "{:?}", request.sampling);
        close("log-probabilities", &reply.logprobs, &alone.logprobs, 1e-4).unwrap();
    }
}

#[test]
fn a_seed_gives_the_same_reply_again_and_another_seed_another() {
    let row = &prompts()[1];
    let mut engine = engine(4);
    let mut draw = |seed| generate(&mut engine, request(row, Sampling::at_temperature(2.0, seed), 16)).ids;
    let first = draw(1);
    assert_eq!(first, draw(1));
    assert_ne!(first, draw(2));
}

#[test]
fn a_group_runs_its_prompt_once_and_its_samples_differ() {
    let row = &prompts()[2];
    let sampling = Sampling::at_temperature(2.0, 5);
    let replies = |max_rows| {
        let mut engine = engine(max_rows);
        let turns = engine.submit_group(request(row, sampling.clone(), 12), 6).unwrap();
        let replies = finish(&mut engine, &turns);
        (replies, *engine.counters())
    };
    let (wide, counters) = replies(16);
    let length = row.ids.len();
    assert_eq!((counters.prefilled_tokens, counters.reused_tokens), (length as u64, 5 * length as u64));
    assert_eq!((counters.images_encoded, counters.sampled_tokens), (2, 6 * 12));
    let told: Vec<_> = wide.iter().map(|reply| (reply.prefilled_tokens, reply.reused_tokens)).collect();
    assert_eq!(told[..2], [(length, 0), (0, length)]);

    let mut distinct: Vec<_> = wide.iter().map(|reply| reply.ids.clone()).collect();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), 6, "six samples at temperature 2 are six texts");
    let alone = generate(&mut engine(1), request(row, sampling.clone(), 12));
    assert_eq!(wide[0].ids, alone.ids, "the first sample is what a single turn with the seed draws");

    let (narrow, counters) = replies(2);
    assert_eq!(counters.prefilled_tokens, length as u64);
    for (wide, narrow) in wide.iter().zip(&narrow) {
        assert_eq!(wide.ids, narrow.ids, "waiting for a free row changes nothing");
    }
}

#[test]
fn every_prompt_is_accounted_for_once_however_rows_are_handed_out() {
    let prompts = prompts();
    let (long, short) = (&prompts[2], &prompts[0]);
    let mut engine = engine(4);
    // One step takes both prompts. The short one is run first and its group fills all rows.
    let single = engine.submit(greedy(long, 3)).unwrap();
    let mut turns = engine.submit_group(greedy(short, 3), 8).unwrap();
    turns.push(single);
    let replies = finish(&mut engine, &turns);
    let told: usize = replies.iter().map(|reply| reply.prefilled_tokens).sum();
    assert_eq!(told, long.ids.len() + short.ids.len());
    assert_eq!(engine.counters().prefilled_tokens, told as u64);
    let reused: usize = replies.iter().map(|reply| reply.reused_tokens).sum();
    assert_eq!(engine.counters().reused_tokens, reused as u64);
    assert_eq!(replies[8].prefilled_tokens, long.ids.len());
}

#[test]
fn small_limits_change_nothing_but_the_number_of_passes() {
    let small = EngineOptions {
        max_rows: 0,
        max_prefill_tokens: 1,
        max_vision_patches: 1,
        max_cached_image_tokens: 0,
        ..EngineOptions::default()
    };
    let mut small = EmbeddedEngine::new(fixture("qwen2_5_vl-a").model(), None, small);
    let mut usual = engine(16);
    let replies = [&mut small, &mut usual].map(|engine| {
        let turns: Vec<_> = prompts().iter().map(|row| engine.submit(greedy(row, 5)).unwrap()).collect();
        finish(engine, &turns).into_iter().map(|reply| reply.ids).collect::<Vec<_>>()
    });
    assert_eq!(replies[0], replies[1]);
}

#[test]
fn an_image_that_comes_again_is_not_encoded_again() {
    let row = &prompts()[1];
    let mut engine = engine(2);
    let copy = Row { images: vec![Arc::new(row.images[0].as_ref().clone())], ..row.clone() };
    let turns = [engine.submit(greedy(row, 2)).unwrap(), engine.submit(greedy(&copy, 2)).unwrap()];
    finish(&mut engine, &turns);
    generate(&mut engine, greedy(row, 2));
    let counters = engine.counters();
    assert_eq!((counters.images_encoded, counters.images_reused), (1, 2));
    assert_eq!(counters.vision_patches, row.images[0].grid.patches() as u64);
}

#[test]
fn tokens_are_told_in_order_as_they_come() {
    let prompts = prompts();
    let mut engine = engine(4);
    let turns = [engine.submit(greedy(&prompts[0], 6)).unwrap(), engine.submit(greedy(&prompts[1], 9)).unwrap()];
    let mut told = [Vec::new(), Vec::new()];
    let mut replies = Vec::new();
    while replies.len() < 2 {
        for event in engine.step().unwrap() {
            match event {
                Event::Token { turn, id, logprob } => {
                    told[usize::from(turn == turns[1])].push((id, logprob.unwrap()));
                }
                Event::Finished { turn, reply } => replies.push((turn, reply)),
                Event::Failed { error, .. } => panic!("{error}"),
            }
        }
    }
    for (turn, reply) in replies {
        let expected: Vec<_> = reply.ids.into_iter().zip(reply.logprobs).collect();
        assert_eq!(told[usize::from(turn == turns[1])], expected);
    }
}

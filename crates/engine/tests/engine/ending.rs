//! How replies end.

use std::sync::Arc;

use visionthink_engine::{Backend, EmbeddedEngine, EngineError, EngineOptions, Event, Sampling, TurnRequest};
use visionthink_protocol::{FinishReason, Tokenizer};

use crate::vectors::{Row, finish, fixture};
use crate::{behind, engine, generate, greedy, prompts, random_model};

#[test]
fn a_cancelled_turn_ends_with_what_it_has_and_others_go_on() {
    let prompts = prompts();
    let mut engine = engine(2);
    let [running, other, waiting] = [0, 1, 2].map(|at| engine.submit(greedy(&prompts[at], 12)).unwrap());
    let tokens = engine.step().unwrap().iter().filter(|event| matches!(event, Event::Token { .. })).count();
    assert_eq!(tokens, 4, "two rows, a first token and a step each");
    engine.cancel(running);
    engine.cancel(waiting);
    let replies = finish(&mut engine, &[running, other, waiting]);
    assert_eq!(replies.iter().map(|reply| reply.ids.len()).collect::<Vec<_>>(), [2, 12, 0]);
    assert_eq!(replies[0].finish_reason, FinishReason::Cancelled);
    assert_eq!(replies[1].finish_reason, FinishReason::Length);
    assert_eq!(replies[2].finish_reason, FinishReason::Cancelled);
    engine.cancel(running);
    assert!(engine.step().unwrap().is_empty(), "a turn that has ended is left alone");

    // A cancelled reply is a reply: the conversation can go on.
    let past = prompts[0].ids.len() + 2;
    let next = generate(&mut engine, behind(&replies[0], past, &[3], 4));
    let ids = [&prompts[0].ids[..], &replies[0].ids, &[3]].concat();
    assert_eq!(next.ids, generate(&mut engine, greedy(&Row { ids, images: Vec::new() }, 4)).ids);
}

#[test]
fn a_reply_ends_with_its_stop_id_or_its_limit() {
    let row = &prompts()[0];
    let mut engine = engine(2);
    let free = generate(&mut engine, greedy(row, 10));
    assert_eq!((free.ids.len(), free.finish_reason), (10, FinishReason::Length));
    let stop = free.ids[4];
    let first = free.ids.iter().position(|id| *id == stop).unwrap();
    let stopped = generate(&mut engine, TurnRequest { stop_ids: vec![stop], ..greedy(row, 10) });
    assert_eq!(stopped.ids, free.ids[..=first]);
    assert_eq!((stopped.finish_reason, stopped.logprobs.len()), (FinishReason::Stop, first + 1));
}

#[test]
fn a_reply_ends_where_a_stop_text_is_complete() {
    let checkpoint = fixture("qwen2_5_vl-a");
    let tokenizer = Arc::new(Tokenizer::from_dir(&checkpoint.path).unwrap());
    let mut engine = EmbeddedEngine::new(checkpoint.model(), Some(tokenizer.clone()), EngineOptions::default());
    let row = &checkpoint.case("one_image").rows[0];
    let free = generate(&mut engine, greedy(row, 20));
    // A text that begins inside one token and ends inside a later one.
    let pair = tokenizer.decode(&free.ids[6..9], false).unwrap();
    let stop: String = pair.chars().skip(2).take(pair.chars().count() - 3).collect();
    let stopped =
        generate(&mut engine, TurnRequest { stop_texts: vec!["absent".into(), stop.clone()], ..greedy(row, 20) });
    assert_eq!(stopped.finish_reason, FinishReason::Stop);
    let text = |ids: &[u32]| tokenizer.decode(ids, false).unwrap();
    assert!(text(&stopped.ids).contains(&stop) && !text(&stopped.ids[..stopped.ids.len() - 1]).contains(&stop));
    assert_eq!(stopped.ids, free.ids[..stopped.ids.len()]);
}

#[test]
fn a_reply_ends_at_the_end_of_the_context() {
    let model = random_model(|config| config.text.max_position_embeddings = 20);
    let mut engine = EmbeddedEngine::new(model, None, EngineOptions::default());
    let reply = generate(&mut engine, TurnRequest::new(vec![1; 15], Sampling::greedy(), 100));
    assert_eq!((reply.ids.len(), reply.finish_reason), (5, FinishReason::Length));
    let error = engine.submit(TurnRequest::new(vec![1; 20], Sampling::greedy(), 1)).unwrap_err();
    assert!(matches!(error, EngineError::PromptTooLong { tokens: 20, limit: 20 }));
}

#[test]
fn suppressed_ids_are_never_sampled() {
    let row = &prompts()[0];
    let mut engine = engine(2);
    let mut suppressed = Vec::new();
    for _ in 0..4 {
        let request = TurnRequest { suppressed_ids: suppressed.clone().into(), ..greedy(row, 6) };
        let reply = generate(&mut engine, request);
        assert!(reply.ids.iter().all(|id| !suppressed.contains(id)));
        suppressed.extend(reply.ids);
    }
}

//! Turns that go on from a sequence.

use std::sync::Arc;

use visionthink_engine::{Backend, EngineError, ScoreRequest, TurnRequest};
use visionthink_model::ModelError;
use visionthink_protocol::FinishReason;

use crate::vectors::{Row, close, finish};
use crate::{behind, engine, generate, greedy, prompts};

#[test]
fn a_second_turn_prefills_only_new_ids_and_equals_a_full_pass() {
    for row in prompts() {
        let mut engine = engine(4);
        let first = generate(&mut engine, greedy(&row, 9));
        let before = *engine.counters();
        let new_ids = [7, 8, 9, 10, 11];
        let past = row.ids.len() + 9;
        let second = generate(&mut engine, behind(&first, past, &new_ids, 8));

        // The last id of the reply was sampled, and no pass has seen it.
        assert_eq!(second.prefilled_tokens, new_ids.len() + 1);
        assert_eq!(second.reused_tokens, past - 1);
        let counters = *engine.counters();
        assert_eq!(counters.prefilled_tokens - before.prefilled_tokens, new_ids.len() as u64 + 1);
        assert_eq!(counters.images_encoded, before.images_encoded);

        let ids = [&row.ids[..], &first.ids, &new_ids, &second.ids].concat();
        let from = past + new_ids.len();
        let scored = engine.score(&[ScoreRequest { ids: ids.clone(), images: row.images.clone(), from }]).unwrap();
        close("log-probabilities over the cache", &second.logprobs, &scored[0], 1e-4).unwrap();
        let fresh = Row { ids: ids[..from].to_vec(), images: row.images.clone() };
        assert_eq!(generate(&mut engine, greedy(&fresh, 8)).ids, second.ids);
    }
}

#[test]
fn continued_turns_of_a_batch_equal_full_passes() {
    let prompts = prompts();
    let mut engine = engine(8);
    let turns: Vec<_> =
        prompts.iter().enumerate().map(|(at, row)| engine.submit(greedy(row, 4 + 3 * at)).unwrap()).collect();
    let firsts = finish(&mut engine, &turns);
    let second = prompts[1].images[0].clone();
    let tail = |at: usize| {
        let mut ids = vec![20; 3 + at];
        ids.extend(prompts[1].ids.iter().filter(|id| **id == engine.model().config().image_token_id().unwrap()));
        ids.push(21);
        ids
    };
    let tails = [tail(0), tail(4), tail(1)];
    let mut submit = |at: usize| {
        let past = prompts[at].ids.len() + firsts[at].ids.len();
        let request = behind(&firsts[at], past, &tails[at], 10);
        engine.submit(TurnRequest { new_images: vec![second.clone()], ..request }).unwrap()
    };
    let turns = [submit(0), submit(1), submit(2)];
    let seconds = finish(&mut engine, &turns);
    for at in 0..3 {
        let ids = [&prompts[at].ids[..], &firsts[at].ids, &tails[at]].concat();
        let images = [&prompts[at].images[..], std::slice::from_ref(&second)].concat();
        let fresh = generate(&mut engine, greedy(&Row { ids, images }, 10));
        assert_eq!(seconds[at].ids, fresh.ids);
        close("log-probabilities", &seconds[at].logprobs, &fresh.logprobs, 1e-4).unwrap();
    }
}

#[test]
fn a_reply_can_be_forgotten_from_any_id_on() {
    let row = &prompts()[1];
    let mut engine = engine(4);
    for kept in [0, 1, 5, 8] {
        let first = generate(&mut engine, greedy(row, 8));
        let past = row.ids.len() + kept;
        let second = generate(&mut engine, behind(&first, past, &[30, 31], 6));
        let ids = [&row.ids[..], &first.ids[..kept], &[30, 31]].concat();
        let fresh = generate(&mut engine, greedy(&Row { ids, images: row.images.clone() }, 6));
        assert_eq!(second.ids, fresh.ids, "{kept} ids kept");
        let error = engine.submit(behind(&second, past + 1, &[1], 1)).unwrap_err();
        assert!(matches!(error, EngineError::CannotRewind { .. }), "the prompt stays: {error}");
    }
}

#[test]
fn a_placeholder_that_was_sampled_is_text_and_nothing_goes_on_from_it() {
    let row = &prompts()[1];
    let mut engine = engine(2);
    let pad = engine.model().config().image_token_id().unwrap();
    let vocabulary = engine.model().config().text.vocab_size as u32;
    let others: Arc<[u32]> = (0..vocabulary).filter(|id| *id != pad).collect();
    let reply = generate(&mut engine, TurnRequest { suppressed_ids: others, ..greedy(row, 3) });
    assert_eq!(reply.ids, [pad; 3]);
    let error = engine.submit(behind(&reply, row.ids.len() + 3, &[1], 2)).unwrap_err();
    assert!(matches!(error, EngineError::Model(ModelError::ImageTokens { tokens: 1, expected: 0 })));
    assert_eq!(generate(&mut engine, behind(&reply, row.ids.len(), &[1], 2)).ids.len(), 2, "before it is fine");
}

#[test]
fn a_forked_past_stays_for_others() {
    let row = &prompts()[0];
    let mut engine = engine(4);
    let first = generate(&mut engine, greedy(row, 6));
    let past = row.ids.len() + 6;
    let turns = engine.submit_group(behind(&first, past, &[40], 5), 2).unwrap();
    let forks = finish(&mut engine, &turns);
    assert_eq!(forks[0].ids, forks[1].ids, "greedy");
    let own = generate(&mut engine, behind(&first, past, &[40], 5));
    assert_eq!((own.ids, own.sequence), (forks[0].ids.clone(), first.sequence));
    assert!(forks.iter().all(|fork| fork.sequence != first.sequence));
}

#[test]
fn a_cancelled_continuation_gives_its_past_back() {
    let row = &prompts()[0];
    let mut engine = engine(1);
    let first = generate(&mut engine, greedy(row, 3));
    let turn = engine.submit(behind(&first, row.ids.len() + 3, &[5], 3)).unwrap();
    engine.cancel(turn);
    assert_eq!(finish(&mut engine, &[turn])[0].finish_reason, FinishReason::Cancelled);
    assert_eq!(generate(&mut engine, behind(&first, row.ids.len() + 3, &[5], 3)).ids.len(), 3);
}

#[test]
fn a_released_sequence_is_gone_and_its_turn_cancelled() {
    let row = &prompts()[0];
    let mut engine = engine(2);
    let first = generate(&mut engine, greedy(row, 3));
    engine.release(first.sequence);
    let error = engine.submit(behind(&first, row.ids.len() + 3, &[5], 3)).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("sequence {} is not there; it was released, or its turn has failed", first.sequence)
    );

    let first = generate(&mut engine, greedy(row, 3));
    let turn = engine.submit(behind(&first, row.ids.len() + 3, &[5], 100)).unwrap();
    engine.step().unwrap();
    engine.release(first.sequence);
    assert_eq!(finish(&mut engine, &[turn])[0].finish_reason, FinishReason::Cancelled);
    assert!(matches!(
        engine.submit(behind(&first, row.ids.len() + 3, &[5], 3)),
        Err(EngineError::UnknownSequence(id)) if id == first.sequence
    ));
}

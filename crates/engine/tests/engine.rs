//! What the engine promises, on tiny checkpoints with random weights.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod vectors;

use std::sync::Arc;

use burn::Tensor;
use burn::module::Param;
use burn::tensor::Device;
use vectors::{Row, close, finish, fixture, grid};
use visionthink_engine::{
    Backend, EmbeddedEngine, EngineError, EngineOptions, Event, Past, Sampling, ScoreRequest, SequenceId, TurnReply,
    TurnRequest,
};
use visionthink_image::Patches;
use visionthink_model::{Config, Dtype, InitOptions, Model, ModelError, PatchEmbedInit};
use visionthink_protocol::{FinishReason, Tokenizer};

fn engine(max_rows: usize) -> EmbeddedEngine {
    fixture("qwen2_5_vl-a").engine(max_rows)
}

/// Prompts with no, one and two images.
fn prompts() -> Vec<Row> {
    let checkpoint = fixture("qwen2_5_vl-a");
    ["text_only", "one_image", "two_images"].map(|name| checkpoint.case(name).rows[0].clone()).to_vec()
}

fn request(row: &Row, sampling: Sampling, max_new_tokens: usize) -> TurnRequest {
    TurnRequest {
        new_images: row.images.clone(),
        logprobs: true,
        ..TurnRequest::new(row.ids.clone(), sampling, max_new_tokens)
    }
}

fn greedy(row: &Row, max_new_tokens: usize) -> TurnRequest {
    request(row, Sampling::greedy(), max_new_tokens)
}

fn generate(engine: &mut EmbeddedEngine, request: TurnRequest) -> TurnReply {
    let turn = engine.submit(request).unwrap();
    finish(engine, &[turn]).remove(0)
}

fn behind(reply: &TurnReply, tokens: usize, ids: &[u32], max_new_tokens: usize) -> TurnRequest {
    TurnRequest {
        past: Past::Sequence { id: reply.sequence, tokens },
        logprobs: true,
        ..TurnRequest::new(ids.to_vec(), Sampling::greedy(), max_new_tokens)
    }
}

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
fn requests_that_cannot_be_served_are_refused_and_leave_nothing_behind() {
    let prompts = prompts();
    let (text, image) = (&prompts[0], &prompts[1]);
    let mut engine = engine(2);
    let first = generate(&mut engine, greedy(text, 2));
    let vocabulary = engine.model().config().text.vocab_size as u32;
    let picture = |values: usize, grid| Arc::new(Patches { values: vec![0.0; values], grid });
    let images = |images: Vec<Arc<Patches>>| TurnRequest { new_images: images, ..greedy(image, 2) };
    let refused: Vec<(TurnRequest, &str)> = vec![
        (TurnRequest::new(vec![], Sampling::greedy(), 2), "the prompt is empty; a turn needs at least one new id"),
        (greedy(text, 0), "`max_new_tokens` is 0; a turn samples at least one token"),
        (request(text, Sampling { top_p: 2.0, ..Sampling::greedy() }, 2), "`top_p` is 2, expected above 0, at most 1"),
        (
            TurnRequest::new(vec![1, vocabulary], Sampling::greedy(), 2),
            "token id 1536 is outside the vocabulary of 1536",
        ),
        (images(vec![]), "15 image tokens in the text, the images ask for 0"),
        (images(vec![picture(4 * 1176, grid(2, 2))]), "15 image tokens in the text, the images ask for 1"),
        (
            images(vec![picture(6 * 1176, grid(2, 3))]),
            "image 0: grid 1x2x3 patches; sides must be positive multiples of 2",
        ),
        (images(vec![picture(1176, grid(2, 2))]), "pixel values are [1, 1176], the grids ask for [4, 1176]"),
        (
            TurnRequest { stop_texts: vec!["x".into()], ..greedy(text, 2) },
            "stop texts need a tokenizer, and this engine was made without one",
        ),
        (
            TurnRequest { past: Past::Sequence { id: SequenceId(99), tokens: 0 }, ..greedy(text, 2) },
            "sequence 99 is not there; it was released, or its turn has failed",
        ),
        (
            TurnRequest::new(vec![1; 4096], Sampling::greedy(), 2),
            "the prompt is 4096 tokens long; the model takes 4096, prompt and reply together",
        ),
    ];
    for (request, message) in refused {
        assert_eq!(engine.submit(request).unwrap_err().to_string(), message);
    }
    assert!(matches!(engine.submit_group(greedy(text, 2), 0), Err(EngineError::NoSamples)));
    assert!(engine.step().unwrap().is_empty(), "nothing was queued");

    let past = text.ids.len() + 2;
    let turn = engine.submit(behind(&first, past, &[1], 2)).unwrap();
    let error = engine.submit(behind(&first, past, &[1], 2)).unwrap_err();
    assert!(matches!(error, EngineError::SequenceBusy(id) if id == first.sequence));
    finish(&mut engine, &[turn]);

    let ids = text.ids.clone();
    for from in [0, ids.len()] {
        let error = engine.score(&[ScoreRequest { ids: ids.clone(), images: Vec::new(), from }]).unwrap_err();
        assert!(matches!(error, EngineError::ScoreRange { .. }));
    }
}

/// A random model with the sizes of a checkpoint, changed.
fn random_model(change: impl FnOnce(&mut Config)) -> Model {
    let mut config = Config::from_folder(&fixture("qwen2_5_vl-b").path).unwrap();
    change(&mut config);
    let options = InitOptions { seed: 3, patch_embed: PatchEmbedInit::Normal, dtype: Dtype::F32 };
    Model::init(config, &options, &Device::flex())
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
fn a_text_model_refuses_images() {
    let model = random_model(|config| config.vision = None);
    let mut engine = EmbeddedEngine::new(model, None, EngineOptions::default());
    let error = engine.submit(greedy(&prompts()[1], 1)).unwrap_err();
    assert!(matches!(error, EngineError::Model(ModelError::NoVisionTower)));
    assert_eq!(generate(&mut engine, TurnRequest::new(vec![1, 2], Sampling::greedy(), 3)).ids.len(), 3);
}

#[test]
fn logits_that_are_no_numbers_fail_their_turn_alone() {
    const BROKEN: u32 = 77;
    let mut model = random_model(|_| {});
    let weight = model.language_model.embed_tokens.weight.val();
    let width = weight.dims()[1];
    let nan = Tensor::full([1, width], f32::NAN, &Device::flex());
    let broken = weight.slice_assign([BROKEN as usize..BROKEN as usize + 1, 0..width], nan);
    model.language_model.embed_tokens.weight = Param::from_tensor(broken);
    let mut engine = EmbeddedEngine::new(model, None, EngineOptions::default());

    let avoid = |ids: Vec<u32>| TurnRequest {
        suppressed_ids: Arc::from([BROKEN]),
        ..TurnRequest::new(ids, Sampling::greedy(), 4)
    };
    let failing = engine.submit(avoid(vec![1, BROKEN, 2])).unwrap();
    let other = engine.submit(avoid(vec![1, 3, 2])).unwrap();
    let mut outcomes = Vec::new();
    while outcomes.len() < 2 {
        for event in engine.step().unwrap() {
            match event {
                Event::Token { turn, .. } => assert_eq!(turn, other),
                Event::Finished { turn, reply } => {
                    assert_eq!((turn, reply.ids.len()), (other, 4));
                    outcomes.push(turn);
                }
                Event::Failed { turn, error } => {
                    let message = error.to_string();
                    let expected = format!("turn {failing}: the logits of token 0 hold NaN at id 0; ");
                    assert!(turn == failing && message.starts_with(&expected), "{message}");
                    outcomes.push(turn);
                }
            }
        }
    }
    let again = generate(&mut engine, avoid(vec![1, 3, 2]));
    assert_eq!(again.ids.len(), 4, "the engine goes on");
}

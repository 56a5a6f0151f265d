//! Turns that go on without some of their visual tokens.

use burn::tensor::Device;
use visionthink_engine::{Backend, EmbeddedEngine, EngineError, EngineOptions, ModelFolder, ScoreRequest, TurnRequest};
use visionthink_model::{LoadOptions, ModelError};
use visionthink_prune::{FastV, Method, Pruning, VisionZip};

use crate::vectors::{Row, close, finish, fixture};
use crate::{behind, generate, greedy, prompts, random_model};

const LAYERS: usize = 4;

fn engine(pruning: Option<Pruning>) -> EmbeddedEngine {
    let options = EngineOptions { pruning, ..EngineOptions::default() };
    EmbeddedEngine::new(fixture("qwen2_5_vl-a").model(), None, options)
}

/// All methods at one share of the visual tokens.
fn methods(share: f64) -> impl Iterator<Item = Pruning> {
    Method::ALL.into_iter().map(move |method| method.at_share(share, LAYERS).unwrap())
}

/// Tokens of the images of a prompt.
fn images(row: &Row) -> Vec<usize> {
    row.images.iter().map(|image| image.grid.tokens(2)).collect()
}

#[test]
fn a_share_of_one_is_the_engine_without_pruning_bit_for_bit() {
    let prompts = prompts();
    let all: Vec<_> = prompts.iter().map(|row| generate(&mut engine(None), greedy(row, 12))).collect();
    for pruning in methods(1.0) {
        let mut engine = engine(Some(pruning));
        for (row, expected) in prompts.iter().zip(&all) {
            let found = generate(&mut engine, greedy(row, 12));
            assert_eq!(found.ids, expected.ids, "{:?}", engine.counters());
            assert_eq!(found.logprobs, expected.logprobs);
            let (found, mut expected) = (found.ledger, expected.ledger);
            // The scores of the vision tower are what VisionZip pays before it knows.
            assert!(found.flops >= expected.flops);
            expected.flops = found.flops;
            assert_eq!(found, expected);
        }
    }
}

#[test]
fn two_turns_of_a_batch_are_pruned_as_each_alone_and_counted_as_planned() {
    let prompts = prompts();
    let new = &prompts[1];
    let tail = |at: usize| [vec![30 + at as u32; 2 + at], new.ids.clone()].concat();
    for pruning in methods(0.6) {
        let second = |first: &visionthink_engine::TurnReply, at: usize| TurnRequest {
            new_images: new.images.clone(),
            ..behind(first, prompts[at].ids.len() + 6 + at, &tail(at), 9)
        };
        let mut together = engine(Some(pruning.clone()));
        let turns: Vec<_> =
            prompts.iter().enumerate().map(|(at, row)| together.submit(greedy(row, 6 + at)).unwrap()).collect();
        let firsts = finish(&mut together, &turns);
        let turns: Vec<_> =
            firsts.iter().enumerate().map(|(at, first)| together.submit(second(first, at)).unwrap()).collect();
        let seconds = finish(&mut together, &turns);
        let mut prefilled = 0;
        for (at, row) in prompts.iter().enumerate() {
            let mut engine = engine(Some(pruning.clone()));
            let first = generate(&mut engine, greedy(row, 6 + at));
            let reply = generate(&mut engine, second(&first, at));
            for (found, expected) in [(&firsts[at], &first), (&seconds[at], &reply)] {
                assert_eq!(found.ids, expected.ids, "{pruning:?}, row {at}");
                close("log-probabilities", &found.logprobs, &expected.logprobs, 1e-4).unwrap();
                assert_eq!(found.ledger, expected.ledger, "{pruning:?}, row {at}");
                assert_eq!(found.prefilled_tokens, expected.prefilled_tokens);
                assert_eq!(found.reused_tokens, expected.reused_tokens);
                prefilled += found.prefilled_tokens;
            }
            for (reply, sizes) in [(&first, images(row)), (&reply, images(new))] {
                let planned = pruning.visual_tokens(&sizes, LAYERS);
                assert_eq!(reply.ledger.visual_tokens, planned[0]);
                assert_eq!(reply.ledger.visual_kv_entries, planned.iter().sum::<usize>());
            }
            let dropped = images(row).iter().sum::<usize>() - first.ledger.visual_tokens;
            assert_eq!(first.prefilled_tokens, row.ids.len() - dropped);
            assert_eq!(reply.reused_tokens, row.ids.len() - dropped + first.ids.len() - 1);
        }
        assert_eq!(together.counters().prefilled_tokens, prefilled as u64);
    }
}

#[test]
fn fewer_tokens_are_fewer_operations_and_other_words() {
    let row = &prompts()[2];
    let all = generate(&mut engine(None), greedy(row, 12));
    for pruning in methods(0.5) {
        let found = generate(&mut engine(Some(pruning.clone())), greedy(row, 12));
        assert!(found.ledger.visual_kv_entries < all.ledger.visual_kv_entries, "{pruning:?}");
        assert_eq!(found.ledger.patches, all.ledger.patches, "{pruning:?}");
        assert_ne!(found.logprobs, all.logprobs, "{pruning:?}");
        // VisionZip's own scores weigh more in this tiny tower than what they save in the decoder.
        assert!(found.ledger.flops < all.ledger.flops || pruning.method() == Method::VisionZip, "{pruning:?}");
    }
}

#[test]
fn a_group_shares_its_pruned_prompt_and_a_reply_can_be_forgotten() {
    let row = &prompts()[2];
    for pruning in methods(0.5) {
        let mut engine = engine(Some(pruning.clone()));
        let alone = generate(&mut engine, greedy(row, 8));
        let turns = engine.submit_group(greedy(row, 8), 3).unwrap();
        for reply in finish(&mut engine, &turns) {
            assert_eq!(reply.ids, alone.ids);
            assert_eq!(reply.ledger, alone.ledger);
            close("log-probabilities", &reply.logprobs, &alone.logprobs, 1e-4).unwrap();
        }
        // Forgotten from the fourth id on, the same ids come again.
        let tail = alone.ids[3];
        let again = generate(&mut engine, behind(&alone, row.ids.len() + 3, &[tail], 4));
        assert_eq!(again.ids, alone.ids[4..], "{pruning:?}");
    }
}

#[test]
fn an_image_that_comes_again_is_cut_as_before_without_the_tower() {
    let row = &prompts()[1];
    let mut engine = engine(Some(Method::VisionZip.at_share(0.5, LAYERS).unwrap()));
    let first = generate(&mut engine, greedy(row, 6));
    let again = generate(&mut engine, greedy(row, 6));
    assert_eq!((again.ids, again.logprobs, again.ledger), (first.ids, first.logprobs, first.ledger));
    assert_eq!((engine.counters().images_encoded, engine.counters().images_reused), (1, 1));
}

#[test]
fn pruning_that_cannot_be_is_refused_before_anything_runs() {
    let checkpoint = fixture("qwen2_5_vl-a");
    let deep = Pruning::FastV(FastV { layer: 9, keep: 0.5 });
    let options = EngineOptions { pruning: Some(deep.clone()), ..EngineOptions::default() };
    let folder = ModelFolder::open(&checkpoint.path).unwrap();
    let expected = "`fastv`: `layer` is 9, expected 1 to 3: scores come from the layer in front of it";
    let error = folder.engine(&LoadOptions::default(), &Device::flex(), options).unwrap_err();
    assert_eq!(error.to_string(), expected);
    let error = engine(Some(deep)).submit(greedy(&prompts()[1], 2)).unwrap_err();
    assert_eq!(error.to_string(), expected);

    let windows = random_model(|config| config.vision.as_mut().unwrap().fullatt_block_indexes.clear());
    let zip = Pruning::VisionZip(VisionZip { dominant: 0.5, contextual: 0.0 });
    let options = EngineOptions { pruning: Some(zip), ..EngineOptions::default() };
    let mut engine = EmbeddedEngine::new(windows, None, options);
    let error = engine.submit(TurnRequest::new(vec![1], visionthink_engine::Sampling::greedy(), 1)).unwrap_err();
    assert!(matches!(error, EngineError::Model(ModelError::NoWholeImageBlock)), "{error}");
}

#[test]
fn scores_are_not_given_by_an_engine_that_drops_tokens() {
    let row = prompts()[1].clone();
    let mut engine = engine(Some(Method::Uniform.at_share(0.5, LAYERS).unwrap()));
    let error = engine.score(&[ScoreRequest { ids: row.ids, images: row.images, from: 3 }]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "this engine drops visual tokens (`uniform`), and scores are of the network that sees all; use an engine without pruning"
    );
}

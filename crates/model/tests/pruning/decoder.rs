//! FastV, SparseVLM and PyramidDrop inside the decoder.
//!
//! Hidden states behind the last norm are of order one; 2e-4 is what f32 and f64 may differ by after four layers.

use burn::Tensor;
use visionthink_model::{KvCache, Model, MropeBatch, MropePositions, PositionCursor, PrunedChunk, PrunedRow};
use visionthink_prune::{FastV, Method, Pruning, PyramidDrop, SparseVlm, Stage};

use crate::chunks::{Chunk, chunk, grid, model, token};
use crate::slow::{close, rows};
use crate::slow_decoder;

const LIMIT: f64 = 2e-4;

fn stages(pairs: &[(usize, f64)]) -> Vec<Stage> {
    pairs.iter().map(|(layer, keep)| Stage { layer: *layer, keep: *keep }).collect()
}

/// Every method at settings that drop something in a decoder of four layers.
fn methods() -> Vec<Pruning> {
    vec![
        Pruning::FastV(FastV { layer: 1, keep: 0.5 }),
        Pruning::FastV(FastV { layer: 3, keep: 0.2 }),
        Pruning::PyramidDrop(PyramidDrop { stages: stages(&[(1, 0.5), (2, 0.25), (3, 0.125)]) }),
        Pruning::PyramidDrop(PyramidDrop { stages: stages(&[(2, 0.3)]) }),
        Pruning::SparseVlm(SparseVlm { stages: stages(&[(1, 0.5), (2, 0.35), (3, 0.2)]) }),
        Pruning::SparseVlm(SparseVlm { stages: stages(&[(2, 0.25)]) }),
    ]
}

/// Chunks side by side over a cache, left-padded.
fn forward(
    model: &Model,
    chunks: &[&Chunk],
    pruning: Option<&Pruning>,
    cache: &mut KvCache,
) -> (Tensor<2>, Vec<PrunedRow>) {
    let positions: Vec<MropePositions> = chunks.iter().map(|chunk| chunk.positions.clone()).collect();
    let longest = positions.iter().map(MropePositions::len).max().unwrap();
    let padded = chunks.iter().map(|chunk| {
        let [tokens, width] = chunk.embeds.dims();
        let front = Tensor::<2>::zeros([longest - tokens, width], &chunk.embeds.device());
        let whole =
            if tokens == longest { chunk.embeds.clone() } else { Tensor::cat(vec![front, chunk.embeds.clone()], 0) };
        whole.unsqueeze_dim::<3>(0)
    });
    let embeds = Tensor::cat(padded.collect(), 0);
    let Some(pruning) = pruning else {
        return (
            Model::last_rows(model.forward(embeds, &MropeBatch::left_padded(&positions), Some(cache))),
            Vec::new(),
        );
    };
    let visual: Vec<Vec<usize>> = chunks.iter().map(|chunk| chunk.visual.clone()).collect();
    let chunk = PrunedChunk { positions: &positions, visual: &visual, pruning };
    let (hidden, found) = model.forward_pruned(embeds, chunk, cache).unwrap();
    (Model::last_rows(hidden), found)
}

/// A conversation in chunks: a picture and a question, a reply, a larger picture, a reply.
fn conversation(model: &Model, seed: u32) -> Vec<Chunk> {
    let mut cursor = PositionCursor::new();
    let mut chunks = vec![chunk(model, &mut cursor, &[grid(8, 12)], seed)];
    chunks.extend((0..3).map(|step| token(model, &mut cursor, 30 + 100 * step + seed)));
    chunks.push(chunk(model, &mut cursor, &[grid(16, 16), grid(4, 6)], seed + 1));
    chunks.extend((0..3).map(|step| token(model, &mut cursor, 60 + 90 * step + seed)));
    chunks
}

#[test]
fn two_turns_over_the_cache_keep_what_the_slow_form_keeps_and_say_what_it_says() {
    let model = model();
    let chunks = conversation(&model, 1);
    for pruning in methods() {
        let mut cache = model.new_cache(1);
        let expected = slow_decoder::run(&model, &chunks, Some(&pruning));
        for (number, chunk) in chunks.iter().enumerate() {
            let (hidden, found) = forward(&model, &[chunk], Some(&pruning), &mut cache);
            assert_eq!(found[0].cuts, expected.cuts[number], "{pruning:?}, chunk {number}");
            assert_eq!(found[0].visual_tokens, expected.visual[number], "{pruning:?}, chunk {number}");
            let so_far = slow_decoder::run(&model, &chunks[..=number], Some(&pruning));
            close(&format!("{pruning:?}, chunk {number}"), &rows(&hidden), &[so_far.hidden], LIMIT);
        }
        assert!(expected.cuts[0].len() == pruning.stages().len(), "every stage drops something");
    }
}

#[test]
fn the_slow_form_without_pruning_is_the_network() {
    let model = model();
    let chunks = conversation(&model, 2);
    let mut cache = model.new_cache(1);
    let last = chunks.iter().map(|chunk| forward(&model, &[chunk], None, &mut cache).0).last().unwrap();
    close("hidden states", &rows(&last), &[slow_decoder::run(&model, &chunks, None).hidden], LIMIT);
}

#[test]
fn the_cache_holds_what_is_counted_and_the_schedule_says_so_before() {
    let model = model();
    let layers = model.config().text.num_hidden_layers;
    let chunks = conversation(&model, 3);
    for pruning in methods() {
        let mut cache = model.new_cache(1);
        let mut held = vec![0; layers];
        for chunk in &chunks {
            let (_, found) = forward(&model, &[chunk], Some(&pruning), &mut cache);
            let text = chunk.positions.len() - chunk.visual.len();
            for (layer, held) in held.iter_mut().enumerate() {
                *held += text + found[0].visual_tokens[layer];
                assert_eq!(cache.tokens_in(layer, 0), *held, "{pruning:?}, layer {layer}");
            }
            assert_eq!(found[0].visual_tokens, pruning.visual_tokens(&[chunk.visual.len()], layers));
            assert_eq!(found[0].scoring_flops > 0.0, !found[0].cuts.is_empty());
        }
    }
}

#[test]
fn rows_of_a_batch_are_cut_as_they_are_alone_and_go_on_as_alone() {
    let model = model();
    let [a, b] = [4, 5].map(|seed| conversation(&model, seed));
    let mut cursor = PositionCursor::new();
    let plain = chunk(&model, &mut cursor, &[], 6);
    let small = chunk(&model, &mut PositionCursor::new(), &[grid(4, 4)], 8);
    for pruning in methods() {
        let alone = |chunks: &[&Chunk]| {
            let mut cache = model.new_cache(1);
            let passes: Vec<_> =
                chunks.iter().map(|chunk| forward(&model, &[chunk], Some(&pruning), &mut cache)).collect();
            (rows(&passes.last().unwrap().0), passes.last().unwrap().1[0].cuts.clone(), cache)
        };
        let mut cache = model.new_cache(4);
        let firsts = [&a[0], &b[4], &plain, &small];
        let (hidden, found) = forward(&model, &firsts, Some(&pruning), &mut cache);
        for (row, chunk) in firsts.iter().enumerate() {
            let (expected, cuts, single) = alone(&[*chunk]);
            assert_eq!(found[row].cuts, cuts, "{pruning:?}, row {row}");
            close("a row of a batch", &rows(&hidden)[row..=row], &expected, LIMIT);
            for layer in 0..4 {
                assert_eq!(cache.tokens_in(layer, row), single.tokens_in(layer, 0));
            }
        }
        // Two rows leave and meet one that nothing was dropped from, in a cache without runs of its own.
        let mut vanilla = model.new_cache(1);
        forward(&model, &[&b[0]], None, &mut vanilla);
        let mut left = cache.select(&[2, 0]);
        left.compact();
        let mut joined = KvCache::concat(&[vanilla, left]);
        let next = [&b[1], &token(&model, &mut cursor.clone(), 70), &a[1]];
        let (hidden, _) = forward(&model, &next, None, &mut joined);
        close("a row behind a cut", &rows(&hidden)[2..], &alone(&[&a[0], &a[1]]).0, LIMIT);
        close("a row of text", &rows(&hidden)[1..2], &alone(&[&plain, next[1]]).0, LIMIT);
        let expected = slow_decoder::run(&model, &b[..2], None).hidden;
        close("a row that kept all", &rows(&hidden)[..1], &[expected], LIMIT);
    }
}

#[test]
fn keeping_everything_is_the_pass_without_pruning_bit_for_bit() {
    let model = model();
    let chunks = conversation(&model, 7);
    for method in [Method::FastV, Method::SparseVlm, Method::PyramidDrop] {
        let pruning = method.at_share(1.0, 4).unwrap();
        let (mut cache, mut plain) = (model.new_cache(1), model.new_cache(1));
        for chunk in &chunks {
            let (hidden, found) = forward(&model, &[chunk], Some(&pruning), &mut cache);
            let (expected, _) = forward(&model, &[chunk], None, &mut plain);
            assert_eq!(rows(&hidden), rows(&expected), "{method}");
            assert!(found[0].cuts.is_empty() && found[0].scoring_flops == 0.0);
        }
        assert_eq!((cache.columns(), cache.bytes()), (plain.columns(), plain.bytes()));
    }
}

#[test]
fn a_reply_behind_a_cut_can_be_forgotten_again() {
    let model = model();
    let chunks = conversation(&model, 9);
    for pruning in methods() {
        let mut cache = model.new_cache(1);
        forward(&model, &[&chunks[0]], Some(&pruning), &mut cache);
        let before = cache.clone();
        forward(&model, &[&chunks[1]], None, &mut cache);
        forward(&model, &[&chunks[2]], None, &mut cache);
        cache.truncate(before.columns());
        let counts = |cache: &KvCache| (0..4).map(|layer| cache.tokens_in(layer, 0)).collect::<Vec<_>>();
        assert_eq!(counts(&cache), counts(&before));
        let mut fresh = before;
        let [again, expected] = [&mut cache, &mut fresh].map(|cache| forward(&model, &[&chunks[1]], None, cache).0);
        close("behind what was forgotten", &rows(&again), &rows(&expected), 0.0);
    }
}

#[test]
fn the_last_token_stays_even_where_a_prompt_ends_with_an_image() {
    let model = model();
    let whole = chunk(&model, &mut PositionCursor::new(), &[grid(8, 12)], 2);
    let length = whole.visual.last().unwrap() + 1;
    let prompt = Chunk {
        embeds: whole.embeds.narrow(0, 0, length),
        positions: whole.positions.select(&(0..length).collect::<Vec<_>>()),
        visual: whole.visual,
    };
    for pruning in methods() {
        let (_, found) = forward(&model, &[&prompt], Some(&pruning), &mut model.new_cache(1));
        assert_eq!(found[0].cuts.len(), pruning.stages().len());
        for cut in &found[0].cuts {
            assert_eq!(cut.kept.last(), Some(&(length - 1)), "{pruning:?}");
        }
    }
}

#[test]
fn settings_that_the_decoder_cannot_follow_are_refused() {
    let model = model();
    let prompt = chunk(&model, &mut PositionCursor::new(), &[grid(4, 4)], 1);
    let pruning = Pruning::FastV(FastV { layer: 4, keep: 0.5 });
    let (positions, visual) = ([prompt.positions.clone()], [prompt.visual.clone()]);
    let chunk = PrunedChunk { positions: &positions, visual: &visual, pruning: &pruning };
    let error = model.forward_pruned(prompt.embeds.unsqueeze_dim::<3>(0), chunk, &mut model.new_cache(1)).unwrap_err();
    assert_eq!(error.to_string(), "`fastv`: `layer` is 4, expected 1 to 3: scores come from the layer in front of it");
}

//! What has to come out equal whichever way it is computed.
//!
//! Hidden states behind the last norm are of order one; 2e-5 is a few hundred roundings of f32.

use crate::tiny::{self, IMAGE, MERGE, alone, close, grid, model, pixels, text_positions, words};
use burn::Tensor;
use visionthink_model::{KvCache, Model, MropeBatch, PositionCursor};

const LIMIT: f32 = 2e-5;

/// A cache that holds `ids`, and the hidden state of the last of them.
fn prefilled(model: &Model, ids: &[u32]) -> (KvCache, Tensor<2>) {
    let mut cache = model.new_cache(1);
    let embeds = model.embed(&[ids], None).unwrap();
    let hidden = model.forward(embeds, &MropeBatch::single(&text_positions(ids)), Some(&mut cache));
    (cache, Model::last_rows(hidden))
}

/// One more token for every row of a cache.
fn decode(model: &Model, cache: &mut KvCache, tokens: &[(u32, usize)]) -> Tensor<2> {
    let ids: Vec<[u32; 1]> = tokens.iter().map(|(id, _)| [*id]).collect();
    let coordinates: Vec<Option<u32>> = tokens.iter().map(|(_, at)| Some(*at as u32)).collect();
    let embeds = model.embed(&ids, None).unwrap();
    Model::last_rows(model.forward(embeds, &MropeBatch::decode(&coordinates), Some(cache)))
}

fn last_alone(model: &Model, ids: &[u32]) -> Tensor<2> {
    Model::last_rows(alone(model, ids))
}

#[test]
fn token_by_token_over_the_cache_equals_one_pass() {
    for tied in [true, false] {
        let model = model(tied);
        let ids = words(90, 1);
        let whole = alone(&model, &ids);
        let (mut cache, _) = prefilled(&model, &ids[..3]);
        for (at, id) in ids.iter().enumerate().skip(3) {
            let hidden = decode(&model, &mut cache, &[(*id, at)]);
            close(&hidden, &whole.clone().narrow(1, at, 1).reshape([1, 48]), LIMIT);
        }
        assert_eq!(cache.columns(), ids.len());
        assert_eq!(cache.tokens(0), ids.len());
    }
}

#[test]
fn a_padded_batch_equals_its_rows_alone() {
    let model = model(true);
    let rows = [words(11, 1), words(4, 2), words(7, 3)];
    let positions: Vec<_> = rows.iter().map(|ids| text_positions(ids)).collect();
    let mut cache = model.new_cache(3);
    let embeds = model.embed(&rows, None).unwrap();
    let hidden = model.forward(embeds, &MropeBatch::left_padded(&positions), Some(&mut cache));
    for (index, ids) in rows.iter().enumerate() {
        let padding = 11 - ids.len();
        close(&hidden.clone().narrow(0, index, 1).narrow(1, padding, ids.len()), &alone(&model, ids), LIMIT);
        assert_eq!(cache.tokens(index), ids.len());
    }
}

#[test]
fn forks_of_one_prefill_go_their_own_ways() {
    let model = model(true);
    let prompt = words(9, 1);
    let (one, _) = prefilled(&model, &prompt);
    let mut forks = one.repeat(3);
    assert_eq!((forks.batch(), one.batch()), (3, 1));
    let hidden = decode(&model, &mut forks, &[(5, 9), (6, 9), (7, 9)]);
    for (index, id) in [5, 6, 7].into_iter().enumerate() {
        let expected = last_alone(&model, &[prompt.clone(), vec![id]].concat());
        close(&hidden.clone().narrow(0, index, 1), &expected, LIMIT);
    }
    assert_eq!(one.columns(), 9, "the original is as it was");
}

#[test]
fn rows_join_and_leave_a_running_batch() {
    let model = model(false);
    let (long, short) = (words(12, 1), words(5, 2));
    let (first, _) = prefilled(&model, &long);
    let (second, _) = prefilled(&model, &short);
    let mut both = KvCache::concat(&[first, second, model.new_cache(1)]);
    assert_eq!((both.batch(), both.columns(), both.tokens(1), both.tokens(2)), (3, 12, 5, 0));

    let hidden = decode(&model, &mut both, &[(3, 12), (4, 5), (8, 0)]);
    close(&hidden.clone().narrow(0, 0, 1), &last_alone(&model, &[long.clone(), vec![3]].concat()), LIMIT);
    close(&hidden.clone().narrow(0, 1, 1), &last_alone(&model, &[short.clone(), vec![4]].concat()), LIMIT);
    close(&hidden.narrow(0, 2, 1), &last_alone(&model, &[8]), LIMIT);

    // The long row leaves; its columns go with it.
    let mut rest = both.select(&[1]);
    let before = rest.bytes();
    rest.compact();
    assert_eq!((rest.columns(), rest.tokens(0)), (6, 6));
    assert!(rest.bytes() < before);
    let hidden = decode(&model, &mut rest, &[(9, 6)]);
    close(&hidden, &last_alone(&model, &[short, vec![4, 9]].concat()), LIMIT);
}

#[test]
fn a_row_that_takes_no_part_in_a_step_is_not_changed_by_it() {
    let model = model(true);
    let (ids, other) = (words(6, 1), words(6, 2));
    let mut cache = KvCache::concat(&[prefilled(&model, &ids).0, prefilled(&model, &other).0]);
    let embeds = model.embed(&[[1], [2]], None).unwrap();
    model.forward(embeds, &MropeBatch::decode(&[None, Some(6)]), Some(&mut cache));
    assert_eq!((cache.tokens(0), cache.tokens(1)), (6, 7));
    let hidden = decode(&model, &mut cache, &[(4, 6), (5, 7)]);
    close(&hidden.clone().narrow(0, 0, 1), &last_alone(&model, &[ids, vec![4]].concat()), LIMIT);
    close(&hidden.narrow(0, 1, 1), &last_alone(&model, &[other, vec![2, 5]].concat()), LIMIT);
}

#[test]
fn a_truncated_cache_continues_from_the_cut() {
    let model = model(true);
    let ids = words(10, 1);
    let (mut cache, _) = prefilled(&model, &ids);
    cache.truncate(6);
    let hidden = decode(&model, &mut cache, &[(2, 6)]);
    close(&hidden, &last_alone(&model, &[ids[..6].to_vec(), vec![2]].concat()), LIMIT);
}

#[test]
fn an_emptied_cache_starts_again() {
    let model = model(true);
    let ids = words(5, 1);
    let (full, _) = prefilled(&model, &ids);
    let mut cut = full.clone();
    cut.truncate(0);
    let mut holes = model.new_cache(1);
    model.forward(model.embed(&[[1]], None).unwrap(), &MropeBatch::decode(&[None]), Some(&mut holes));
    holes.compact();
    for mut cache in [cut.clone(), holes, KvCache::concat(&[cut.clone()]), cut.repeat(1)] {
        assert_eq!((cache.columns(), cache.bytes()), (0, 0));
        close(&decode(&model, &mut cache, &[(9, 0)]), &last_alone(&model, &[9]), LIMIT);
    }
}

#[test]
fn images_of_a_batch_do_not_see_each_other() {
    let model = model(true);
    // 5 x 3 cells with windows of 2 x 2 cells, a single window, and a single cell.
    let grids = [grid(10, 6), grid(4, 4), grid(2, 2)];
    let together = model.encode_images(pixels(&grids, 1), &grids).unwrap();
    let (mut patch, mut token) = (0, 0);
    for image in grids {
        let own = pixels(&grids, 1).narrow(0, patch, image.patches());
        let tokens = image.tokens(MERGE);
        let found = model.encode_images(own, &[image]).unwrap();
        close(&together.clone().narrow(0, token, tokens), &found, LIMIT);
        patch += image.patches();
        token += tokens;
    }
}

#[test]
fn a_second_turn_with_an_image_over_the_cache_equals_one_pass() {
    let model = model(true);
    let grids = [grid(2, 4), grid(6, 4)];
    let images = model.encode_images(pixels(&grids, 3), &grids).unwrap();
    let first = [words(4, 1), vec![IMAGE; 2], words(5, 2)].concat();
    let second = [words(3, 3), vec![IMAGE; 6], words(2, 4)].concat();
    let whole = [first.clone(), second.clone()].concat();

    let positions = PositionCursor::new().advance(&whole, Some(IMAGE), &grids, MERGE).unwrap();
    let embeds = model.embed(&[&whole], Some(images.clone())).unwrap();
    let expected = model.forward(embeds, &MropeBatch::single(&positions), None);

    let (mut cache, mut cursor) = (model.new_cache(1), PositionCursor::new());
    for (ids, grid, rows, start) in [(&first, grids[0], 0..2, 0), (&second, grids[1], 2..8, first.len())] {
        let positions = cursor.advance(ids, Some(IMAGE), &[grid], MERGE).unwrap();
        let own = images.clone().narrow(0, rows.start, rows.len());
        let embeds = model.embed(&[ids], Some(own)).unwrap();
        let hidden = model.forward(embeds, &MropeBatch::single(&positions), Some(&mut cache));
        close(&hidden, &expected.clone().narrow(1, start, ids.len()), LIMIT);
    }
}

#[test]
fn a_tied_head_is_the_embedding_matrix() {
    let model = model(true);
    let ids = words(5, 1);
    let rows = model.embed(&[&ids], None).unwrap().reshape([5, 48]);
    let logits = model.logits(rows.clone());
    let own: Vec<f32> =
        ids.iter().enumerate().map(|(row, id)| tiny::values(&logits)[row * 64 + *id as usize]).collect();
    let squares = tiny::values(&rows.square().sum_dim(1));
    for (found, expected) in own.iter().zip(squares) {
        assert!((found - expected).abs() < 1e-4, "{found} and {expected}");
    }
}

#[test]
fn input_that_does_not_fit_is_refused() {
    let model = model(true);
    let message = |result: Result<Tensor<2>, visionthink_model::ModelError>| result.unwrap_err().to_string();
    let embed = |ids: &[u32], images| message(model.embed(&[ids], images).map(|x| x.reshape([1, 48])));
    assert_eq!(embed(&[1, 64], None), "token id 64 is outside the vocabulary of 64");
    let one = grid(2, 2);
    let image = model.encode_images(pixels(&[one], 1), &[one]).unwrap();
    assert_eq!(embed(&[1, 2], Some(image.clone())), "0 image tokens in the text, the images ask for 1");
    assert_eq!(embed(&[IMAGE, IMAGE], Some(image)), "2 image tokens in the text, the images ask for 1");
    assert_eq!(
        message(model.encode_images(pixels(&[grid(2, 3)], 1), &[grid(2, 3)])),
        "image 0: grid 1x2x3 patches; sides must be positive multiples of 2"
    );
    assert_eq!(
        message(model.encode_images(pixels(&[grid(2, 2)], 1), &[grid(2, 4)])),
        "pixel values are [4, 1176], the grids ask for [8, 1176]"
    );
}

//! VisionZip in front of the decoder.

use burn::Tensor;
use visionthink_model::{GridThw, Model, Trace, WindowOrder};
use visionthink_prune::VisionZip;

use crate::chunks::{MERGE, grid, model, pixels};
use crate::slow::{Rows, close, dot, largest, linear, norm, rotate, rows, softmax};

/// Epsilon of the tower's norms.
const EPS: f64 = 1e-6;

/// What is left of an image, from its tokens without pruning and the input of the source block.
fn slow(model: &Model, image: GridThw, pixels: Tensor<2>, zip: VisionZip) -> (Vec<usize>, Rows) {
    let vision = model.config().vision.as_ref().unwrap();
    let mut trace = Trace::default();
    let tokens = rows(&model.encode_images_traced(pixels, &[image], &mut trace).unwrap());
    let source = *vision.fullatt_block_indexes.iter().max().unwrap();
    let block = &model.visual.as_ref().unwrap().blocks[source];
    let order = WindowOrder::new(&[image], MERGE, vision.window_cells() as u32);
    let width = vision.head_dim();

    let qkv = linear(&block.attn.qkv, &norm(&block.norm1, EPS, &rows(&trace.vision_blocks[source - 1])));
    let part = |at: usize| -> Rows {
        qkv.iter().map(|row| row[at * vision.hidden_size..][..vision.hidden_size].to_vec()).collect()
    };
    let angles: Rows = order
        .permuted_coordinates()
        .iter()
        .map(|(row, column)| {
            let turn =
                |at: u32| (0..width / 4).map(move |j| f64::from(at) * 10_000_f64.powf(-4.0 * j as f64 / width as f64));
            turn(*row).chain(turn(*column)).collect()
        })
        .collect();
    let (mut q, mut k) = (part(0), part(1));
    rotate(&mut q, width, &angles);
    rotate(&mut k, width, &angles);

    let patches = q.len();
    let mut received = vec![0.0; patches];
    for query in &q {
        for head in 0..vision.num_heads {
            let own = |x: &[f64]| x[head * width..][..width].to_vec();
            let scores: Vec<f64> = k.iter().map(|key| dot(&own(query), &own(key)) / (width as f64).sqrt()).collect();
            for (sum, paid) in received.iter_mut().zip(softmax(&scores)) {
                *sum += paid / vision.num_heads as f64;
            }
        }
    }
    // Four patches a token, visited in the order of windows.
    let count = tokens.len();
    let (mut score, mut keys) = (vec![0.0; count], vec![vec![0.0; width]; count]);
    for (place, cell) in order.window_index.iter().enumerate() {
        for patch in 4 * place..4 * place + 4 {
            score[*cell as usize] += received[patch] / 4.0;
            for (at, value) in k[patch].iter().enumerate() {
                keys[*cell as usize][at % width] += value / (4 * vision.num_heads) as f64;
            }
        }
    }

    let dominant = largest(&score, (zip.dominant * count as f64) as usize);
    let rest: Vec<usize> = (0..count).filter(|token| !dominant.contains(token)).collect();
    let wanted = ((zip.contextual * count as f64) as usize).max(1);
    let targets: Vec<usize> = rest.iter().copied().step_by((rest.len() / wanted).max(1)).take(wanted).collect();
    let cosine =
        |a: usize, b: usize| dot(&keys[a], &keys[b]) / (dot(&keys[a], &keys[a]) * dot(&keys[b], &keys[b])).sqrt();
    let mut kept = [dominant, targets.clone()].concat();
    kept.sort_unstable();
    let best = |token: usize| {
        let similar = targets.iter().map(|target| cosine(token, *target)).collect::<Vec<_>>();
        targets[largest(&similar, 1)[0]]
    };
    let values = kept
        .iter()
        .map(|token| {
            let members: Vec<usize> =
                rest.iter().copied().filter(|other| !targets.contains(other) && best(*other) == *token).collect();
            let mean =
                |at: usize| members.iter().map(|member| tokens[*member][at]).sum::<f64>() / members.len().max(1) as f64;
            tokens[*token].iter().enumerate().map(|(at, value)| value + mean(at)).collect()
        })
        .collect();
    (kept, values)
}

#[test]
fn images_keep_and_merge_what_the_slow_form_does_each_by_itself() {
    let model = model();
    // Border windows, a single window, and several whole ones.
    let grids = [grid(10, 14), grid(6, 4), grid(16, 16)];
    for zip in [VisionZip { dominant: 0.45, contextual: 0.05 }, VisionZip { dominant: 0.2, contextual: 0.3 }] {
        let found = model.encode_images_zipped(pixels(&grids, 5), &grids, zip).unwrap();
        assert_eq!(found.len(), grids.len());
        let mut first = 0;
        for (image, found) in grids.into_iter().zip(found) {
            let own = pixels(&grids, 5).narrow(0, first, image.patches());
            first += image.patches();
            let (kept, values) = slow(&model, image, own, zip);
            assert_eq!(found.kept, kept);
            let (dominant, contextual) = zip.counts(image.tokens(MERGE));
            assert_eq!(found.kept.len(), dominant + contextual);
            close("rows", &rows(&found.rows), &values, 1e-4);
        }
    }
}

#[test]
fn a_dominant_share_of_one_is_the_tower_without_pruning_bit_for_bit() {
    let model = model();
    let grids = [grid(10, 14), grid(4, 4)];
    let all = model.encode_images(pixels(&grids, 2), &grids).unwrap();
    let zip = VisionZip { dominant: 1.0, contextual: 0.0 };
    let found = model.encode_images_zipped(pixels(&grids, 2), &grids, zip).unwrap();
    let joined: Rows = found.iter().flat_map(|image| rows(&image.rows)).collect();
    assert_eq!(joined, rows(&all));
}

#[test]
fn a_share_that_is_none_is_refused() {
    let model = model();
    let zip = VisionZip { dominant: 1.5, contextual: 0.0 };
    let error = model.encode_images_zipped(pixels(&[grid(4, 4)], 1), &[grid(4, 4)], zip).unwrap_err();
    assert_eq!(error.to_string(), "`visionzip`: `dominant` is 1.5, expected a share above 0 and up to 1");
}

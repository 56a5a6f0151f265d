//! Cases of one sequence: positions, tower, every recorded layer, logits, continuations.

use burn::Tensor;
use burn::tensor::{Int, TensorData};
use visionthink_model::{
    GridThw, KvCache, Model, MropeBatch, MropePositions, PositionCursor, Trace, WindowOrder, kernels, mrope_positions,
};

use crate::cases::Case;
use crate::files::Checkpoint;
use crate::generation::{self, Row};
use crate::report::{Run, values};

pub(crate) const VISION: f32 = 3e-5;
pub(crate) const STREAM: f32 = 5e-4;
pub(crate) const FINAL_NORM: f32 = 1e-4;
pub(crate) const LOGITS: f32 = 5e-4;
pub(crate) const LOG_PROBABILITY: f32 = 1e-4;

pub(crate) fn run(model: &Model, checkpoint: &Checkpoint, case: &Case) -> Run {
    let mut run = Run::new(&case.tensors.name);
    let (ids, grids) = (case.ids(), case.grids());
    let positions = compare_positions(&mut run, model, case, &ids, &grids);
    let images = compare_vision(&mut run, model, checkpoint, case, &grids);

    // One pass over everything.
    let mut trace = Trace::default();
    let mut cache = model.new_cache(1);
    let embeds = model.embed(&[&ids], images.clone()).unwrap();
    let hidden = model.forward_traced(embeds.clone(), &MropeBatch::single(&positions), Some(&mut cache), &mut trace);
    if case.tensors.has("lm.embeds") {
        run.tensor("lm.embeds", &embeds, case.tensors.floats("lm.embeds"), VISION);
    }
    for (index, layer) in trace.layers.iter().enumerate() {
        let name = format!("lm.layer{index}.out");
        if case.tensors.has(&name) {
            run.tensor(&name, layer, case.tensors.floats(&name), STREAM);
        }
    }
    if case.tensors.has("lm.final_norm") {
        run.tensor("lm.final_norm", &hidden, case.tensors.floats("lm.final_norm"), FINAL_NORM);
    }
    compare_logits(&mut run, model, case, &ids, hidden.clone(), LOGITS);

    // The same in two passes: what a second turn does.
    let (second_cache, second) = in_two_turns(model, &ids, &grids, images);
    let [_, tokens, width] = second.dims();
    let whole = hidden.clone().narrow(1, ids.len() - tokens, tokens);
    run.tensor("second turn over the cache", &second, &values(&whole), FINAL_NORM);
    run.equal("columns of the two caches", &[second_cache.columns()], &[cache.columns()]);

    let next = (ids.len() as i64 + i64::from(delta(case))) as u32;
    let last = model.logits(second.narrow(1, tokens - 1, 1).reshape([1, width]));
    for (prefix, penalty) in [("gen", 1.0), ("gen_rp", 1.3)] {
        if case.tensors.has(&format!("{prefix}.ids")) {
            let rows = vec![Row { ids: ids.clone(), next }];
            let cache = second_cache.clone();
            generation::compare(&mut run, model, cache, rows, last.clone(), (prefix, penalty), &case.tensors);
        }
    }
    run
}

/// The model in bfloat16: not comparable number by number, but no further from the float32 values than twice what the
/// reference implementation is in bfloat16.
pub(crate) fn run_bf16(model: &Model, checkpoint: &Checkpoint, case: &Case) -> Run {
    let mut run = Run::new(&format!("{} (bfloat16)", case.tensors.name));
    let (ids, grids) = (case.ids(), case.grids());
    let images = encode(model, checkpoint, case, &grids, &mut Trace::default());
    let (positions, _) = mrope_positions(&ids, model.config().image_token_id(), &grids, merge(model)).unwrap();
    let embeds = model.embed(&[&ids], images).unwrap();
    let hidden = model.forward(embeds, &MropeBatch::single(&positions), None);
    let logits = last_logits(model, hidden, 8);
    let exact = case.tensors.floats("logits_last8");
    let rounded = case.tensors.floats("bf16.logits_last8");
    let distance = exact.iter().zip(rounded).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    run.tensor("logits_last8", &logits, exact, 2.0 * distance);
    run
}

pub(crate) fn merge(model: &Model) -> u32 {
    model.config().vision.as_ref().map_or(1, |vision| vision.spatial_merge_size as u32)
}

fn delta(case: &Case) -> i32 {
    if case.tensors.has("rope_delta") { case.tensors.integers("rope_delta")[0] } else { 0 }
}

fn compare_positions(run: &mut Run, model: &Model, case: &Case, ids: &[u32], grids: &[GridThw]) -> MropePositions {
    let token = model.config().image_token_id();
    let (positions, found) = mrope_positions(ids, token, grids, merge(model)).unwrap();
    let all = [positions.t.clone(), positions.y.clone(), positions.x.clone()].concat();
    let expected = case.tensors.ids("position_ids");
    run.equal("position_ids", &all[..expected.len()], &expected);
    run.equal("rope_delta", &[found], &[i64::from(delta(case))]);
    positions
}

/// Image tokens of the case, with the tower compared on the way where it was recorded.
fn compare_vision(
    run: &mut Run,
    model: &Model,
    checkpoint: &Checkpoint,
    case: &Case,
    grids: &[GridThw],
) -> Option<Tensor<2>> {
    let mut trace = Trace::default();
    let images = encode(model, checkpoint, case, grids, &mut trace)?;
    let tensors = &case.tensors;
    let config = model.config().vision.as_ref()?;
    let order = WindowOrder::new(grids, merge(model), config.window_cells() as u32);
    run.equal("vision.window_index", &order.window_index, &tensors.ids("vision.window_index"));
    run.equal("vision.cu_window_seqlens", &order.cu_window_seqlens, &tensors.ids("vision.cu_window_seqlens"));
    run.equal("vision.cu_seqlens", &order.cu_seqlens, &tensors.ids("vision.cu_seqlens"));
    let coordinates: Vec<u32> = order.coordinates.iter().flat_map(|(row, column)| [*row, *column]).collect();
    run.equal("vision.position_hw", &coordinates, &tensors.ids("vision.position_hw"));

    let mut recorded = vec![("vision.patch_embed".to_string(), trace.patch_embed.clone()?)];
    recorded.push(("vision.last_block".into(), trace.vision_blocks.last()?.clone()));
    recorded.push(("vision.merged".into(), images.clone()));
    let blocks = trace.vision_blocks.iter().enumerate();
    recorded.extend(blocks.map(|(index, block)| (format!("vision.block{index}.out"), block.clone())));
    for (name, found) in recorded {
        if tensors.has(&name) {
            run.tensor(&name, &found, tensors.floats(&name), VISION);
        }
    }
    Some(images)
}

pub(crate) fn encode(
    model: &Model,
    checkpoint: &Checkpoint,
    case: &Case,
    grids: &[GridThw],
    trace: &mut Trace,
) -> Option<Tensor<2>> {
    let pixels = case.pixel_values(checkpoint, &model.device())?;
    Some(model.encode_images_traced(pixels, grids, trace).unwrap())
}

fn last_logits(model: &Model, hidden: Tensor<3>, count: usize) -> Tensor<2> {
    let [_, tokens, width] = hidden.dims();
    model.logits(hidden.narrow(1, tokens - count, count).reshape([count, width]))
}

/// The logits of the last positions and the log-probability of every token.
pub(crate) fn compare_logits(run: &mut Run, model: &Model, case: &Case, ids: &[u32], hidden: Tensor<3>, limit: f32) {
    let [_, tokens, width] = hidden.dims();
    run.tensor("logits_last8", &last_logits(model, hidden.clone(), 8), case.tensors.floats("logits_last8"), limit);
    let logits = model.logits(hidden.narrow(1, 0, tokens - 1).reshape([tokens - 1, width]));
    let targets: Vec<i64> = ids[1..].iter().map(|id| i64::from(*id)).collect();
    let targets = Tensor::<1, Int>::from_data(TensorData::new(targets, [tokens - 1]), &model.device());
    let found = kernels::cross_entropy_rows(logits, targets);
    run.tensor("token_logprobs", &found, case.tensors.floats("token_logprobs"), LOG_PROBABILITY);
}

/// Prefills the sequence up to its last image (or its middle), then the rest over the cache.
fn in_two_turns(model: &Model, ids: &[u32], grids: &[GridThw], images: Option<Tensor<2>>) -> (KvCache, Tensor<3>) {
    let (token, merge) = (model.config().image_token_id(), merge(model));
    let new_grids = usize::from(!grids.is_empty());
    let (old, new) = grids.split_at(grids.len() - new_grids);
    let last_image: usize = new.iter().map(|grid| grid.tokens(merge)).sum();
    let split = match ids.iter().rposition(|id| Some(*id) == token) {
        Some(end) => end + 1 - last_image,
        None => ids.len() / 2,
    };
    let images = images.map(|images| {
        let before = images.dims()[0] - last_image;
        let first = (before > 0).then(|| images.clone().narrow(0, 0, before));
        (first, images.narrow(0, before, last_image))
    });
    let (first, second) = images.map_or((None, None), |(first, second)| (first, Some(second)));

    let mut cursor = PositionCursor::new();
    let mut cache = model.new_cache(1);
    let mut pass = |ids: &[u32], grids: &[GridThw], images: Option<Tensor<2>>| {
        let positions = cursor.advance(ids, token, grids, merge).unwrap();
        let embeds = model.embed(&[ids], images).unwrap();
        model.forward(embeds, &MropeBatch::single(&positions), Some(&mut cache))
    };
    pass(&ids[..split], old, first);
    let hidden = pass(&ids[split..], new, second);
    (cache, hidden)
}

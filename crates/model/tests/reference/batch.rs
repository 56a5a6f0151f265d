//! Cases of several rows padded on the left.

use visionthink_model::{Model, MropeBatch, PositionCursor, Trace};

use crate::cases::Case;
use crate::files::Checkpoint;
use crate::generation::{self, Row};
use crate::report::Run;
use crate::single::{LOGITS, encode, merge};

pub(crate) fn run(model: &Model, checkpoint: &Checkpoint, case: &Case) -> Run {
    let mut run = Run::new(&case.tensors.name);
    let tensors = &case.tensors;
    let columns = tensors.shape("input_ids")[1];
    let mask = tensors.integers("attention_mask");
    let ids: Vec<Vec<u32>> = case
        .ids()
        .chunks(columns)
        .zip(mask.chunks(columns))
        .map(|(ids, mask)| ids.iter().zip(mask).filter(|(_, mask)| **mask == 1).map(|(id, _)| *id).collect())
        .collect();

    let mut grids = case.grids().into_iter();
    let token = model.config().image_token_id();
    let mut cursors = vec![PositionCursor::new(); ids.len()];
    let positions: Vec<_> = ids
        .iter()
        .zip(&mut cursors)
        .map(|(ids, cursor)| {
            // Images are one flat list in reading order; a row takes as many as its placeholders ask for.
            let mut missing = ids.iter().filter(|id| Some(**id) == token).count();
            let mut own = Vec::new();
            while missing > 0 {
                let grid = grids.next().unwrap();
                missing -= grid.tokens(merge(model));
                own.push(grid);
            }
            cursor.advance(ids, token, &own, merge(model)).unwrap()
        })
        .collect();
    let batch = MropeBatch::left_padded(&positions);
    // Text-only checkpoints record one axis and no delta.
    let expected = tensors.ids("position_ids");
    run.equal("position_ids", &batch.axes().concat()[..expected.len()], &expected);
    if tensors.has("rope_delta") {
        let deltas: Vec<i32> = cursors.iter().map(|cursor| cursor.delta() as i32).collect();
        run.equal("rope_delta", &deltas, tensors.integers("rope_delta"));
    }

    let images = encode(model, checkpoint, case, &case.grids(), &mut Trace::default());
    let mut cache = model.new_cache(ids.len());
    let hidden = model.forward(model.embed(&ids, images).unwrap(), &batch, Some(&mut cache));
    let logits = model.logits(Model::last_rows(hidden));
    run.tensor("logits_last", &logits, tensors.floats("logits_last"), LOGITS);

    for (prefix, penalty) in [("gen", 1.0), ("gen_rp", 1.3)] {
        if tensors.has(&format!("{prefix}.ids")) {
            let rows =
                ids.iter().zip(&cursors).map(|(ids, cursor)| Row { ids: ids.clone(), next: cursor.next() }).collect();
            generation::compare(&mut run, model, cache.clone(), rows, logits.clone(), (prefix, penalty), tensors);
        }
    }
    run
}

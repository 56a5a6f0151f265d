//! Prompts with images on the tiny checkpoint of the fixtures.

use std::path::Path;

use burn::Tensor;
use burn::tensor::{Device, TensorData};
use visionthink_model::{GridThw, LoadOptions, Model, MropePositions, PositionCursor};

pub(crate) const MERGE: u32 = 2;

pub(crate) fn model() -> Model {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/models/qwen2_5_vl-a");
    Model::load(&folder, &LoadOptions::default(), &Device::flex()).unwrap()
}

/// Ids that go through the decoder together.
#[derive(Clone)]
pub(crate) struct Chunk {
    pub(crate) embeds: Tensor<2>,
    pub(crate) positions: MropePositions,
    pub(crate) visual: Vec<usize>,
}

/// A text, and between its words images of so many patches.
pub(crate) fn chunk(model: &Model, cursor: &mut PositionCursor, grids: &[GridThw], seed: u32) -> Chunk {
    let pad = model.config().image_token_id().unwrap();
    let mut ids = words(3, seed);
    for (index, grid) in grids.iter().enumerate() {
        ids.extend(vec![pad; grid.tokens(MERGE)]);
        ids.extend(words(4 + 3 * index, seed + 7 * index as u32));
    }
    ids.extend(words(6, seed + 40));
    let images = (!grids.is_empty()).then(|| model.encode_images(pixels(grids, seed as usize), grids).unwrap());
    let positions = cursor.advance(&ids, Some(pad), grids, MERGE).unwrap();
    let visual = (0..ids.len()).filter(|place| ids[*place] == pad).collect();
    Chunk { embeds: model.embed(&[&ids], images).unwrap().squeeze_dim::<2>(0), positions, visual }
}

/// Distinct everyday ids.
fn words(count: usize, seed: u32) -> Vec<u32> {
    (0..count as u32).map(|at| 20 + (at * 37 + seed * 101 + at * at * 11) % 1400).collect()
}

/// One sampled id.
pub(crate) fn token(model: &Model, cursor: &mut PositionCursor, id: u32) -> Chunk {
    let positions = cursor.advance(&[id], None, &[], 1).unwrap();
    Chunk { embeds: model.embed(&[[id]], None).unwrap().squeeze_dim::<2>(0), positions, visual: Vec::new() }
}

/// Pixel values of images: blots of different size, so that patches differ.
pub(crate) fn pixels(grids: &[GridThw], seed: usize) -> Tensor<2> {
    let patches: usize = grids.iter().map(|grid| grid.patches()).sum();
    let values: Vec<f32> = (0..patches * 1176)
        .map(|at| {
            let (patch, value) = (at / 1176, at % 1176);
            let phase = (patch * patch * 13 + seed * 31) as f32;
            ((value as f32 * 0.01 * (1.0 + (patch % 5) as f32) + phase).sin() + (patch as f32 * 0.7).cos()) * 0.8
        })
        .collect();
    Tensor::from_data(TensorData::new(values, [patches, 1176]), &Device::flex())
}

pub(crate) fn grid(h: u32, w: u32) -> GridThw {
    GridThw { t: 1, h, w }
}

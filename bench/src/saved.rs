//! A checkpoint saved by this project, with values computed from it, for a peer to hold against its own.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result};
use burn::Tensor;
use burn::tensor::{Device, TensorData};
use safetensors::tensor::TensorView;
use safetensors::{Dtype as FileDtype, serialize_to_file};
use serde_json::json;
use visionthink_engine::ModelFolder;
use visionthink_model::{Adapter, Dtype, LoadOptions, MropeBatch, mrope_positions};

use crate::checkpoint::copy_companions;
use crate::workload::{expand, page};

const PROMPT: &str = "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>How tall is the second bar?<|im_end|>\n<|im_start|>assistant\n";

/// Loads `checkpoint`, saves it to `out` and adds `values.json` and `values.safetensors`; with an adapter also that, and the values are
/// computed with it.
pub(crate) fn save(checkpoint: &Path, out: &Path, adapter: Option<&Path>) -> Result<()> {
    let device = Device::flex();
    let folder = ModelFolder::open(checkpoint)?;
    let processor = folder.processor.as_ref().context("the checkpoint has no image processor")?;
    folder.load(&LoadOptions::default(), &device)?.save(out, Dtype::F32)?;
    copy_companions(checkpoint, out)?;

    // From the copy: what was saved is what is compared.
    let mut folder = ModelFolder::open(out)?;
    if let Some(adapter) = adapter {
        let saved = out.join("adapter");
        Adapter::read(adapter, &folder.config)?.write(&saved, &folder.config, Dtype::F32)?;
        folder = folder.with_adapter(&saved);
    }
    let model = folder.load(&LoadOptions::default(), &device)?;
    let picture = page(196, 140)?;
    fs_err::write(out.join("page.png"), picture.encode_png()?)?;
    let patches = processor.process(&picture)?;
    let image_token = folder.config.image_token_id().context("the checkpoint has no image token")?;
    let ids = expand(&folder.tokenizer, PROMPT, image_token, patches.grid.tokens(processor.merge_size))?;

    let shape = [patches.grid.patches(), processor.patch_values()];
    let pixels = Tensor::<2>::from_data(TensorData::new(patches.values.clone(), shape), &device);
    let images = model.encode_images(pixels, &[patches.grid])?;
    let (positions, _) = mrope_positions(&ids, Some(image_token), &[patches.grid], processor.merge_size)?;
    let embeds = model.embed(&[&ids], Some(images))?;
    let hidden = model.forward(embeds, &MropeBatch::single(&positions), None);
    let [_, tokens, width] = hidden.dims();
    let logits = model.logits(hidden.reshape([tokens, width]));
    let vocabulary = logits.dims()[1];
    let logits: Vec<f32> = logits.into_data().try_into_vec().map_err(|error| anyhow::anyhow!("{error:?}"))?;

    let grid = [patches.grid.t, patches.grid.h, patches.grid.w].map(i64::from);
    let ids: Vec<i64> = ids.into_iter().map(i64::from).collect();
    let bytes = [
        ("input_ids", FileDtype::I64, vec![ids.len()], little_endian(&ids, i64::to_le_bytes)),
        ("image_grid_thw", FileDtype::I64, vec![1, 3], little_endian(&grid, i64::to_le_bytes)),
        ("pixel_values", FileDtype::F32, shape.to_vec(), little_endian(&patches.values, f32::to_le_bytes)),
        ("logits", FileDtype::F32, vec![tokens, vocabulary], little_endian(&logits, f32::to_le_bytes)),
    ];
    let mut views = HashMap::new();
    for (name, dtype, shape, data) in &bytes {
        views.insert(*name, TensorView::new(*dtype, shape.clone(), data)?);
    }
    serialize_to_file(views, None, &out.join("values.safetensors"))?;
    let values = json!({"prompt": PROMPT, "images": ["page.png"]});
    fs_err::write(out.join("values.json"), format!("{values}\n"))?;
    Ok(())
}

fn little_endian<T: Copy, const N: usize>(values: &[T], bytes: impl Fn(T) -> [u8; N]) -> Vec<u8> {
    values.iter().flat_map(|value| bytes(*value)).collect()
}

//! Logits, loss and gradients that PyTorch computes with an adapter of PEFT, against a pass of this crate with the same adapter.
//!
//! The vectors are those of the folder `VISIONTHINK_REFERENCE`, or the project's fixtures: `lora`, made by `bench/peers/make_lora.py`.
#![expect(clippy::unwrap_used, reason = "a vector that cannot be read fails the test")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::Device;
use safetensors::SafeTensors;
use visionthink_image::{GridThw, Patches};
use visionthink_model::{Adapter, LoadOptions, Model};
use visionthink_train::config::{StepSection, Trainable};
use visionthink_train::{
    ImageTokens, MicroBatch, Parameters, Shown, Target, TargetKind, Transcript, backward, target_logits,
};

/// f32 on a CPU, as for the checkpoint without an adapter: logits up to 40 summed in another order.
const LOGITS: f32 = 5e-4;
const LOSS: f64 = 2e-5;
/// Of the norm of a gradient, as for those of the weights.
const GRADIENT: f64 = 1e-4;

fn root() -> PathBuf {
    let fixtures = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures");
    std::env::var_os("VISIONTHINK_REFERENCE").map_or_else(fixtures, PathBuf::from)
}

fn integers(tensors: &SafeTensors<'_>, name: &str) -> Vec<i32> {
    let data = tensors.tensor(name).unwrap();
    data.data().as_chunks::<4>().0.iter().map(|bytes| i32::from_le_bytes(*bytes)).collect()
}

fn floats(tensors: &SafeTensors<'_>, name: &str) -> Vec<f32> {
    let data = tensors.tensor(name).unwrap();
    data.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

/// The example with the labels of the loss as targets, or with its last eight tokens, whose logits are recorded.
fn batch(tensors: &SafeTensors<'_>, last_tokens: bool, image_tokens: ImageTokens) -> MicroBatch {
    let ids: Vec<u32> = integers(tensors, "input_ids").into_iter().map(|id| id as u32).collect();
    let target = |at: usize, id: u32| Target { at, id, weight: 1.0, kind: TargetKind::Answer };
    let targets = if last_tokens {
        // The token in front of a target predicts it; the last one predicts what is not there, and is left out.
        (ids.len() - 7..ids.len()).map(|at| target(at, ids[at])).collect()
    } else {
        let labels = integers(tensors, "labels").into_iter().enumerate().filter(|(_, label)| *label != -100);
        labels.map(|(at, label)| target(at, label as u32)).collect()
    };
    let grid = integers(tensors, "image_grid_thw");
    let grid = GridThw { t: grid[0] as u32, h: grid[1] as u32, w: grid[2] as u32 };
    let images = vec![Arc::new(Patches { values: floats(tensors, "pixel_values"), grid })];
    MicroBatch::collate(vec![Transcript { ids, targets, images, shown: Shown::Full }], image_tokens).unwrap()
}

/// Gradients of the adapter by the names that PEFT gives their tensors: the adapter written with gradients in the place of values.
fn by_file_name(model: &Model, adapter: &Adapter, gradients: &BTreeMap<String, Vec<f32>>) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let values = gradients.iter().map(|(path, values)| (path.as_str(), values.as_slice()));
    let of_gradients = Adapter::empty(adapter.settings()).with_values(model.config(), values);
    of_gradients.write(folder.path(), model.config(), visionthink_model::Dtype::F32).unwrap();
    fs_err::read(folder.path().join("adapter_model.safetensors")).unwrap()
}

#[test]
fn logits_loss_and_gradients_of_an_adapter_match() {
    let folder = root().join("lora");
    let checkpoint = root().join("models/qwen2_5_vl-a");
    if !folder.is_dir() || !checkpoint.is_dir() {
        assert!(std::env::var_os("VISIONTHINK_REFERENCE").is_some(), "the fixtures have an adapter");
        return;
    }
    let base = Model::load(&checkpoint, &LoadOptions::default(), &Device::flex().autodiff()).unwrap();
    let adapter = Adapter::read(&folder, base.config()).unwrap();
    let model = base.with_adapter(&adapter);
    let parameters = Parameters::of(&model, &Trainable::Prefixes(vec!["visual.merger.ln_q.".to_owned()])).unwrap();
    let model = parameters.write_into(model);
    let merge = model.config().vision.as_ref().unwrap().spatial_merge_size as u32;
    let image_tokens = ImageTokens { id: model.config().image_token_id(), merge };
    let (example, values) = (
        fs_err::read(checkpoint.join("cases/grad.safetensors")).unwrap(),
        fs_err::read(folder.join("values.safetensors")).unwrap(),
    );
    let (example, values) = (SafeTensors::deserialize(&example).unwrap(), SafeTensors::deserialize(&values).unwrap());

    let logits = target_logits(&model, &batch(&example, true, image_tokens)).unwrap();
    let [rows, vocabulary] = logits.dims();
    let (found, expected): (Vec<f32>, _) = (logits.try_to_vec_as().unwrap(), floats(&values, "logits_last8"));
    for (at, (found, expected)) in found.iter().zip(&expected[..rows * vocabulary]).enumerate() {
        assert!((found - expected).abs() <= LOGITS, "logit {at}: {found}, expected {expected}");
    }

    let batch = batch(&example, false, image_tokens);
    let (mut compared, mut largest) = (0, 0.0_f64);
    // What is kept for the way back, and how the targets are cut, change nothing.
    for (logit_chunk, activation_checkpointing) in [(512, false), (3, true)] {
        let step = StepSection {
            micro_batch: 1,
            workers: 1,
            clip_norm: 1.0,
            max_skipped: 0,
            logit_chunk,
            activation_checkpointing,
        };
        let pass = backward(&model, &parameters, &batch, &step, batch.weight()).unwrap();
        let loss = f64::from(floats(&values, "loss")[0]);
        assert!((pass.loss - loss).abs() <= LOSS * loss, "loss {}, expected {loss}", pass.loss);

        let names: Vec<String> = parameters.iter().map(|one| one.name.clone()).collect();
        let gradients: BTreeMap<String, Vec<f32>> = names.into_iter().zip(pass.gradients).collect();
        let file = by_file_name(&model, &adapter, &gradients);
        let gradients = SafeTensors::deserialize(&file).unwrap();
        let expected = values.names().into_iter().filter_map(|name| name.strip_prefix("grad."));
        compared = 0;
        for name in expected {
            let (found, expected) = (floats(&gradients, name), floats(&values, &format!("grad.{name}")));
            let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>().sqrt();
            let size = norm(&mut expected.iter().map(|value| f64::from(*value)));
            let away = norm(&mut found.iter().zip(&expected).map(|(found, expected)| f64::from(found - expected)));
            assert!(size > 0.0 && away <= GRADIENT * size, "{name}: {away:e} away, norm {size:e}");
            largest = largest.max(away / size);
            compared += 1;
        }
        assert_eq!(compared, parameters.len(), "every learning parameter has a recorded gradient");
    }
    println!("reference lora/values.safetensors: {compared} cases, {compared} passed");
    println!("largest difference of a gradient, of its norm: {largest:.1e}");
}

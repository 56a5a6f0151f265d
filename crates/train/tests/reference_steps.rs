//! The losses of PyTorch's AdamW over recorded steps, against a step of this crate: pass, gradients, clipping, optimizer.
//!
//! The vectors are those of the folder `VISIONTHINK_REFERENCE`, or the project's fixtures: every `models/*/cases/grad.json` of an
//! architecture that this program knows.
#![expect(clippy::unwrap_used, reason = "a vector that cannot be read fails the test")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::Device;
use safetensors::SafeTensors;
use visionthink_image::{GridThw, Patches};
use visionthink_model::{LoadOptions, Model, ModelError};
use visionthink_train::config::{AllParameters, OptimizerSection, StepSection, Trainable};
use visionthink_train::{
    ImageTokens, MicroBatch, Optimizer, Parameters, Shown, Target, TargetKind, Transcript, Workers, step,
};

/// As the README of the vectors suggests for losses of AdamW steps in f32.
const LOSS: f64 = 1e-3;
/// The first loss has seen no step.
const FIRST_LOSS: f64 = 2e-5;
/// Norms are as far off as the losses whose gradients they are, relative to norms between 10 and 300.
const NORM: f64 = 1e-2;

fn root() -> PathBuf {
    let fixtures = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures");
    std::env::var_os("VISIONTHINK_REFERENCE").map_or_else(fixtures, PathBuf::from)
}

fn integers(tensors: &SafeTensors<'_>, name: &str) -> Vec<i32> {
    let data = tensors.tensor(name).unwrap();
    data.data().as_chunks::<4>().0.iter().map(|bytes| i32::from_le_bytes(*bytes)).collect()
}

/// The one example of a case. Labels are -100 where nothing is to be learned; the mean over the others is the loss.
fn transcript(tensors: &SafeTensors<'_>) -> Transcript {
    let ids: Vec<u32> = integers(tensors, "input_ids").into_iter().map(|id| id as u32).collect();
    let targets = integers(tensors, "labels")
        .into_iter()
        .enumerate()
        .filter(|(_, label)| *label != -100)
        .map(|(at, label)| Target { at, id: label as u32, weight: 1.0, kind: TargetKind::Answer })
        .collect();
    let images = tensors.tensor("pixel_values").map_or_else(
        |_| Vec::new(),
        |pixels| {
            let grid = integers(tensors, "image_grid_thw");
            let grid = GridThw { t: grid[0] as u32, h: grid[1] as u32, w: grid[2] as u32 };
            let values = pixels.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
            vec![Arc::new(Patches { values, grid })]
        },
    );
    Transcript { ids, targets, images, shown: Shown::Full }
}

fn numbers(value: &serde_json::Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

/// Losses and gradient norms of the recorded number of steps.
fn run(model: Model, transcript: Transcript, settings: &serde_json::Value) -> (Vec<f64>, Vec<f64>) {
    let merge = model.config().vision.as_ref().map_or(1, |vision| vision.spatial_merge_size as u32);
    let image_tokens = ImageTokens { id: model.config().image_token_id(), merge };
    let batches = [MicroBatch::collate(vec![transcript], image_tokens).unwrap()];
    let number = |name: &str| settings[name].as_f64().unwrap();
    let betas = numbers(&settings["betas"]);
    let optimizer = OptimizerSection {
        lr: number("lr"),
        betas: [betas[0], betas[1]],
        eps: number("eps"),
        weight_decay: number("weight_decay"),
        decay_norms_and_biases: true,
        lr_factors: Vec::new(),
        muon: None,
    };
    let mut parameters = Parameters::of(&model, &Trainable::All(AllParameters::All)).unwrap();
    let mut optimizer = Optimizer::new(optimizer, &parameters);
    let mut workers = Workers::new(parameters.write_into(model), 1).unwrap();
    let settings_of_step = StepSection {
        micro_batch: 1,
        workers: 1,
        clip_norm: number("clip_grad_norm"),
        max_skipped: 0,
        logit_chunk: 512,
        activation_checkpointing: false,
    };
    let steps = numbers(&settings["loss_before_step"]).len();
    (0..steps)
        .map(|_| {
            let outcome =
                step(&mut workers, &mut parameters, &mut optimizer, &batches, 1.0, &settings_of_step).unwrap();
            (outcome.loss, outcome.gradient_norm)
        })
        .unzip()
}

#[test]
fn losses_of_adamw_steps_match() {
    let mut compared = 0;
    for entry in fs_err::read_dir(root().join("models")).unwrap() {
        let folder = entry.unwrap().path();
        let case = folder.join("cases/grad.json");
        if !case.is_file() {
            continue;
        }
        let model = match Model::load(&folder, &LoadOptions::default(), &Device::flex().autodiff()) {
            Err(ModelError::UnknownArchitecture { .. }) => continue,
            loaded => loaded.unwrap(),
        };
        let json: serde_json::Value = serde_json::from_str(&fs_err::read_to_string(&case).unwrap()).unwrap();
        let bytes = fs_err::read(case.with_extension("safetensors")).unwrap();
        let transcript = transcript(&SafeTensors::deserialize(&bytes).unwrap());
        let (losses, norms) = run(model, transcript, &json["adamw"]);

        let expected = numbers(&json["adamw"]["loss_before_step"]);
        assert!((losses[0] - expected[0]).abs() <= FIRST_LOSS, "{}: {losses:?}, expected {expected:?}", case.display());
        for (loss, expected) in losses.iter().zip(&expected) {
            assert!((loss - expected).abs() <= LOSS, "{}: loss {loss}, expected {expected}", case.display());
        }
        for (norm, expected) in norms.iter().zip(numbers(&json["adamw"]["grad_norm_before_clip"])) {
            assert!((norm - expected).abs() <= NORM * expected, "{}: norm {norm}, expected {expected}", case.display());
        }
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        println!("reference models/{name}/cases/grad.json: 1 cases, 1 passed");
        compared += 1;
    }
    assert!(compared > 0 || std::env::var_os("VISIONTHINK_REFERENCE").is_some(), "the fixtures have cases");
}

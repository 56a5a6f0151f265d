//! Values that transformers 5.23 computed from tiny checkpoints, against this crate.
//!
//! The vectors are those of the folder `VISIONTHINK_REFERENCE`, or the project's fixtures. Every checkpoint folder and
//! every case found there is run. Limits are those of the vectors' README for float32 on a CPU: vision output 3e-5,
//! residual stream 5e-4, last norm 1e-4, logits 5e-4, log-probabilities 1e-4, loss 2e-5, gradients 1e-4 relative,
//! losses of AdamW steps 1e-3; ids, positions and window tables are exact.

#![expect(clippy::unwrap_used, reason = "a vector that cannot be read fails the test")]
#![expect(clippy::print_stdout, reason = "the report of the comparison is the output of this test")]

mod batch;
mod cases;
mod files;
mod generation;
mod gradients;
mod report;
mod single;
mod windows;

use burn::tensor::Device;
use files::{Checkpoint, Root};
use visionthink_model::{Dtype, LoadOptions, Model};

/// f32 on the CPU.
fn load(checkpoint: &Checkpoint) -> Model {
    Model::load(&checkpoint.folder, &LoadOptions { dtype: Dtype::F32 }, &Device::flex()).unwrap()
}

#[test]
fn single_sequences_match_layer_by_layer() {
    let root = Root::find();
    let mut ran = report::Runs::default();
    for checkpoint in root.checkpoints() {
        let model = load(&checkpoint);
        for case in checkpoint.cases().into_iter().filter(|case| !case.is_batch() && !case.is_gradient()) {
            ran.push(single::run(&model, &checkpoint, &case));
        }
    }
    ran.finish(&root);
}

#[test]
fn a_padded_batch_matches_row_by_row() {
    let root = Root::find();
    let mut ran = report::Runs::default();
    for checkpoint in root.checkpoints() {
        let model = load(&checkpoint);
        for case in checkpoint.cases().into_iter().filter(cases::Case::is_batch) {
            ran.push(batch::run(&model, &checkpoint, &case));
        }
    }
    ran.finish(&root);
}

#[test]
fn loss_gradients_and_optimizer_steps_match() {
    let root = Root::find();
    let mut ran = report::Runs::default();
    for checkpoint in root.checkpoints() {
        for case in checkpoint.cases().into_iter().filter(cases::Case::is_gradient) {
            ran.push(gradients::run(&checkpoint, &case));
        }
    }
    ran.finish(&root);
}

#[test]
fn window_tables_match() {
    let root = Root::find();
    let mut ran = report::Runs::default();
    for (json, tensors) in root.window_tables() {
        ran.push(windows::run(&json, &tensors));
    }
    ran.finish(&root);
}

#[test]
fn bfloat16_is_as_close_to_float32_as_the_reference_in_bfloat16() {
    let root = Root::find();
    let mut ran = report::Runs::default();
    for checkpoint in root.checkpoints() {
        let options = LoadOptions { dtype: Dtype::Bf16 };
        let cases = checkpoint.cases().into_iter().filter(|case| case.tensors.has("bf16.logits_last8"));
        let cases: Vec<_> = cases.collect();
        if cases.is_empty() {
            continue;
        }
        let model = Model::load(&checkpoint.folder, &options, &Device::flex()).unwrap();
        for case in cases {
            ran.push(single::run_bf16(&model, &checkpoint, &case));
        }
    }
    ran.finish(&root);
}

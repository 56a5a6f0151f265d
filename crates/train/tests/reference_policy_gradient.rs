//! The GRPO loss of two-turn rollouts and the gradient of every parameter against PyTorch: `bench/peers/policy_gradient.py` made the file.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::Device;
use safetensors::SafeTensors;
use serde_json::Value;
use visionthink_image::{GridThw, Patches};
use visionthink_model::{Dtype, LoadOptions, Model, parameters};
use visionthink_train::config::{AllParameters, StepSection, Trainable};
use visionthink_train::grpo::{
    Experience, PolicyBatch, PolicyPass, SampledTokens, UpdateSettings, policy_batches, policy_pass, target_log_probs,
};
use visionthink_train::policy::{Aggregation, KlEstimator, PolicySection, TokenRows, TokenShares};
use visionthink_train::{ImageTokens, Parameters, Shown, Target, TargetKind, Transcript};

/// f32 on both sides, in another order of summation, through four layers and the vision tower: transformers' own two variants of attention
/// differ by some 1e-5 here. Of gradients relative to the norm of the parameter's.
const TOLERANCE: f64 = 1e-4;
/// Log-probabilities, absolute: the logits are of the order of ten.
const LOG_PROBABILITY: f64 = 5e-5;

/// The folder of vectors, and whether it is the project's own.
fn root() -> (PathBuf, bool) {
    match std::env::var_os("VISIONTHINK_REFERENCE") {
        Some(folder) => (folder.into(), false),
        None => (Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures"), true),
    }
}

struct Fixture {
    json: Value,
    tensors: HashMap<String, Vec<f64>>,
    checkpoint: PathBuf,
}

impl Fixture {
    /// `None` where a foreign folder has no such file.
    fn read() -> Option<Self> {
        let (root, own) = root();
        let path = root.join("grpo/two_turn.safetensors");
        if !own && !path.is_file() {
            return None;
        }
        let json: Value =
            serde_json::from_str(&fs_err::read_to_string(root.join("grpo/two_turn.json")).unwrap()).unwrap();
        let bytes = fs_err::read(path).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let checkpoint = root.join("models").join(json["checkpoint"].as_str().unwrap());
        Some(Self {
            tensors: tensors.iter().map(|(name, view)| (name.to_string(), numbers(&view))).collect(),
            checkpoint,
            json,
        })
    }

    fn number(&self, pointer: &str) -> f64 {
        self.json.pointer(pointer).and_then(Value::as_f64).unwrap_or_else(|| panic!("no `{pointer}`"))
    }

    fn list(&self, key: &str) -> Vec<f64> {
        serde_json::from_value(self.json[key].clone()).unwrap()
    }

    fn rows(&self, name: &str) -> TokenRows {
        (0..self.list("advantages").len()).map(|row| self.tensors[&format!("{name}.{row}")].clone()).collect()
    }

    /// The patches of the low image and of the full one.
    fn images(&self) -> Vec<Arc<Patches>> {
        let grids: Vec<[u32; 3]> = serde_json::from_value(self.json["grids"].clone()).unwrap();
        let (mean, std) = (self.list("image_mean"), self.list("image_std"));
        let mut levels = self.tensors["levels"].iter();
        let width = 1176;
        grids
            .into_iter()
            .map(|[t, h, w]| {
                let count = (t * h * w) as usize * width;
                let normalise = |(at, level): (usize, &f64)| {
                    let channel = at % width / (width / 3);
                    ((level / 255.0 - mean[channel]) / std[channel]) as f32
                };
                let values = levels.by_ref().take(count).enumerate().map(normalise).collect();
                Arc::new(Patches { values, grid: GridThw { t, h, w } })
            })
            .collect()
    }

    fn experiences(&self) -> Vec<Experience> {
        let images = self.images();
        let shown = self.list("images");
        let (ids, targets) = (self.rows("ids"), self.rows("targets"));
        let experience = |(row, advantage): (usize, &f64)| {
            let ids: Vec<u32> = ids[row].iter().map(|id| *id as u32).collect();
            let target = |at: &f64| {
                let at = *at as usize;
                Target { at, id: ids[at], weight: 1.0, kind: TargetKind::Answer }
            };
            let targets: Vec<Target> = targets[row].iter().map(target).collect();
            let images = images[..shown[row] as usize].to_vec();
            let shown = if images.len() > 1 { Shown::Resized } else { Shown::Direct };
            let advantages = vec![*advantage; targets.len()];
            Experience { transcript: Transcript { ids, targets, images, shown }, advantages, call_tokens: 0 }
        };
        self.list("advantages").iter().enumerate().map(experience).collect()
    }

    fn settings(&self, model: &Model, logit_chunk: usize, activation_checkpointing: bool) -> UpdateSettings {
        UpdateSettings {
            policy: PolicySection {
                clip_low: self.number("/settings/clip_low"),
                clip_high: self.number("/settings/clip_high"),
                kl_estimator: KlEstimator::K3,
                kl_coefficient: self.number("/settings/kl_coefficient"),
                entropy_coefficient: self.number("/settings/entropy_coefficient"),
                aggregation: Aggregation::SeqMeanTokenMean,
                split_turns: false,
                epochs: 1,
                mini_batches: 1,
            },
            temperature: self.number("/settings/temperature"),
            step: StepSection {
                micro_batch: 5,
                workers: 1,
                clip_norm: 1.0,
                max_skipped: 0,
                logit_chunk,
                activation_checkpointing,
            },
            image_tokens: ImageTokens { id: model.config().image_token_id(), merge: 2 },
            seed: 0,
            generation: 0,
        }
    }
}

fn numbers(view: &safetensors::tensor::TensorView<'_>) -> Vec<f64> {
    let words = || view.data().chunks_exact(4).map(|bytes| <[u8; 4]>::try_from(bytes).unwrap());
    match view.dtype() {
        safetensors::Dtype::U8 => view.data().iter().map(|byte| f64::from(*byte)).collect(),
        safetensors::Dtype::I32 => words().map(|bytes| f64::from(i32::from_le_bytes(bytes))).collect(),
        safetensors::Dtype::F32 => words().map(|bytes| f64::from(f32::from_le_bytes(bytes))).collect(),
        other => panic!("unexpected dtype {other:?}"),
    }
}

fn close(what: &str, found: f64, expected: f64, allowed: f64) {
    assert!(found.is_finite(), "{what} is {found}");
    let difference = (found - expected).abs();
    assert!(difference <= allowed, "{what} is {found}, expected {expected}: off by {difference:e} of {allowed:e}");
}

fn all_close(what: &str, found: &[f64], expected: &[f64], allowed: f64) {
    assert_eq!(found.len(), expected.len(), "numbers of {what}");
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        close(&format!("{what}[{at}]"), *found, *expected, allowed);
    }
}

/// As `signs` of the script.
fn sign(seed: u64, index: usize) -> f64 {
    let mixed = (index as u64 + 1 + (seed << 32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    if mixed >> 63 == 1 { 1.0 } else { -1.0 }
}

fn compare_gradients(fixture: &Fixture, model: &Model, learning: &Parameters, pass: &PolicyPass) {
    let list = parameters(model.config());
    assert_eq!(fixture.json["gradients"].as_object().unwrap().len(), list.len(), "parameters");
    for (parameter, gradient) in learning.iter().zip(&pass.gradients) {
        let entry = list.iter().find(|one| one.path == parameter.name).unwrap();
        let name = entry.new_file_name();
        let gradient: Vec<f64> = entry.to_file_layout(gradient.clone()).into_iter().map(f64::from).collect();
        let expected = &fixture.json["gradients"][&name];
        let norm = expected["norm"].as_f64().unwrap_or_else(|| panic!("no gradient of {name}"));
        assert!(norm > 0.0, "{name} has no part in the loss");
        let found = gradient.iter().map(|value| value * value).sum::<f64>().sqrt();
        close(&format!("norm of {name}"), found, norm, TOLERANCE * norm);
        for (seed, product) in (0..).zip(expected["products"].as_array().unwrap()) {
            let found = gradient.iter().enumerate().map(|(at, value)| value * sign(seed, at)).sum();
            // The signs are random, so the product of an error with them is of the size of the error's norm; three times that is rare.
            close(&format!("product {seed} of {name}"), found, product.as_f64().unwrap(), 3.0 * TOLERANCE * norm);
        }
        if let Some(exact) = fixture.tensors.get(&format!("grad.{name}")) {
            all_close(&name, &gradient, exact, TOLERANCE * norm);
        } else {
            let sample = &fixture.tensors[&format!("sample.{name}")];
            let place = |at: usize| gradient[at * gradient.len() / sample.len()];
            let found: Vec<f64> = (0..sample.len()).map(place).collect();
            all_close(&name, &found, sample, TOLERANCE * norm);
        }
    }
}

/// The numbers of all tokens of a batch that holds all rollouts.
fn sampled_tokens(fixture: &Fixture, rows: &[usize], settings: &UpdateSettings) -> SampledTokens {
    let in_order = |all: TokenRows| -> TokenRows { rows.iter().map(|row| all[*row].clone()).collect() };
    let advantages = in_order(fixture.experiences().into_iter().map(|one| one.advantages).collect());
    let mask = advantages.iter().map(|row| vec![1.0; row.len()]).collect();
    let shares = TokenShares::of(&mask, settings.policy.aggregation);
    SampledTokens {
        advantages: advantages.concat(),
        old_log_probs: Some(in_order(fixture.rows("old")).concat()),
        ref_log_probs: Some(in_order(fixture.rows("reference")).concat()),
        loss_shares: shares.loss.concat(),
        mean_shares: shares.mean.concat(),
    }
}

fn one_batch(fixture: &Fixture, settings: &UpdateSettings) -> PolicyBatch {
    policy_batches(&fixture.experiences(), &[0, 1, 2, 3, 4], 5, settings.image_tokens).unwrap().remove(0)
}

#[test]
fn the_gradient_of_the_loss_on_two_turn_rollouts_is_pytorchs() {
    let Some(fixture) = Fixture::read() else { return };
    let device = Device::flex();
    let options = LoadOptions { dtype: Dtype::F32 };
    let plain = Model::load(&fixture.checkpoint, &options, &device).unwrap();
    let model = Model::load(&fixture.checkpoint, &options, &device.autodiff()).unwrap();
    let learning = Parameters::of(&model, &Trainable::All(AllParameters::All)).unwrap();

    // All logits at once, in chunks that end inside rows, and with every block computed twice.
    for (logit_chunk, activation_checkpointing) in [(1000, false), (7, false), (1000, true)] {
        let settings = fixture.settings(&model, logit_chunk, activation_checkpointing);
        let batch = one_batch(&fixture, &settings);
        let log_probs = fixture.rows("log_probs");
        let expected: Vec<f64> = batch.rows.iter().flat_map(|row| log_probs[*row].clone()).collect();
        let current = target_log_probs(&plain, &batch.micro, &settings).unwrap();
        all_close("log_probs", &current, &expected, LOG_PROBABILITY);

        let tokens = sampled_tokens(&fixture, &batch.rows, &settings);
        let pass = policy_pass(&model, &learning, &batch.micro, &tokens, &settings).unwrap();
        let near = |what: &str, found: f64, expected: f64| {
            close(what, found, expected, TOLERANCE * expected.abs().max(0.1));
        };
        near("policy_gradient", pass.loss.policy_gradient, fixture.number("/parts/policy_gradient"));
        near("kl", pass.loss.kl, fixture.number("/parts/kl"));
        let clipped = fixture.number("/parts/clipped_low") + fixture.number("/parts/clipped_high");
        near("clip_fraction", pass.loss.clip_fraction, clipped / fixture.number("/parts/tokens"));
        assert!(pass.entropy.is_finite() && pass.entropy > 0.0);
        compare_gradients(&fixture, &model, &learning, &pass);
    }
    println!("reference grpo/two_turn.safetensors: 1 cases, 1 passed");
}

#[test]
fn blocks_computed_twice_give_the_same_gradients_whatever_learns() {
    let Some(fixture) = Fixture::read() else { return };
    for prefix in ["visual.merger", "visual.patch_embed", "language_model.layers.1", "language_model.norm"] {
        let options = LoadOptions { dtype: Dtype::F32 };
        let model = Model::load(&fixture.checkpoint, &options, &Device::flex().autodiff()).unwrap();
        let learning = Parameters::of(&model, &Trainable::Prefixes(vec![prefix.into()])).unwrap();
        let model = learning.write_into(model);
        let gradients = |activation_checkpointing| {
            let settings = fixture.settings(&model, 50, activation_checkpointing);
            let batch = one_batch(&fixture, &settings);
            let tokens = sampled_tokens(&fixture, &batch.rows, &settings);
            policy_pass(&model, &learning, &batch.micro, &tokens, &settings).unwrap().gradients.concat()
        };
        let (once, twice) = (gradients(false), gradients(true));
        let largest = once.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
        assert!(largest.is_finite() && largest > 0.0, "{prefix}: {largest}");
        for (once, twice) in once.iter().zip(&twice) {
            // The same f32 operations on the same numbers; sums of a gradient may be taken in another order.
            assert!((once - twice).abs() <= 1e-5 * largest, "{prefix}: {once} and {twice} of {largest}");
        }
    }
}

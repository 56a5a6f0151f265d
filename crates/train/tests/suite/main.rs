//! The trainer on tiny real models.
#![expect(clippy::unwrap_used, reason = "in a test an error is a failure")]

mod checkpoint_judge;
mod configs;
mod credit;
mod curate;
mod divergence;
mod grpo;
mod judged;
mod lora;
mod memory;
mod runs;
#[path = "../../../judge/tests/judge/server.rs"]
#[expect(dead_code, reason = "the tests of the judge use more of it")]
mod server;
mod transcripts;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use burn::tensor::Device;
use visionthink_train::{Event, Report, Start, TrainConfig, TrainError, train};

/// The folder that paths of shipped run files begin at.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A checkpoint with every structural feature, four layers and 64 wide.
fn tiny_checkpoint() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/models/qwen2_5_vl-a")
}

/// Six steps of two stages on the tiny checkpoint, written below `out`.
fn tiny_run(out: &Path) -> TrainConfig {
    let text = format!(
        r#"
        [run]
        name = "tiny"
        seed = 5
        out = "{}"

        [model]
        trainable = "all"
        checkpoint = "{}"

        [data]
        profile = "compact"
        threads = 1
        synthetic = {{ families = ["scene", "document"], seed = 1, eval_seed = 2 }}

        [loss]
        answer_weight = 1.0
        tag_weight = 0.2
        blind_weight = 0.05

        [optimizer]
        lr = 1e-3
        betas = [0.9, 0.98]
        eps = 1e-8
        weight_decay = 0.01
        decay_norms_and_biases = false
        lr_factors = [{{ prefix = "visual.patch_embed.", factor = 0.5 }}]

        [schedule]
        warmup_steps = 2
        hold_steps = 1
        decay = "cosine"
        min_ratio = 0.1

        [step]
        micro_batch = 2
        workers = 1
        clip_norm = 1.0
        max_skipped = 2

        [checkpoint]
        every = 2
        keep = 2

        [log]
        every = 1
        eval_every = 3
        eval_questions = 2

        [[stage]]
        name = "close-ups"
        steps = 2
        batch_size = 4
        questions_per_image = 2
        resize_share = 0.5
        close_up_share = 1.0
        mixture = {{ full = 1.0, low = 0.0, adaptive = 0.0 }}
        hard_share = {{ full = 0.5, low = 0.0, adaptive = 0.5 }}

        [[stage]]
        name = "mixed"
        steps = 4
        batch_size = 4
        questions_per_image = 2
        resize_share = 0.5
        close_up_share = 0.5
        mixture = {{ full = 1.0, low = 1.0, adaptive = 2.0 }}
        hard_share = {{ full = 0.5, low = 0.0, adaptive = 0.5 }}
        "#,
        out.display(),
        tiny_checkpoint().display(),
    );
    TrainConfig::from_toml(&text, Path::new("tiny.toml")).unwrap()
}

/// Runs until the end or until `stop_at` steps are done.
fn run(config: &TrainConfig, start: Start, stop_at: Option<u64>) -> Result<Report, TrainError> {
    let stop = AtomicBool::new(false);
    train(config, &Device::flex(), start, &stop, &mut |event| {
        if let Event::Step { step, .. } = event
            && Some(step) == stop_at
        {
            stop.store(true, Ordering::Relaxed);
        }
    })
}

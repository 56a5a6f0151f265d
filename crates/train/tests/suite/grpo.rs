//! Whole runs of reinforcement, from the embedded model that imitation made.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use burn::tensor::Device;
use visionthink_train::grpo::{GrpoConfig, GrpoEvent, GrpoReport, train_policy};
use visionthink_train::{Start, TrainError};

use crate::tiny_checkpoint;

/// Three steps of four groups of four.
fn small_run(out: &Path) -> GrpoConfig {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let file = root.join("configs/micro-grpo.toml");
    let text = fs_err::read_to_string(&file).unwrap();
    let text = text.replace("assets/micro-base", &root.join("assets/micro-base").to_string_lossy());
    let mut config = GrpoConfig::from_toml(&text, &file).unwrap();
    config.run.out = out.to_path_buf();
    config.rollout.steps = 3;
    config.rollout.groups = 4;
    config.rollout.group_size = 4;
    config.schedule.warmup_steps = 0;
    config.schedule.hold_steps = 1;
    config.step.micro_batch = 8;
    config.checkpoint.every = 2;
    config.log.eval_questions = 3;
    config
}

fn run(config: &GrpoConfig, start: Start, stop_behind: Option<u64>) -> Result<GrpoReport, TrainError> {
    let stop = AtomicBool::new(false);
    train_policy(config, &Device::flex(), start, &stop, &mut |event| {
        if let GrpoEvent::Step { step, .. } = event {
            stop.store(stop_behind == Some(step), Ordering::Relaxed);
        }
    })
}

#[test]
fn a_resumed_run_has_the_rewards_and_the_weights_of_an_uninterrupted_one() {
    let folder = tempfile::tempdir().unwrap();
    let whole = run(&small_run(&folder.path().join("whole")), Start::Fresh, None).unwrap();
    assert_eq!((whole.step, whole.rewards.len()), (3, 3));
    assert!(whole.rewards.iter().all(|reward| reward.is_finite() && *reward > 0.0), "{:?}", whole.rewards);

    let config = small_run(&folder.path().join("parts"));
    let first = run(&config, Start::Fresh, Some(1)).unwrap();
    let second = run(&config, Start::Resume, None).unwrap();
    assert_eq!([first.rewards, second.rewards.clone()].concat(), whole.rewards);
    assert_eq!(second.evaluation, whole.evaluation);
    let weights = |report: &GrpoReport| fs_err::read(report.checkpoint.join("model.safetensors")).unwrap();
    assert!(weights(&second) == weights(&whole), "the weights differ");
    assert!(second.checkpoint.join("tokenizer.json").is_file());
    let card = fs_err::read_to_string(second.checkpoint.join("visionthink.json")).unwrap();
    assert!(card.contains("compact"), "{card}");
}

#[test]
fn a_run_is_not_resumed_with_other_settings() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = small_run(folder.path());
    run(&config, Start::Fresh, Some(1)).unwrap();
    config.policy.clip_high = 0.3;
    config.log.every = 7;
    let error = run(&config, Start::Resume, None).unwrap_err().to_string();
    assert!(error.contains("`policy.clip_high` was `0.2` and is `0.3`"), "{error}");
    assert!(!error.contains("log.every"), "{error}");
}

#[test]
fn a_model_whose_answers_are_all_worth_the_same_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = small_run(folder.path());
    // Random weights: nothing is ever right.
    config.model.checkpoint = Some(tiny_checkpoint());
    config.rollout.max_new_tokens = 4;
    config.rollout.max_generations = 2;
    config.log.eval_questions = 0;
    let error = run(&config, Start::Fresh, None).unwrap_err();
    assert!(matches!(error, TrainError::NoSpread { step: 1, generations: 2, rollouts: 32 }), "{error}");
}

#[test]
fn all_problems_of_a_run_file_are_reported_at_once() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = fs_err::read_to_string(root.join("configs/micro-grpo.toml")).unwrap();
    let text = text
        .replace("group_size = 8", "group_size = 1")
        .replace("temperature = 1.0", "temperature = 0.0")
        .replace("profile = \"compact\"", "profile = \"zoo\"")
        .replace("mode = \"adaptive\"", "mode = \"low\"");
    let error = GrpoConfig::from_toml(&text, Path::new("run.toml")).unwrap_err().to_string();
    for key in ["rollout.group_size", "rollout.temperature", "data.profile", "rollout.mode"] {
        assert!(error.contains(key), "{key}: {error}");
    }
}

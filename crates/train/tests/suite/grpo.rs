//! Whole runs of reinforcement, from the embedded model that imitation made.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use burn::tensor::Device;
use visionthink_image::DecodeOptions;
use visionthink_protocol::{Decision, View};
use visionthink_reward::{Accuracy, Credit, LengthPenalty, Overlong};
use visionthink_train::grpo::{GrpoConfig, GrpoEvent, GrpoReport, read_samples, train_policy};
use visionthink_train::policy::Aggregation;
use visionthink_train::{Start, TrainError};

use crate::{root, tiny_checkpoint};

/// Three steps of four groups of four.
pub(crate) fn small_run(out: &Path) -> GrpoConfig {
    let root = root();
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

pub(crate) fn run(config: &GrpoConfig, start: Start, stop_behind: Option<u64>) -> Result<GrpoReport, TrainError> {
    let stop = AtomicBool::new(false);
    train_policy(config, &Device::flex(), start, &stop, &mut |event| {
        if let GrpoEvent::Step { step, .. } = event {
            stop.store(stop_behind == Some(step), Ordering::Relaxed);
        }
    })
}

/// The same with four optimizer steps a generation, advantages by turn, and little memory.
fn run_with_every_option(out: &Path) -> GrpoConfig {
    let mut config = small_run(out);
    config.policy.epochs = 2;
    config.policy.mini_batches = 2;
    config.policy.split_turns = true;
    config.policy.aggregation = Aggregation::TokenMean;
    config.advantage.credit = Credit::Turns { tool_weight: 0.3 };
    config.advantage.overlong = Overlong::Soft(LengthPenalty { expected: 8, buffer: 8, penalty: 0.1 });
    config.step.logit_chunk = 30;
    config.step.activation_checkpointing = true;
    config
}

#[test]
fn a_resumed_run_has_the_rewards_and_the_weights_of_an_uninterrupted_one() {
    resumed_is_uninterrupted(small_run);
}

#[test]
fn so_has_one_with_several_updates_a_generation() {
    resumed_is_uninterrupted(run_with_every_option);
}

fn resumed_is_uninterrupted(settings: fn(&Path) -> GrpoConfig) {
    let folder = tempfile::tempdir().unwrap();
    let whole = run(&settings(&folder.path().join("whole")), Start::Fresh, None).unwrap();
    assert_eq!((whole.step, whole.rewards.len()), (3, 3));
    assert!(whole.rewards.iter().all(|reward| reward.is_finite() && *reward > 0.0), "{:?}", whole.rewards);

    let config = settings(&folder.path().join("parts"));
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
fn beyond_the_first_update_the_policy_is_no_longer_the_one_that_sampled() {
    let folder = tempfile::tempdir().unwrap();
    let mut outcomes = Vec::new();
    for (name, epochs) in [("once", 1), ("twice", 2)] {
        let mut config = small_run(&folder.path().join(name));
        (config.rollout.steps, config.log.eval_questions) = (1, 0);
        // Far enough in one step that ratios leave the clip range.
        (config.policy.epochs, config.optimizer.lr) = (epochs, 1e-2);
        train_policy(&config, &Device::flex(), Start::Fresh, &AtomicBool::new(false), &mut |event| {
            if let GrpoEvent::Step { outcome, .. } = event {
                outcomes.push(*outcome);
            }
        })
        .unwrap();
    }
    let [once, twice] = outcomes.as_slice() else { panic!("two steps") };
    assert_eq!((once.updates, once.clip_fraction, once.approximate_kl), (1, 0.0, 0.0));
    assert_eq!((twice.updates, twice.skipped), (2, 0));
    assert!(twice.clip_fraction > 0.0 && twice.approximate_kl != 0.0, "{twice:?}");
    assert_eq!(once.tokens, twice.tokens);
}

#[test]
fn a_run_leaves_events_for_tensorboard_and_rollouts_to_look_at() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = small_run(folder.path());
    config.log.sample_every = 2;
    let mut sampled = Vec::new();
    train_policy(&config, &Device::flex(), Start::Fresh, &AtomicBool::new(false), &mut |event| {
        if let GrpoEvent::Sampled(file) = event {
            sampled.push(file.to_path_buf());
        }
    })
    .unwrap();
    let rollouts = config.folder().join("rollouts");
    assert_eq!(
        sampled,
        [rollouts.join("step-2.jsonl"), rollouts.join("step-3.jsonl")],
        "every second step, and the last"
    );

    let lines = read_samples(&sampled[0]).unwrap();
    assert_eq!(lines.len(), 4 * config.rollout.group_size, "four questions with every rollout of each");
    for line in &lines {
        let reward = line.reward;
        assert!((reward.total - (reward.accuracy + reward.format - reward.penalty)).abs() < 1e-12, "{line:?}");
        assert_eq!(line.accuracy == Accuracy::Correct, reward.accuracy > 0.0, "{line:?}");
        assert_eq!(line.images.len(), if line.decision == Decision::Resize { 2 } else { 1 }, "{line:?}");
        assert!(!line.turns.is_empty() && !line.question.is_empty(), "{line:?}");
        for image in &line.images {
            let picture = visionthink_image::open(&rollouts.join(&image.file), &DecodeOptions::default()).unwrap();
            assert_eq!(picture.width, if image.view == View::Low { 56 } else { 112 });
        }
    }
    for group in lines.chunk_by(|a, b| a.group == b.group) {
        let sum: f64 = group.iter().map(|line| line.advantage).sum();
        assert!(sum.abs() < 1e-6, "advantages of a group are about its own mean: {sum}");
    }

    let events = fs_err::read_dir(config.folder().join("tensorboard")).unwrap();
    let bytes: Vec<u8> = events.flat_map(|event| fs_err::read(event.unwrap().path()).unwrap()).collect();
    for tag in ["train/reward", "train/calls/hard", "policy/kl", "seconds/rollout", "eval/adaptive/accuracy"] {
        assert!(bytes.windows(tag.len()).any(|window| window == tag.as_bytes()), "{tag} is in no event");
    }
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
fn the_general_recipe_learns_from_full_images_without_the_tool() {
    let folder = tempfile::tempdir().unwrap();
    let file = root().join("configs/tiny-general.toml");
    let text = fs_err::read_to_string(&file).unwrap();
    let text = text.replace("assets/micro-base", &root().join("assets/micro-base").to_string_lossy());
    let mut config = GrpoConfig::from_toml(&text, &file).unwrap();
    config.run.out = folder.path().to_path_buf();
    let report = run(&config, Start::Fresh, None).unwrap();
    assert_eq!((report.step, report.rewards.len()), (2, 2));
    let evaluation = report.evaluation.unwrap();
    assert_eq!(evaluation.adaptive.rollouts, 0, "no tool is on offer");
    assert!(evaluation.full.rollouts > 0);
    assert_eq!(evaluation.full.image_tokens, evaluation.full.full_image_tokens);
    assert!(evaluation.record().scalars.iter().all(|(_, value)| value.is_finite()), "{:?}", evaluation.record());
}

#[test]
fn a_rule_about_calls_is_refused_where_no_tool_is_offered_and_a_tool_where_the_profile_has_none() {
    let text = fs_err::read_to_string(root().join("configs/micro-grpo.toml")).unwrap();
    let problems = |from: &str, to: &str| {
        GrpoConfig::from_toml(&text.replace(from, to), Path::new("run.toml")).unwrap_err().to_string()
    };
    let full = problems("mode = \"adaptive\"", "mode = \"full\"");
    assert!(full.contains("`reward.control` is a rule about calls, expected `{ rule = \"never\" }`"), "{full}");
    let general = problems("profile = \"compact\"", "profile = \"general\"");
    assert!(general.contains("profile `general` has no tool"), "{general}");
}

#[test]
fn all_problems_of_a_run_file_are_reported_at_once() {
    let root = root();
    let text = fs_err::read_to_string(root.join("configs/micro-grpo.toml")).unwrap();
    let text = text
        .replace("group_size = 8", "group_size = 1")
        .replace("temperature = 1.0", "temperature = 0.0")
        .replace("profile = \"compact\"", "profile = \"zoo\"")
        .replace("mode = \"adaptive\"", "mode = \"low\"")
        .replace("mini_batches = 1", "mini_batches = 0")
        .replace("credit = \"trajectory\"", "credit = { turns = { tool_weight = -1.0 } }");
    let error = GrpoConfig::from_toml(&text, Path::new("run.toml")).unwrap_err().to_string();
    for key in
        ["rollout.group_size", "rollout.temperature", "data.profile", "rollout.mode", "mini_batches", "tool_weight"]
    {
        assert!(error.contains(key), "{key}: {error}");
    }
}

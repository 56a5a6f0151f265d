//! Whole runs: resuming, determinism, what is written.

use burn::tensor::Device;
use visionthink_model::{LoadOptions, Model};
use visionthink_train::config::{AllParameters, LrFactor, Trainable};
use visionthink_train::{Parameters, Start, TrainError};

use crate::{run, tiny_checkpoint, tiny_run};

#[test]
fn a_resumed_run_has_the_losses_of_an_uninterrupted_one() {
    let folder = tempfile::tempdir().unwrap();
    let whole = run(&tiny_run(&folder.path().join("whole")), Start::Fresh, None).unwrap();
    assert_eq!((whole.step, whole.losses.len()), (6, 6));

    let config = tiny_run(&folder.path().join("parts"));
    let first = run(&config, Start::Fresh, Some(3)).unwrap();
    assert_eq!((first.step, first.total_steps), (3, 6));
    assert!(first.checkpoint.ends_with("checkpoints/step-3"), "{}", first.checkpoint.display());
    let second = run(&config, Start::Resume, None).unwrap();
    assert_eq!([first.losses, second.losses].concat(), whole.losses);
    assert_eq!(second.evaluation, whole.evaluation);
    for name in ["tokenizer.json", "preprocessor_config.json"] {
        assert!(second.checkpoint.join(name).is_file(), "{name}");
    }
    let card = fs_err::read_to_string(second.checkpoint.join("visionthink.json")).unwrap();
    assert!(card.contains("compact"), "{card}");

    let metrics = |name: &str| fs_err::read_to_string(folder.path().join(name).join("tiny/metrics.jsonl")).unwrap();
    let numbers = |text: String| -> Vec<(serde_json::Value, serde_json::Value)> {
        let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        lines.map(|line| (line["step"].clone(), line["train/loss"].clone())).collect()
    };
    assert_eq!(numbers(metrics("parts")), numbers(metrics("whole")));
}

#[test]
fn the_same_seed_gives_the_same_losses_from_any_number_of_loader_threads() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = tiny_run(&folder.path().join("one"));
    let one = run(&config, Start::Fresh, Some(4)).unwrap();
    config.run.out = folder.path().join("three");
    config.data.threads = 3;
    assert_eq!(run(&config, Start::Fresh, Some(4)).unwrap().losses, one.losses);
    config.run.out = folder.path().join("other-seed");
    config.run.seed = 6;
    assert_ne!(run(&config, Start::Fresh, Some(4)).unwrap().losses, one.losses);
}

#[test]
fn workers_and_micro_batches_change_rounding_only() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = tiny_run(&folder.path().join("one"));
    let one = run(&config, Start::Fresh, Some(4)).unwrap().losses;
    config.run.out = folder.path().join("two");
    config.step.workers = 2;
    config.step.micro_batch = 1;
    let two = run(&config, Start::Fresh, Some(4)).unwrap().losses;
    for (one, two) in one.iter().zip(&two) {
        // f32 sums in another order, through four steps.
        assert!((one - two).abs() < 1e-3 * one, "{one} and {two}");
    }
}

#[test]
fn a_run_leaves_its_settings_its_metrics_and_the_newest_checkpoints() {
    let folder = tempfile::tempdir().unwrap();
    let config = tiny_run(folder.path());
    let report = run(&config, Start::Fresh, None).unwrap();
    let here = folder.path().join("tiny");
    let resolved = visionthink_train::TrainConfig::from_file(&here.join("config.toml")).unwrap();
    assert_eq!(resolved, config);

    let mut names: Vec<String> = fs_err::read_dir(here.join("checkpoints"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["latest", "step-4", "step-6"]);
    for name in
        ["config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja", "preprocessor_config.json"]
    {
        assert!(report.checkpoint.join(name).is_file(), "{name}");
    }
    assert_eq!(fs_err::read_dir(here.join("tensorboard")).unwrap().count(), 1);

    let text = fs_err::read_to_string(here.join("metrics.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 6 + 2, "six steps and two evaluations");
    assert!(lines[0]["train/loss"].is_f64() && lines[0]["speed/images_per_second"].is_f64(), "{}", lines[0]);
    let evaluation = lines.iter().find(|line| line.get("eval/full/easy").is_some()).unwrap();
    let probability = evaluation["eval/resize_probability/hard"].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&probability));
}

#[test]
fn a_run_is_not_started_over_and_not_resumed_from_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let config = tiny_run(folder.path());
    assert!(matches!(run(&config, Start::Resume, None), Err(TrainError::NothingToResume { .. })));
    run(&config, Start::Fresh, Some(1)).unwrap();
    assert!(matches!(run(&config, Start::Fresh, None), Err(TrainError::RunExists { .. })));
    let mut other = config;
    other.run.seed = 99;
    let error = run(&other, Start::Resume, None).unwrap_err();
    assert!(matches!(&error, TrainError::ResumeDiffers { keys, .. } if keys.len() == 1), "{error}");
}

#[test]
fn what_a_killed_run_left_behind_its_newest_checkpoint_is_cleared_by_the_next_save() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = tiny_run(folder.path());
    config.checkpoint.keep = 1;
    run(&config, Start::Fresh, Some(2)).unwrap();
    let checkpoints = config.folder().join("checkpoints");
    // Renamed, but `latest` does not name it yet; and half written.
    for name in ["step-4", ".step-5.tmp"] {
        fs_err::create_dir(checkpoints.join(name)).unwrap();
    }
    let report = run(&config, Start::Resume, Some(3)).unwrap();
    assert!(report.checkpoint.ends_with("step-3") && report.checkpoint.is_dir(), "{}", report.checkpoint.display());
    let names = fs_err::read_dir(&checkpoints).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = names.collect();
    names.sort();
    assert_eq!(names, ["latest", "step-3"]);
    assert_eq!(run(&config, Start::Resume, None).unwrap().step, 6);
}

#[test]
fn what_is_not_named_does_not_learn() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = tiny_run(folder.path());
    config.model.trainable = Trainable::Prefixes(vec!["visual.merger.".to_string()]);
    let report = run(&config, Start::Fresh, Some(2)).unwrap();
    let read = |folder: &std::path::Path| {
        let model = Model::load(folder, &LoadOptions::default(), &Device::flex()).unwrap();
        Parameters::of(&model, &Trainable::All(AllParameters::All)).unwrap()
    };
    let (before, after) = (read(&tiny_checkpoint()), read(&report.checkpoint));
    for (before, after) in before.iter().zip(after.iter()) {
        assert_eq!(before.values != after.values, before.name.starts_with("visual.merger."), "{}", before.name);
    }
    config.run.out = folder.path().join("no-such-rate");
    config.optimizer.lr_factors = vec![LrFactor { prefix: "vision.".to_string(), factor: 0.1 }];
    let error = run(&config, Start::Fresh, None).unwrap_err();
    assert!(error.to_string().starts_with("`optimizer.lr_factors`"), "{error}");
    config.optimizer.lr_factors.clear();
    config.run.out = folder.path().join("unknown");
    config.model.trainable = Trainable::Prefixes(vec!["vision".to_string()]);
    let error = run(&config, Start::Fresh, None).unwrap_err();
    assert!(matches!(error, TrainError::NoParameter { .. }), "{error}");
}

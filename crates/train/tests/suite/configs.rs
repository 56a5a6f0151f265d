//! Run files.

use std::path::Path;

use burn::tensor::Device;
use visionthink_train::{TrainConfig, TrainError, start_model};

use crate::tiny_run;

fn problems(text: &str) -> Vec<String> {
    match TrainConfig::from_toml(text, Path::new("configs/run.toml")) {
        Err(TrainError::Config { problems, .. }) => problems,
        other => panic!("{other:?}"),
    }
}

fn tiny_text() -> String {
    toml::to_string(&tiny_run(Path::new("runs"))).unwrap()
}

#[test]
fn every_unknown_key_is_reported_with_its_line() {
    let text = tiny_text().replace("warmup_steps", "warm_up").replace("lr = ", "learning_rate = ");
    let found = problems(&text);
    let line = |key: &str| text.lines().position(|line| line.starts_with(key)).unwrap() + 1;
    assert_eq!(found.len(), 2, "{found:#?}");
    let unknown = format!("line {}: unknown key `optimizer.learning_rate`", line("learning_rate"));
    assert!(found.iter().any(|problem| problem.starts_with(&unknown)), "{found:#?}");
    let missing = |problem: &String| problem.contains("missing key `lr`");
    assert!(found.iter().any(missing), "the key it stands for is missing then: {found:#?}");
}

#[test]
fn all_values_out_of_range_are_reported_at_once() {
    let text = tiny_text()
        .replace("clip_norm = 1.0", "clip_norm = 0.0")
        .replace("micro_batch = 2", "micro_batch = 3")
        .replace("hold_steps = 1", "hold_steps = 100")
        .replace("resize_share = 0.5", "resize_share = 1.5");
    let found = problems(&text);
    for expected in [
        "`schedule.warmup_steps` and `schedule.hold_steps` are 102 steps together, the stages have 6",
        "`step.clip_norm` is 0, expected more than zero",
        "`stage.close-ups.batch_size` is 4, expected a multiple of `step.micro_batch` (3)",
        "`stage.mixed.resize_share` is 1.5, expected 0 to 1",
    ] {
        assert!(found.iter().any(|problem| problem == expected), "{expected}: {found:#?}");
    }
    assert_eq!(found.len(), 6, "both stages have two: {found:#?}");
}

#[test]
fn a_run_starts_from_one_place_and_learns_from_one_source() {
    let start = tiny_text();
    let line = start.lines().find(|line| line.starts_with("checkpoint =")).unwrap().to_string();
    let found = problems(&start.replace(&line, ""));
    assert_eq!(found, ["neither `model.init` nor `model.checkpoint` is given; one says where weights start"]);
}

#[test]
fn the_shipped_run_files_are_valid_and_their_model_fits_its_tokenizer() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut read = 0;
    for entry in fs_err::read_dir(root.join("configs")).unwrap() {
        let file = entry.unwrap().path();
        if !file.to_string_lossy().ends_with("sft.toml") {
            continue;
        }
        // Paths in run files are relative to the root.
        let mut text = fs_err::read_to_string(&file).unwrap();
        for path in ["configs/micro-config.json", "assets/micro-base"] {
            text = text.replace(path, &root.join(path).to_string_lossy());
        }
        let config = TrainConfig::from_toml(&text, &file).unwrap();
        start_model(&config.model, config.run.seed, &Device::flex()).unwrap();
        read += 1;
    }
    assert!(read >= 2, "micro and tiny");
}

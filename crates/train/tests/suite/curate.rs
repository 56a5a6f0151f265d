//! The choice of training data by rollouts, with the embedded model that imitation made.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use burn::tensor::Device;
use visionthink_data::selection::{Balance, Need, PerNeed, Thresholds};
use visionthink_engine::ModelFolder;
use visionthink_judge::{EndpointKind, JudgeEndpoint};
use visionthink_model::LoadOptions;
use visionthink_train::curate::{CurateConfig, CurateEvent, CurateFiles, CurateReport, curate};
use visionthink_train::{JudgeSection, RowFault, Start, TrainConfig, TrainError};

use crate::root;

/// Twelve questions, four answers each at each resolution, two questions at a time.
fn small(out: &Path) -> CurateConfig {
    let file = root().join("configs/micro-curate.toml");
    let text = fs_err::read_to_string(&file).unwrap();
    let text = text.replace("assets/micro-base", &root().join("assets/micro-base").to_string_lossy());
    let mut config = CurateConfig::from_toml(&text, &file).unwrap();
    config.run.out = out.to_path_buf();
    config.data.synthetic.as_mut().unwrap().questions = 12;
    config.rollout.rollouts = 4;
    config.rollout.max_rows = 8;
    config.classes = Thresholds { low_right: 3, full_right: 3, gain: 2 };
    config.balance = Balance::Counts(PerNeed { solvable_low: 3, needs_full: 3, neither: 1 });
    config.output.eval_share = 0.34;
    config
}

/// Runs until the end, or until `stop_behind` questions are through.
fn run(config: &CurateConfig, start: Start, stop_behind: Option<u64>) -> Result<CurateReport, TrainError> {
    let folder = ModelFolder::open(&config.model.checkpoint).unwrap();
    let model = folder.load(&LoadOptions::default(), &Device::flex()).unwrap();
    let stop = AtomicBool::new(false);
    let mut asked = 0;
    curate(config, folder, model, start, &stop, &mut |event| {
        if let CurateEvent::Asked { questions } = event {
            asked += questions;
            stop.store(stop_behind.is_some_and(|behind| asked >= behind), Ordering::Relaxed);
        }
    })
}

/// Everything that a curation leaves and that a person or a trainer reads.
fn left(config: &CurateConfig) -> Vec<Vec<u8>> {
    ["progress.jsonl", "summary.json", "summary.md", "train.parquet", "eval.parquet"]
        .iter()
        .map(|name| fs_err::read(config.folder().join(name)).unwrap())
        .collect()
}

fn progress(config: &CurateConfig) -> PathBuf {
    config.folder().join("progress.jsonl")
}

#[test]
fn a_curation_that_was_stopped_or_killed_anywhere_ends_as_an_uninterrupted_one() {
    let folder = tempfile::tempdir().unwrap();
    let whole = small(&folder.path().join("whole"));
    let summary = run(&whole, Start::Fresh, None).unwrap().summary.unwrap();
    assert_eq!(summary.questions, 12);
    assert!(summary.right_full > summary.right_low, "the base model reads full images: {summary:?}");
    assert!(summary.classes.solvable_low > 0 && summary.classes.needs_full > 0, "{summary:?}");
    let expected = left(&whole);

    let parts = small(&folder.path().join("parts"));
    let stopped = run(&parts, Start::Fresh, Some(4)).unwrap();
    assert_eq!(stopped.summary, None);
    assert_eq!(fs_err::read_to_string(progress(&parts)).unwrap().lines().count(), 4);
    // The end of a process in the middle of a line, and before anything was asked.
    for kept in [150, 0] {
        let torn = fs_err::read(progress(&parts)).unwrap()[..kept].to_vec();
        fs_err::write(progress(&parts), torn).unwrap();
        assert_eq!(run(&parts, Start::Resume, None).unwrap().summary, Some(summary.clone()));
        assert_eq!(left(&parts), expected, "{kept} bytes kept");
    }

    let before = fs_err::metadata(progress(&parts)).unwrap().modified().unwrap();
    run(&parts, Start::Resume, None).unwrap();
    assert_eq!(left(&parts), expected, "a curation that is through is through");
    assert!(fs_err::metadata(progress(&parts)).unwrap().modified().unwrap() >= before);
}

#[test]
fn rows_carry_what_was_found_and_another_balance_asks_nothing_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = small(folder.path());
    let summary = run(&config, Start::Fresh, None).unwrap().summary.unwrap();
    let mut rows = Vec::new();
    for name in ["train.parquet", "eval.parquet"] {
        rows.extend(visionthink_data::open(config.folder().join(name)).unwrap().map(Result::unwrap));
    }
    assert_eq!(rows.len(), summary.train + summary.eval);
    for need in Need::ALL {
        let of_class = rows.iter().filter(|row| row.selection.unwrap().class == need).count();
        assert_eq!(of_class, summary.selected.of(need), "{need}");
    }
    for row in &rows {
        let selection = row.selection.unwrap();
        assert_eq!(config.classes.class(selection.tries), selection.class, "{}", row.id);
        visionthink_image::decode(&row.image.read().unwrap().unwrap(), &visionthink_image::DecodeOptions::default())
            .unwrap();
    }

    let error = run(&config, Start::Fresh, None).unwrap_err();
    assert!(matches!(error, TrainError::CurationExists { .. }), "{error}");
    config.balance = Balance::Counts(PerNeed { solvable_low: 1, needs_full: 0, neither: 0 });
    config.output.eval_share = 0.0;
    let asked = fs_err::read(progress(&config)).unwrap();
    let again = run(&config, Start::Resume, None).unwrap().summary.unwrap();
    assert_eq!((again.train, again.eval), (1, 0));
    assert_eq!(fs_err::read(progress(&config)).unwrap(), asked);
    assert!(!config.folder().join("eval.parquet").exists());
    config.rollout.temperature = 0.5;
    let error = run(&config, Start::Resume, None).unwrap_err().to_string();
    assert!(error.contains("`rollout.temperature` was `1.0` and is `0.5`"), "{error}");
}

/// Rows of the synthetic world in a file, with others in between that cannot be asked.
fn file_with_bad_rows(folder: &Path) -> PathBuf {
    let picture = visionthink_data::world::draw_one(
        visionthink_data::world::Family::Scene,
        visionthink_data::world::Split::Train,
        5,
        0,
    );
    let png = picture.0.encode_png().unwrap();
    fs_err::write(folder.join("whole.png"), &png).unwrap();
    fs_err::write(folder.join("cut.png"), &png[..png.len() / 2]).unwrap();
    let row = |id: &str, image: serde_json::Value, answer: &str| {
        serde_json::json!({"id": id, "image": image, "question": picture.1.question, "answer": answer}).to_string()
    };
    let lines = [
        row("a", "whole.png".into(), &picture.1.answer),
        row("b", serde_json::Value::Null, "7"),
        row("c", "whole.png".into(), ""),
        row("d", "cut.png".into(), "7"),
        "{\"id\": \"e\"".to_owned(),
        row("f", "whole.png".into(), "not this"),
    ];
    let path = folder.join("rows.jsonl");
    fs_err::write(&path, lines.join("\n")).unwrap();
    path
}

#[test]
fn rows_that_cannot_be_asked_are_left_out_counted_and_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = small(folder.path());
    let path = file_with_bad_rows(folder.path());
    config.data.synthetic = None;
    config.data.files = Some(CurateFiles { path: path.clone(), max_bad_rows: 4 });
    config.balance = Balance::Counts(PerNeed { solvable_low: 9, needs_full: 9, neither: 9 });
    config.output.eval_share = 0.0;
    let summary = run(&config, Start::Fresh, None).unwrap().summary.unwrap();
    assert_eq!(summary.questions, 2);
    let expected =
        [(RowFault::Unreadable, 1), (RowFault::NoImage, 1), (RowFault::NoAnswer, 1), (RowFault::BrokenImage, 1)];
    assert_eq!(summary.left_out, expected.into());
    assert!(summary.markdown().contains("Left out: 1 rows with a broken image."), "{}", summary.markdown());

    config.run.name = "strict".to_owned();
    config.data.files = Some(CurateFiles { path: path.clone(), max_bad_rows: 3 });
    let error = run(&config, Start::Fresh, None).unwrap_err().to_string();
    assert!(error.contains("4 rows cannot be used") && error.contains("`max_bad_rows` allows 3"), "{error}");

    config.run.name = "moved".to_owned();
    config.data.files = Some(CurateFiles { path: path.clone(), max_bad_rows: 4 });
    run(&config, Start::Fresh, None).unwrap();
    let text = fs_err::read_to_string(&path).unwrap();
    fs_err::write(&path, text.replace("\"id\":\"a\"", "\"id\":\"other\"")).unwrap();
    let error = run(&config, Start::Resume, None).unwrap_err().to_string();
    assert!(error.contains("question 0 was `a`") && error.contains("is `other`"), "{error}");
}

/// A server that says `Score: 1` to everything.
fn kind_judge() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let mut length = 0;
            loop {
                let mut line = String::new();
                if stream.read_line(&mut line).unwrap_or(0) <= 2 {
                    break;
                }
                if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            let reply = r#"{"choices":[{"message":{"content":"Score: 1"}}]}"#;
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", reply.len());
            stream.get_mut().write_all(format!("{head}{reply}").as_bytes()).unwrap();
        }
    });
    format!("http://{address}/v1")
}

#[test]
fn a_language_model_over_http_judges_and_one_that_is_gone_stops_the_run_with_nothing_lost() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = small(folder.path());
    config.data.synthetic.as_mut().unwrap().questions = 4;
    config.balance = Balance::Counts(PerNeed { solvable_low: 4, needs_full: 0, neither: 0 });
    config.output.eval_share = 0.0;
    config.judge = JudgeSection::Endpoint(Box::new(JudgeEndpoint::new(EndpointKind::OpenAi, kind_judge(), "any")));
    let summary = run(&config, Start::Fresh, None).unwrap().summary.unwrap();
    assert_eq!(summary.classes, PerNeed { solvable_low: 4, needs_full: 0, neither: 0 });

    config.run.name = "gone".to_owned();
    let mut gone = JudgeEndpoint::new(EndpointKind::OpenAi, "http://127.0.0.1:9/v1", "any");
    (gone.max_attempts, gone.failure_wait_secs, gone.max_unreachable) = (1, 0.0, 2);
    config.judge = JudgeSection::Endpoint(Box::new(gone));
    let error = run(&config, Start::Fresh, None).unwrap_err();
    assert!(matches!(error, TrainError::NoVerdicts(_)), "{error}");
    assert_eq!(fs_err::read(progress(&config)).unwrap(), Vec::<u8>::new());
    // A judge that was gone may be somewhere else; another judge is another run.
    let mut moved = JudgeEndpoint::new(EndpointKind::OpenAi, kind_judge(), "any");
    moved.max_attempts = 1;
    config.judge = JudgeSection::Endpoint(Box::new(moved.clone()));
    assert!(run(&config, Start::Resume, None).is_ok());
    moved.model = "another".to_owned();
    config.judge = JudgeSection::Endpoint(Box::new(moved));
    assert!(matches!(run(&config, Start::Resume, None), Err(TrainError::ResumeDiffers { .. })));
}

#[test]
fn imitation_learns_the_tool_from_the_classes_of_a_curation() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = small(folder.path());
    config.balance = Balance::Counts(PerNeed { solvable_low: 3, needs_full: 3, neither: 0 });
    run(&config, Start::Fresh, None).unwrap();
    let file = root().join("configs/micro-sft-tools.toml");
    let text = fs_err::read_to_string(&file).unwrap();
    let text = text.replace("assets/micro-base", &root().join("assets/micro-base").to_string_lossy());
    let text = text.replace("runs/micro-curate", &config.folder().to_string_lossy());
    let mut learning = TrainConfig::from_toml(&text, &file).unwrap();
    learning.run.out = folder.path().to_path_buf();
    learning.schedule.warmup_steps = 0;
    learning.schedule.hold_steps = 1;
    learning.stages[0].steps = 2;
    learning.stages[0].batch_size = 8;
    learning.step.micro_batch = 4;
    let report = crate::run(&learning, Start::Fresh, None).unwrap();
    assert!(report.losses.iter().all(|loss| loss.is_finite() && *loss > 0.0), "{:?}", report.losses);
}

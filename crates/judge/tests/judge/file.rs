//! A file of predictions: rows in, verdicts out, and going on where a run ended.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use visionthink_judge::{Ended, FileReport, Judge, JudgeEndpoint, JudgeError, PredictionFiles, judge_file};

use crate::endpoint;
use crate::server::{Answer, Server};

struct Files {
    folder: TempDir,
}

impl Files {
    /// Five questions; the right answers of `a`, `b` and `e` are predicted.
    fn new() -> Self {
        let files = Self { folder: tempfile::tempdir().unwrap() };
        files.write_input(&["right a", "right b", "other c", "other d", "right e"]);
        files
    }

    fn write_input(&self, predictions: &[&str]) {
        let rows = predictions.iter().zip(["a", "b", "c", "d", "e"]).map(|(prediction, id)| {
            let row = json!({"id": id, "question": "q", "answer": "right", "prediction": prediction, "family": "x"});
            format!("{row}\n")
        });
        fs_err::write(self.input(), rows.collect::<String>()).unwrap();
    }

    fn input(&self) -> PathBuf {
        self.folder.path().join("preds.jsonl")
    }

    fn output(&self) -> PathBuf {
        self.folder.path().join("judged.jsonl")
    }

    fn run(&self, endpoint: JudgeEndpoint) -> Result<FileReport, JudgeError> {
        let mut judge = Judge::open(endpoint, None)?;
        let files = PredictionFiles { input: &self.input(), output: &self.output() };
        judge_file(&mut judge, files, &AtomicBool::new(false), &mut |_| ())
    }

    /// `id` and `accuracy` of every row of the output, sorted.
    fn verdicts(&self) -> Vec<String> {
        let mut verdicts: Vec<String> = self
            .rows()
            .iter()
            .map(|row| format!("{} {}", row["id"].as_str().unwrap(), row["accuracy"].as_str().unwrap()))
            .collect();
        verdicts.sort();
        verdicts
    }

    fn rows(&self) -> Vec<Value> {
        let text = fs_err::read_to_string(self.output()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Says what is right; of predictions in `unsure` it says nothing useful.
fn fair(unsure: &'static str) -> Server {
    Server::start(move |_, request| match request.prediction() {
        prediction if prediction == unsure => Answer::says("hm"),
        prediction if prediction.starts_with("right") => Answer::says("Score: 1"),
        _ => Answer::says("Score: 0"),
    })
}

const ALL: [&str; 5] = ["a correct", "b correct", "c wrong", "d wrong", "e correct"];

#[test]
fn rows_come_back_with_verdicts() {
    let (server, files) = (fair("other d"), Files::new());
    let report = files.run(endpoint(&server)).unwrap();
    assert_eq!((report.rows, report.correct, report.wrong, report.unjudged), (5, 3, 1, 1));
    assert_eq!((report.accuracy(), report.done(), report.ended), (Some(0.75), 5, Ended::Complete));
    assert_eq!((report.counts.requests, report.counts.retries), (7, 2));
    let rows = files.rows();
    let row = |id: &str| rows.iter().find(|row| row["id"] == id).unwrap().clone();
    let judge = json!({"kind": "openai", "model": "gpt-4o", "variant": {"kind": "judge", "reading": "strict"}});
    let expected = json!({
        "id": "a", "question": "q", "answer": "right", "prediction": "right a", "family": "x",
        "accuracy": "correct", "reply": "Score: 1", "judge": judge,
    });
    assert_eq!(row("a"), expected);
    assert_eq!(row("d")["accuracy"], "unjudged");
    assert_eq!(row("d")["fault"], "the reply has no verdict");
    assert_eq!(row("d")["reply"], "hm");
}

#[test]
fn a_second_run_asks_only_for_what_is_unjudged() {
    let (server, files) = (fair("other d"), Files::new());
    files.run(endpoint(&server)).unwrap();
    let server = fair("");
    let report = files.run(endpoint(&server)).unwrap();
    assert_eq!((report.judged_before, report.correct, report.wrong, report.unjudged), (4, 3, 2, 0));
    assert_eq!(server.calls(), 1);
    assert_eq!(files.verdicts(), ALL);
    let report = files.run(endpoint(&server)).unwrap();
    assert_eq!((report.judged_before, report.counts.requests, server.calls()), (5, 0, 1));
}

#[test]
fn a_run_that_was_killed_is_taken_up_again() {
    let (server, files) = (fair(""), Files::new());
    files.run(endpoint(&server)).unwrap();
    let whole = fs_err::read(files.output()).unwrap();
    for cut in [0, 1, whole.len() / 2, whole.len() - 1] {
        fs_err::write(files.output(), &whole[..cut]).unwrap();
        let whole_lines = String::from_utf8_lossy(&whole[..cut]).matches('\n').count();
        let report = files.run(endpoint(&server)).unwrap();
        assert_eq!((report.judged_before, files.verdicts().len()), (whole_lines, 5), "cut after {cut} bytes");
        assert_eq!(files.verdicts(), ALL);
    }
}

#[test]
fn a_prediction_that_has_changed_is_judged_again() {
    let (server, files) = (fair(""), Files::new());
    files.run(endpoint(&server)).unwrap();
    files.write_input(&["right a", "other b", "other c", "other d", "right e"]);
    let report = files.run(endpoint(&server)).unwrap();
    assert_eq!((report.judged_before, report.changed, report.correct, report.wrong), (4, 1, 2, 3));
    assert_eq!(files.verdicts(), ["a correct", "b wrong", "c wrong", "d wrong", "e correct"]);
}

#[test]
fn an_unreachable_judge_is_an_error_and_what_is_judged_stays() {
    let files = Files::new();
    let server =
        Server::start(
            |nth, _| {
                if nth < 2 { Answer::says("Score: 1") } else { Answer::raw("401 Unauthorized", "expired") }
            },
        );
    let narrow = JudgeEndpoint { concurrency: 1, max_unreachable: 2, ..endpoint(&server) };
    let error = files.run(narrow).unwrap_err();
    assert!(matches!(error, JudgeError::Unreachable { .. }), "{error}");
    assert_eq!(files.verdicts(), ["a correct", "b correct", "c unjudged", "d unjudged"]);
    let report = files.run(endpoint(&fair(""))).unwrap();
    assert_eq!((report.judged_before, report.counts.requests), (2, 3));
    assert_eq!(files.verdicts(), ALL);
}

#[test]
fn a_run_that_is_called_off_says_so() {
    let files = Files::new();
    let server = Server::start(|nth, _| {
        thread::sleep(Duration::from_millis(if nth < 2 { 0 } else { 300 }));
        Answer::says("Score: 1")
    });
    let mut judge = Judge::open(JudgeEndpoint { concurrency: 1, ..endpoint(&server) }, None).unwrap();
    let cancel = AtomicBool::new(false);
    let paths = PredictionFiles { input: &files.input(), output: &files.output() };
    let mut seen = Vec::new();
    let report = judge_file(&mut judge, paths, &cancel, &mut |report| {
        seen.push(report.done());
        cancel.store(report.done() >= 2, Ordering::Relaxed);
    });
    let report = report.unwrap();
    assert_eq!(report.ended, Ended::Cancelled);
    assert!((2..5).contains(&report.done()), "{report:?}");
    assert_eq!(seen, (0..=report.done()).collect::<Vec<_>>());
}

#[test]
fn broken_and_double_lines_are_reported_and_left_out() {
    let (server, files) = (fair(""), Files::new());
    let mut lines = fs_err::read_to_string(files.input()).unwrap();
    lines
        .push_str("{\"id\": \"f\"}\n{\"id\": \"a\", \"question\": \"q\", \"answer\": \"1\", \"prediction\": \"1\"}\n{");
    fs_err::write(files.input(), lines).unwrap();
    let report = files.run(endpoint(&server)).unwrap();
    let lines: Vec<u64> = report.problems.iter().map(|problem| problem.line).collect();
    assert_eq!((report.rows, lines), (5, vec![6, 7, 8]));
    let written = serde_json::to_value(&report).unwrap();
    let place = files.input().display().to_string();
    assert_eq!(written["problems"][0], format!("{place}:6: `question` is missing"));
    assert_eq!(written["problems"][1], format!("{place}:7: `id` \"a\" stands in line 1 already"));
    assert_eq!(written["ended"], "complete");
}

#[test]
fn a_file_without_predictions_is_an_error_that_says_why() {
    let (server, files) = (fair(""), Files::new());
    fs_err::write(files.input(), "<html>").unwrap();
    let error = files.run(endpoint(&server)).unwrap_err().to_string();
    assert!(error.contains("preds.jsonl: holds no prediction; "), "{error}");
    assert!(error.contains("preds.jsonl:1: not a JSON object: "), "{error}");
}

#[test]
fn an_output_that_is_not_ours_is_left_alone() {
    let (server, files) = (fair(""), Files::new());
    for (content, expected) in [
        ("{\"id\": 1}\n", ":1: not a verdict of an earlier run"),
        ("my notes\n", ":1: not a verdict of an earlier run"),
        ("{\"id\": 1, \"judge\": \"me\", \"accuracy\": \"wrong\"}\n", ":1: judged by `\"me\"`, this run asks `{"),
    ] {
        fs_err::write(files.output(), content).unwrap();
        let error = files.run(endpoint(&server)).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert_eq!(fs_err::read_to_string(files.output()).unwrap(), content);
    }
    fs_err::remove_file(files.output()).unwrap();
    files.run(endpoint(&server)).unwrap();
    let other = JudgeEndpoint { model: "other".to_owned(), ..endpoint(&server) };
    assert!(matches!(files.run(other).unwrap_err(), JudgeError::OtherJudge { line: 1, .. }));

    let mut judge = Judge::open(endpoint(&server), None).unwrap();
    let same = PredictionFiles { input: &files.input(), output: &files.input() };
    let error = judge_file(&mut judge, same, &AtomicBool::new(false), &mut |_| ()).unwrap_err();
    assert!(matches!(error, JudgeError::SameFile { .. }), "{error}");
}

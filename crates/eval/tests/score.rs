//! Rows of predictions through [`score`]: reports, and errors that say which row and field.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, the functions it calls too")]
use serde_json::{Value, json};
use visionthink_eval::metrics::answer_tag::TagOrder;
use visionthink_eval::metrics::reasoning::default_pairs;
use visionthink_eval::{Aggregate, Benchmark, Edition, EvalError, Options, score};

fn paper_score(benchmark: &str, rows: &[Value]) -> f64 {
    score(benchmark.parse().unwrap(), rows, &Options::default()).unwrap().paper_score
}

fn error(benchmark: Benchmark, rows: &[Value]) -> String {
    score(benchmark, rows, &Options::default()).unwrap_err().to_string()
}

#[test]
fn every_benchmark_scores_a_right_answer_full() {
    let question = json!({
        "category": "VD", "subcategory": "map", "set_id": 0, "figure_id": 1, "question_id": 2, "judge": 1,
        "gt_answer": 1, "prediction": "Yes",
    });
    let mme = json!({ "prediction": "Yes", "answer": "Yes", "question_id": "1", "category": "OCR" });
    let math = json!({ "prediction": "14", "answer": 14, "question_type": "free_form", "answer_type": "integer" });
    let choice = json!({
        "id": "validation_Math_1", "question_type": "multiple-choice", "options": "['1', '2']", "answer": "B",
        "prediction": "(B)", "subject": "Math",
    });
    let mmbench = json!({
        "index": 7, "answer": "A", "A": "cat", "B": "dog", "category": "ocr", "prediction": "a cat",
    });
    let ocr = json!({
        "prediction": "STOP", "answer": "stop", "dataset": "svt", "question_type": "Handwriting Recognition",
    });
    let judged = json!({ "judge_reply": "1", "capability": "ocr" });
    for (benchmark, rows, full) in [
        ("chartqa", vec![json!({ "prediction": "46", "answer": "47", "type": "human_test" })], 100.0),
        ("chartqa-judge", vec![judged.clone()], 100.0),
        ("docvqa", vec![json!({ "prediction": "Paris", "answers": ["paris"] })], 100.0),
        ("infovqa", vec![json!({ "prediction": "Paris", "answer": "paris" })], 100.0),
        ("textvqa", vec![json!({ "prediction": "one", "answers": vec!["1"; 10] })], 100.0),
        ("ocrbench", vec![ocr], 0.1),
        ("mme", vec![mme.clone(), mme], 200.0),
        ("pope", vec![json!({ "prediction": "yes", "answer": "yes" })], 100.0),
        ("realworldqa", vec![json!({ "prediction": "A", "answer": "a" })], 100.0),
        ("mmmu", vec![choice.clone()], 100.0),
        ("mmmu-pro-standard", vec![choice], 100.0),
        ("mmmu-pro-vision", vec![json!({ "prediction": " C\n", "answer": "C", "subject": "Art" })], 100.0),
        ("mmbench", vec![mmbench], 100.0),
        ("mathvista", vec![math], 100.0),
        ("mathverse", vec![judged.clone()], 100.0),
        ("mmvet", vec![judged], 100.0),
        ("hallusion-bench", vec![question.clone()], 100.0),
        ("hallusion-bench-yes-no", vec![question], 100.0),
    ] {
        assert_eq!(paper_score(benchmark, &rows), full, "{benchmark}");
    }
}

#[test]
fn samples_keep_their_order_and_their_ids() {
    let rows = [
        json!({ "id": "a", "prediction": "Yes", "answer": "no" }),
        json!({ "id": 7, "prediction": "no", "answer": "No" }),
    ];
    let report = score(Benchmark::Pope, &rows, &Options::default()).unwrap();
    let samples = serde_json::to_value(&report.samples).unwrap();
    let expected = json!([
        { "row": 1, "id": "a", "score": 0.0, "parsed": "yes" },
        { "row": 2, "id": "7", "score": 1.0, "parsed": "no" },
    ]);
    assert_eq!(samples, expected);
    assert_eq!(serde_json::to_value(&report).unwrap()["benchmark"], "pope");
}

#[test]
fn thinking_and_tags_are_cut_only_on_request() {
    let rows = [json!({ "prediction": "<think>it is 8</think><answer>\n7 </answer>", "answer": "7" })];
    let plain = score(Benchmark::ChartQa, &rows, &Options::default()).unwrap();
    assert_eq!(plain.paper_score, 0.0);
    let options =
        Options { answer_tag: Some(TagOrder::CloseFirst), reasoning_tags: default_pairs(), ..Options::default() };
    assert_eq!(score(Benchmark::ChartQa, &rows, &options).unwrap().paper_score, 100.0);
}

#[test]
fn the_older_rules_of_realworldqa_read_number_words() {
    let rows = [json!({ "question": "How many?", "prediction": "three", "answer": "3" })];
    assert_eq!(score(Benchmark::RealWorldQa, &rows, &Options::default()).unwrap().paper_score, 0.0);
    let options = Options { edition: Edition::V032, ..Options::default() };
    assert_eq!(score(Benchmark::RealWorldQa, &rows, &options).unwrap().paper_score, 100.0);
}

#[test]
fn what_only_a_judge_could_tell_has_no_score_and_counts_as_wrong() {
    let row =
        json!({ "prediction": "It is 14.", "answer": "14", "question_type": "free_form", "answer_type": "integer" });
    let mut judged = row.clone();
    judged["extraction"] = json!("14");
    let report = score(Benchmark::MathVista, &[row, judged], &Options::default()).unwrap();
    assert_eq!(report.samples.iter().map(|sample| sample.score).collect::<Vec<_>>(), [None, Some(1.0)]);
    let Aggregate::MathVista(scores) = report.aggregate else { panic!("{:?}", report.aggregate) };
    assert_eq!((scores.accuracy, scores.undecided), (50.0, 1));
}

#[test]
fn an_error_names_the_row_and_the_field() {
    let good = json!({ "prediction": "yes", "answer": "yes" });
    let cases = [
        (json!({ "answer": "yes" }), "row 2: field `prediction` is missing"),
        (json!({ "prediction": "yes", "answer": "maybe" }), "row 2: field `answer` is `maybe`, expected `yes` or `no`"),
        (json!(["yes"]), "row 2: a list was found, expected an object with named fields"),
        (
            json!({ "prediction": 1, "answer": "yes" }),
            "row 2: field `prediction` cannot be read: invalid type: integer `1`, expected a string",
        ),
    ];
    for (bad, message) in cases {
        assert_eq!(error(Benchmark::Pope, &[good.clone(), bad]), message);
    }
    let row = json!({ "prediction": "B", "id": "Math", "question_type": "open", "answer": "x" });
    assert_eq!(error(Benchmark::Mmmu, &[row]), "row 1: field `id` is `Math`, expected `SPLIT_SUBJECT_NUMBER`");
}

#[test]
fn no_rows_are_no_score() {
    for benchmark in Benchmark::all() {
        assert!(matches!(score(benchmark, &[], &Options::default()), Err(EvalError::NoRows)));
    }
}

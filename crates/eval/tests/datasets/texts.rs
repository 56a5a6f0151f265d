//! Benchmarks whose answers are compared as text.

use serde_json::json;
use visionthink_eval::Benchmark;

use crate::Case;
use crate::table::Type::{Image, Int, Text, Texts};

#[test]
fn chartqa_goes_from_its_file_to_its_score() {
    Case {
        dataset: "chartqa",
        file: "data/test-00000-of-00001.parquet",
        schema: &[("type", Text), ("question", Text), ("answer", Text), ("image", Image)],
        rows: vec![
            json!({ "type": "human_test", "question": "How many? ", "answer": "47", "image": "a" }),
            json!({ "type": "augmented_test", "question": "Is it?", "answer": "Yes", "image": "b" }),
        ],
        task: None,
        split: None,
        ids: &["0", "1"],
        questions: &[
            "How many? \nAnswer the question with a single word.",
            "Is it?\nAnswer the question with a single word.",
        ],
        pictures: &[1, 1],
        replies: &["46", "no"],
        metric: Benchmark::ChartQa,
        score: 50.0,
    }
    .check();
}

#[test]
fn ocrbench_goes_from_its_file_to_its_score() {
    Case {
        dataset: "ocrbench",
        file: "data/test-00000-of-00001.parquet",
        schema: &[("dataset", Text), ("question", Text), ("question_type", Text), ("answer", Texts), ("image", Image)],
        rows: vec![
            json!({
                "dataset": "svt", "question": " what is written?\n", "question_type": "Regular Text Recognition",
                "answer": ["STOP", "Halt"], "image": "a",
            }),
            json!({
                "dataset": "HME100k", "question": "Formula?",
                "question_type": "Handwritten Mathematical Expression Recognition", "answer": ["x ^ 2"], "image": "b",
            }),
            json!({
                "dataset": "docVQA", "question": "Total?", "question_type": "Doc-oriented VQA", "answer": ["12"],
                "image": "c",
            }),
        ],
        task: None,
        split: None,
        ids: &["0", "1", "2"],
        questions: &["what is written?", "Formula?", "Total?"],
        pictures: &[1, 1, 1],
        replies: &["It says halt.", "x^2 + 1", "13"],
        metric: Benchmark::OcrBench,
        score: 0.2,
    }
    .check();
}

#[test]
fn docvqa_goes_from_the_folder_of_its_configuration_to_its_score() {
    Case {
        dataset: "docvqa",
        file: "DocVQA/validation-00000-of-00001.parquet",
        schema: &[
            ("questionId", Text),
            ("question", Text),
            ("question_types", Texts),
            ("image", Image),
            ("docId", Int),
            ("answers", Texts),
        ],
        rows: vec![
            json!({ "questionId": "49153", "question": "Whose?", "image": "a", "docId": 7, "answers": ["hello"] }),
            json!({ "questionId": "24580", "question": "When?", "image": "a", "docId": 7, "answers": ["x", "1998"] }),
        ],
        task: None,
        split: None,
        ids: &["49153", "24580"],
        questions: &[
            "Whose?\nAnswer the question using a single word or phrase.",
            "When?\nAnswer the question using a single word or phrase.",
        ],
        pictures: &[1, 1],
        replies: &["helo", "1998"],
        metric: Benchmark::DocVqa,
        score: 90.0,
    }
    .check();
}

#[test]
fn infovqa_goes_from_the_folder_of_its_configuration_to_its_score() {
    Case {
        dataset: "infovqa",
        file: "InfographicVQA/validation-00000-of-00001.parquet",
        schema: &[
            ("questionId", Text),
            ("question", Text),
            ("answers", Texts),
            ("answer_type", Texts),
            ("image", Image),
            ("ocr", Text),
        ],
        rows: vec![json!({ "questionId": "98313", "question": "How much?", "answers": ["13%"], "image": "a" })],
        task: None,
        split: None,
        ids: &["98313"],
        questions: &["How much?\nAnswer the question using a single word or phrase."],
        pictures: &[1],
        replies: &["none of it"],
        metric: Benchmark::InfoVqa,
        score: 0.0,
    }
    .check();
}

#[test]
fn textvqa_goes_from_its_file_to_its_score() {
    let answers = ["nokia", "nokia", "Nokia.", "samsung", "lg", "lg", "htc", "htc", "htc", "htc"];
    Case {
        dataset: "textvqa",
        file: "data/validation-00000-of-00001.parquet",
        schema: &[
            ("image_id", Text),
            ("question_id", Int),
            ("question", Text),
            ("image", Image),
            ("answers", Texts),
            ("ocr_tokens", Texts),
        ],
        rows: vec![
            json!({ "question_id": 34602, "question": "what BRAND is it?", "image": "a", "answers": answers }),
            json!({ "question_id": 34603, "question": "and this?", "image": "a", "answers": answers }),
        ],
        task: None,
        split: None,
        ids: &["34602", "34603"],
        questions: &[
            "What brand is it?\nAnswer the question using a single word or phrase.",
            "And this?\nAnswer the question using a single word or phrase.",
        ],
        pictures: &[1, 1],
        replies: &["Nokia", "LG"],
        metric: Benchmark::TextVqa,
        // Three and two of ten people say so.
        score: 75.0,
    }
    .check();
}

#[test]
fn realworldqa_goes_from_its_file_to_its_score() {
    let asked = "How many lanes?\nA. One\nB. Two\nPlease answer directly with only the letter of the correct option.";
    Case {
        dataset: "realworldqa",
        file: "data/test-00000-of-00001.parquet",
        schema: &[("image", Image), ("question", Text), ("answer", Text), ("image_path", Text)],
        rows: vec![
            json!({ "image": "a", "question": format!("{asked}\n"), "answer": "B" }),
            json!({ "image": "b", "question": "What is the speed limit?", "answer": "35" }),
        ],
        task: None,
        split: None,
        ids: &["0", "1"],
        questions: &[asked, "What is the speed limit?"],
        pictures: &[1, 1],
        replies: &["The answer is B.", "It is 35."],
        metric: Benchmark::RealWorldQa,
        score: 50.0,
    }
    .check();
}

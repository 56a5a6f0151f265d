//! Benchmarks that need a judge, or a rule that takes its place.

use serde_json::{Value, json};
use visionthink_eval::question::{Shot, Task};
use visionthink_eval::{Aggregate, Benchmark, DatasetOptions};

use crate::table::Type::{self, Float, Image, Struct, Text, Texts};
use crate::table::write;
use crate::{Case, good, open};

const MATHVISTA: &[(&str, Type)] = &[
    ("pid", Text),
    ("question", Text),
    ("image", Text),
    ("decoded_image", Image),
    ("choices", Texts),
    ("unit", Text),
    ("precision", Float),
    ("answer", Text),
    ("question_type", Text),
    ("answer_type", Text),
    ("metadata", Struct(&[("category", Text), ("language", Text), ("skills", Texts)])),
    ("query", Text),
];

fn mathvista_rows() -> Vec<Value> {
    let metadata = json!({ "category": "math", "language": "english", "skills": ["algebra", "geometry"] });
    vec![
        json!({
            "pid": "1", "question": "Which part?", "image": "images/1.jpg", "decoded_image": "a",
            "choices": ["3/11", "8/11"], "unit": null, "precision": null, "answer": "8/11",
            "question_type": "multi_choice", "answer_type": "text", "metadata": metadata, "query": "Hint: …",
        }),
        json!({
            "pid": "2", "question": "How much?", "image": "images/2.jpg", "decoded_image": "b", "choices": null,
            "unit": "$", "precision": 2.0, "answer": "1.45", "question_type": "free_form", "answer_type": "float",
            "metadata": metadata, "query": "Hint: …",
        }),
        json!({
            "pid": "3", "question": "Count.", "image": "images/3.jpg", "decoded_image": "c", "choices": null,
            "unit": null, "precision": null, "answer": "14", "question_type": "free_form", "answer_type": "integer",
            "metadata": metadata, "query": "Hint: …",
        }),
    ]
}

fn mathvista(task: Option<Task>, questions: &[&str]) {
    let report = Case {
        dataset: "mathvista",
        // As the Hub once named its files.
        file: "data/testmini-00000-of-00001-725687bf7a18d64b.parquet",
        schema: MATHVISTA,
        rows: mathvista_rows(),
        task,
        split: None,
        ids: &["1", "2", "3"],
        questions,
        pictures: &[1, 1, 1],
        replies: &["8/11", "1.4500001", "It is 14."],
        metric: Benchmark::MathVista,
        score: 66.67,
    }
    .check();
    let Aggregate::MathVista(scores) = report.aggregate else { panic!("{:?}", report.aggregate) };
    assert_eq!(scores.undecided, 1);
}

#[test]
fn mathvista_step_by_step_goes_from_its_file_to_its_score() {
    mathvista(
        None,
        &[
            "Question: Which part?\nChoices:\n(A) 3/11\n(B) 8/11\nHint: Please answer the question and provide the \
             correct option letter, e.g., A, B, C, D, at the end.",
            "Question: How much? (Unit: $)\nHint: Please answer the question requiring a floating-point number with \
             two decimal places and provide the final value, e.g., 1.23, 1.34, 1.45, at the end.",
            "Question: Count.\nHint: Please answer the question requiring an integer answer and provide the final \
             value, e.g., 1, 2, 3, at the end.",
        ],
    );
}

#[test]
fn mathvista_by_format_goes_from_its_file_to_its_score() {
    mathvista(
        Some(Task::MathVista(Shot::Format)),
        &[
            "Which part?\nA. 3/11\nB. 8/11\nAnswer with the option's letter from the given choices directly.",
            "How much? (Unit: $)\nAnswer the question using a single floating-point number with two decimal places.",
            "Count.\nAnswer the question using a single integer number.",
        ],
    );
}

#[test]
fn structs_of_the_data_set_stay_in_the_row() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("testmini-00000-of-00001.parquet"), MATHVISTA, &mathvista_rows(), 100);
    let samples = good(&open("mathvista", folder.path(), &DatasetOptions::default()));
    assert_eq!(samples[0].row["metadata"]["skills"], json!(["algebra", "geometry"]));
    assert_eq!(samples[1].row["precision"], json!(2.0));
}

#[test]
fn mathverse_goes_from_its_file_to_its_score() {
    let row = |index: &str, version: &str, image: Option<&str>| {
        json!({
            "sample_index": index, "problem_index": "1", "problem_version": version, "question": "AB?",
            "question_for_eval": "What is AB?", "answer": "C", "question_type": "multi-choice",
            "query_wo": format!("Answer {version}.\n"), "query_cot": "Think.", "image": image,
            "metadata": { "split": "testmini", "source": "own", "subject": "Plane Geometry", "subfield": "Angle" },
        })
    };
    Case {
        dataset: "mathverse",
        file: "testmini-00000-of-00001.parquet",
        schema: &[
            ("sample_index", Text),
            ("problem_index", Text),
            ("problem_version", Text),
            ("question", Text),
            ("image", Image),
            ("answer", Text),
            ("question_type", Text),
            ("metadata", Struct(&[("split", Text), ("source", Text), ("subject", Text), ("subfield", Text)])),
            ("query_wo", Text),
            ("query_cot", Text),
            ("question_for_eval", Text),
        ],
        rows: vec![row("1", "Text Dominant", Some("a")), row("2", "Text Only", None)],
        task: None,
        split: None,
        ids: &["1", "2"],
        questions: &["Answer Text Dominant.", "Answer Text Only."],
        pictures: &[1, 0],
        replies: &["1", "0"],
        metric: Benchmark::MathVerse,
        score: 50.0,
    }
    .check();
}

#[test]
fn mmvet_goes_from_its_file_to_its_score() {
    let row = |id: &str, image: Option<&str>| {
        json!({
            "question_id": id, "question": "What is x?", "answer": "-1 <AND> -5", "image_source": "own",
            "capability": "ocr,math", "image": image,
        })
    };
    let asked = "First please perform reasoning, and think step by step to provide best answer to the following \
                 question: \n\nWhat is x?";
    Case {
        dataset: "mmvet",
        file: "data/test-00000-of-00001.parquet",
        schema: &[
            ("question_id", Text),
            ("image", Image),
            ("question", Text),
            ("answer", Text),
            ("image_source", Text),
            ("capability", Text),
        ],
        rows: vec![row("v1_0", Some("a")), row("v1_1", None)],
        task: None,
        split: None,
        ids: &["v1_0", "v1_1"],
        questions: &[asked, asked],
        pictures: &[1, 0],
        replies: &["0.5", "1.0"],
        metric: Benchmark::MmVet,
        score: 75.0,
    }
    .check();
}

fn hallusion(metric: Benchmark, replies: &[&str], score: f64) {
    let row = |category: &str, figure: &str, truth: &str| {
        json!({
            "category": category, "subcategory": "chart", "visual_input": "1", "set_id": "0", "figure_id": figure,
            "question_id": "2", "question": "Is it growing?", "gt_answer": truth, "gt_answer_details": "It is so.",
            "sample_note": "note", "image": (figure != "0").then_some("a"),
        })
    };
    Case {
        dataset: "hallusion-bench",
        file: "data/image-00000-of-00001.parquet",
        schema: &[
            ("category", Text),
            ("subcategory", Text),
            ("visual_input", Text),
            ("set_id", Text),
            ("figure_id", Text),
            ("sample_note", Text),
            ("question_id", Text),
            ("question", Text),
            ("gt_answer", Text),
            ("gt_answer_details", Text),
            ("image", Image),
        ],
        rows: vec![row("VS", "0", "1"), row("VS", "1", "0")],
        task: None,
        split: None,
        ids: &["VS/chart/0/0/2", "VS/chart/0/1/2"],
        questions: &["Is it growing?", "Is it growing?"],
        pictures: &[0, 1],
        replies,
        metric,
        score,
    }
    .check();
}

#[test]
fn hallusion_bench_goes_from_its_file_to_its_score() {
    // Unclear is right where there is no figure.
    hallusion(Benchmark::HallusionBench, &["2", "2"], 50.0);
    hallusion(Benchmark::HallusionBenchYesNo, &["Yes, it is.", "No."], 100.0);
}

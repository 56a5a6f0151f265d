//! Benchmarks of multiple choices.

use serde_json::{Value, json};
use visionthink_eval::question::Task;
use visionthink_eval::{Benchmark, DatasetOptions};

use crate::table::Type::{self, Image, Int, Text};
use crate::table::{picture, write};
use crate::{Case, good, open};

const IMAGES: [(&str, Type); 7] = [
    ("image_1", Image),
    ("image_2", Image),
    ("image_3", Image),
    ("image_4", Image),
    ("image_5", Image),
    ("image_6", Image),
    ("image_7", Image),
];

fn mmmu_schema() -> Vec<(&'static str, Type)> {
    let texts = ["id", "question", "options", "explanation", "img_type", "answer", "topic_difficulty", "question_type"];
    texts.map(|name| (name, Text)).into_iter().chain(IMAGES).collect()
}

fn mmmu_rows() -> Vec<Value> {
    vec![
        json!({
            "id": "validation_Art_1", "question": "Like <image 2>, then <image 1>?",
            "options": "['<image 3>', \"it's <image 1>\"]", "answer": "B", "question_type": "multiple-choice",
            "image_1": "one", "image_2": "two", "image_3": "three", "image_4": "not marked",
        }),
        json!({
            "id": "validation_Math_2", "question": "How long is <image 1>?", "options": "[]", "answer": "12.5",
            "question_type": "open", "image_1": "one",
        }),
    ]
}

#[test]
fn mmmu_goes_from_its_file_to_its_score() {
    Case {
        dataset: "mmmu",
        file: "data/validation-00000-of-00001.parquet",
        schema: &mmmu_schema(),
        rows: mmmu_rows(),
        task: None,
        split: None,
        ids: &["validation_Art_1", "validation_Math_2"],
        questions: &[
            "Like <image 2>, then <image 1>?\nA. <image 3>\nB. it's <image 1>\n\n\
             Answer with the option's letter from the given choices directly.",
            "How long is <image 1>?\n\nAnswer the question using a single word or phrase.",
        ],
        pictures: &[3, 1],
        replies: &["(B)", "It is 12.50 cm"],
        metric: Benchmark::Mmmu,
        score: 100.0,
    }
    .check();
}

#[test]
fn the_pictures_of_mmmu_are_those_that_the_text_marks_sorted_by_name() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("validation-00000-of-00001.parquet"), &mmmu_schema(), &mmmu_rows(), 100);
    let samples = good(&open("mmmu", folder.path(), &DatasetOptions::default()));
    assert_eq!(samples[0].images, ["one", "two", "three"].map(picture));
}

#[test]
fn mmmu_pro_as_text_goes_from_its_file_to_its_score() {
    let texts = ["id", "question", "options", "explanation", "answer", "subject"].map(|name| (name, Text));
    let schema: Vec<_> = texts.into_iter().chain(IMAGES).collect();
    let options = "['1', '2', '3', '4', '5', '6', '7', '8', '9', '10']";
    let row = |id: &str, answer: &str| {
        json!({
            "id": id, "question": "<image 1> How many?", "options": options, "answer": answer, "subject": "Math",
            "image_1": "a",
        })
    };
    let asked = |instruction: &str| {
        format!("<image 1> How many?\nA. 1\nB. 2\nC. 3\nD. 4\nE. 5\nF. 6\nG. 7\nH. 8\nI. 9\nJ. 10\n\n{instruction}")
    };
    let direct = asked("Answer with the option letter from the given choices directly.");
    let step_by_step = asked(
        "Answer the following multiple choice question. The last line of your response should be of the following \
         format: 'Answer: $LETTER' (without quotes) where LETTER is one of options. Think step by step before answering.",
    );
    for (task, asked) in [(None, direct), (Some(Task::MmmuProStandardCot), step_by_step)] {
        Case {
            dataset: "mmmu-pro-standard",
            file: "standard (10 options)/test-00000-of-00001.parquet",
            schema: &schema,
            rows: vec![row("test_Math_1", "J"), row("test_Math_2", "A")],
            task,
            split: None,
            ids: &["test_Math_1", "test_Math_2"],
            questions: &[&asked, &asked],
            pictures: &[1, 1],
            replies: &["Answer: (J)", "(B)"],
            metric: Benchmark::MmmuProStandard,
            score: 50.0,
        }
        .check();
    }
}

#[test]
fn mmmu_pro_inside_the_picture_goes_from_its_file_to_its_score() {
    let row = |id: &str, answer: &str| json!({ "id": id, "image": "a", "options": "['1', '2']", "answer": answer, "subject": "Math" });
    let asked = "Answer with the option letter from the given choices directly.";
    Case {
        dataset: "mmmu-pro-vision",
        file: "vision/test-00000-of-00001.parquet",
        schema: &[("id", Text), ("image", Image), ("options", Text), ("answer", Text), ("subject", Text)],
        rows: vec![row("test_Math_1", "A"), row("test_Math_2", "B")],
        task: None,
        split: None,
        ids: &["test_Math_1", "test_Math_2"],
        questions: &[asked, asked],
        pictures: &[1, 1],
        // Nothing is parsed.
        replies: &["A", "(B)"],
        metric: Benchmark::MmmuProVision,
        score: 50.0,
    }
    .check();
}

const MMBENCH: &[(&str, Type)] = &[
    ("index", Int),
    ("question", Text),
    ("hint", Text),
    ("answer", Text),
    ("A", Text),
    ("B", Text),
    ("C", Text),
    ("D", Text),
    ("category", Text),
    ("image", Image),
    ("source", Text),
    ("L2-category", Text),
    ("comment", Text),
    ("split", Text),
];

fn mmbench(index: u64, hint: &str, answer: &str, options: [&str; 2]) -> Value {
    let [a, b] = options;
    json!({
        "index": index, "question": "Which?", "hint": hint, "answer": answer, "A": a, "B": b, "C": "nan", "D": "nan",
        "category": "ocr", "image": "a", "source": "own", "L2-category": "perception", "split": "dev",
    })
}

#[test]
fn mmbench_goes_from_its_file_to_its_score() {
    let asked = |hint: &str, [a, b]: [&str; 2]| {
        format!(
            "{hint}Which? There are several options:\nA. {a}\nB. {b}\n\n\
             Answer with the option's letter from the given choices directly."
        )
    };
    Case {
        dataset: "mmbench",
        file: "en/dev-00000-of-00001.parquet",
        schema: MMBENCH,
        rows: vec![
            mmbench(7, "nan", "A", ["cat", "dog"]),
            mmbench(1_000_007, "nan", "B", ["dog", "cat"]),
            mmbench(8, "Look.", "A", ["cow", "owl"]),
            mmbench(1_000_008, "Look.", "B", ["owl", "cow"]),
        ],
        task: None,
        split: Some("dev"),
        ids: &["7", "1000007", "8", "1000008"],
        questions: &[
            &asked("", ["cat", "dog"]),
            &asked("", ["dog", "cat"]),
            &asked("Look. ", ["cow", "owl"]),
            &asked("Look. ", ["owl", "cow"]),
        ],
        pictures: &[1, 1, 1, 1],
        // A question counts as right only with its rotations.
        replies: &["A", "the cat", "A", "A"],
        metric: Benchmark::MmBench,
        score: 50.0,
    }
    .check();
}

#[test]
fn the_test_of_mmbench_can_be_asked_and_not_scored() {
    let folder = tempfile::tempdir().unwrap();
    let rows = [mmbench(7, "nan", "nan", ["cat", "dog"])];
    write(&folder.path().join("en/test-00000-of-00001.parquet"), MMBENCH, &rows, 100);
    let mut samples = open("mmbench", folder.path(), &DatasetOptions::default()).samples().unwrap();
    let sample = samples.next().unwrap().unwrap();
    assert!(sample.can_be_asked() && !sample.can_be_scored());
    assert_eq!(sample.defects[0].to_string(), "no answer in `answer`");
    assert_eq!(samples.tally().unanswered, 1);
}

//! Benchmarks whose answers are yes or no.

use serde_json::{Value, json};
use visionthink_eval::{Aggregate, Benchmark, DatasetOptions};

use crate::table::Type::{Image, Text};
use crate::table::write;
use crate::{Case, good, open, scored};

#[test]
fn mme_goes_from_its_file_to_its_score() {
    let row = |picture: &str, category: &str, question: &str, answer: &str| {
        json!({
            "question_id": format!("{category}/{picture}.png"), "image": picture, "category": category,
            "question": format!("{question} Please answer yes or no."), "answer": answer,
        })
    };
    let report = Case {
        dataset: "mme",
        file: "data/test-00000-of-00001.parquet",
        schema: &[("question_id", Text), ("image", Image), ("question", Text), ("answer", Text), ("category", Text)],
        rows: vec![
            row("1", "OCR", "Is it STOP?", "Yes"),
            row("1", "OCR", "Is it GO?", "No"),
            row("2", "code_reasoning", "Does it print 1?", "Yes"),
            row("2", "code_reasoning", "Does it print 2?", "No"),
        ],
        task: None,
        split: None,
        // Both questions about a picture have one name, so rows go by their place.
        ids: &["0", "1", "2", "3"],
        questions: &[
            "Is it STOP?\nAnswer the question using a single word or phrase.",
            "Is it GO?\nAnswer the question using a single word or phrase.",
            "Does it print 1?\nAnswer the question using a single word or phrase.",
            "Does it print 2?\nAnswer the question using a single word or phrase.",
        ],
        pictures: &[1, 1, 1, 1],
        replies: &["Yes.", "no", "yes", "Yes"],
        metric: Benchmark::Mme,
        score: 250.0,
    }
    .check();
    let Aggregate::Mme(scores) = report.aggregate else { panic!("{:?}", report.aggregate) };
    assert_eq!((scores.perception, scores.cognition), (200.0, 50.0));
}

const POPE: &[(&str, crate::table::Type)] = &[
    ("id", Text),
    ("question_id", Text),
    ("question", Text),
    ("answer", Text),
    ("image_source", Text),
    ("image", Image),
    ("category", Text),
];

fn pope(question_id: &str, answer: &str, category: &str) -> Value {
    json!({
        "id": "0", "question_id": question_id, "question": " Is there a cat? ", "answer": answer, "image": "a",
        "category": category,
    })
}

#[test]
fn pope_goes_from_its_file_to_its_score() {
    let asked = "Is there a cat?\nAnswer the question using a single word or phrase.";
    Case {
        dataset: "pope",
        file: "data/test-00000-of-00001.parquet",
        schema: POPE,
        rows: vec![pope("1", "yes", "adversarial"), pope("2", "no", "adversarial"), pope("1", "yes", "random")],
        task: None,
        split: None,
        ids: &["0", "1", "2"],
        questions: &[asked, asked, asked],
        pictures: &[1, 1, 1],
        replies: &["Yes", "yes", "no"],
        metric: Benchmark::Pope,
        // Precision and recall are one half.
        score: 50.0,
    }
    .check();
}

#[test]
fn a_split_of_popes_other_configuration_is_read_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    for (split, answer) in [("adversarial", "yes"), ("popular", "no"), ("random", "yes")] {
        let file = folder.path().join(format!("{split}-00000-of-00001.parquet"));
        write(&file, POPE, &[pope("1", answer, split)], 100);
    }
    let options = DatasetOptions { split: Some("popular".to_owned()), ..Default::default() };
    let samples = good(&open("pope", folder.path(), &options));
    assert_eq!((samples[0].row["category"].as_str(), samples.len()), (Some("popular"), 1));
    assert_eq!(scored(&samples, Benchmark::Pope, &["no"]).samples[0].score, Some(1.0));
}

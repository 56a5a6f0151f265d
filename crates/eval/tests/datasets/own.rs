//! Questions of one's own, as JSONL and as Parquet.

use serde_json::json;
use visionthink_data::{ImageSource, ParquetWriter, Question};
use visionthink_eval::metrics::own::OwnMetric;
use visionthink_eval::{Benchmark, DatasetOptions};

use crate::table::picture;
use crate::{good, open, scored};

#[test]
fn a_jsonl_file_is_asked_and_scored_by_a_rule_of_choice() {
    let folder = tempfile::tempdir().unwrap();
    fs_err::create_dir(folder.path().join("pictures")).unwrap();
    for name in ["one", "two"] {
        fs_err::write(folder.path().join(format!("pictures/{name}.png")), picture(name)).unwrap();
    }
    let rows = [
        json!({ "id": "a", "image": "pictures/one.png", "question": "What does it say?", "answer": "hello" }),
        json!({ "image": ["pictures/two.png", "pictures/one.png"], "question": "Same?", "answer": "no", "answers": ["differ"] }),
        json!({ "question": "2 + 2?", "answer": ["four", "4"] }),
    ];
    let lines = rows.map(|row| row.to_string()).join("\n\n");
    let path = folder.path().join("questions.jsonl");
    fs_err::write(&path, lines).unwrap();

    let dataset = open("own", &path, &DatasetOptions::default());
    assert_eq!(dataset.count(), None);
    let samples = good(&dataset);
    assert_eq!(samples.iter().map(|sample| sample.id.as_str()).collect::<Vec<_>>(), ["a", "1", "2"]);
    assert_eq!(samples[0].question, "What does it say?");
    assert_eq!(samples[1].images, [picture("two"), picture("one")]);
    assert!(samples[2].images.is_empty());
    for (metric, score) in [
        (OwnMetric::Exact, 1.0 / 3.0),
        (OwnMetric::Anls, (0.8 + 1.0) / 3.0),
        (OwnMetric::Relaxed, 1.0 / 3.0),
        (OwnMetric::Contains, 2.0 / 3.0),
    ] {
        let report = scored(&samples, Benchmark::Own(metric), &["helo", "differ", "It is 4."]);
        assert!((report.paper_score - 100.0 * score).abs() < 1e-9, "{metric}: {}", report.paper_score);
    }
}

#[test]
fn a_parquet_file_with_options_is_asked_with_their_letters() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.parquet");
    let mut writer = ParquetWriter::create(&path).unwrap();
    for (id, answer) in [("x", "B"), ("y", "a cat")] {
        let question = Question {
            id: id.to_owned(),
            image: ImageSource::Bytes(picture("one")),
            question: "What is it?".to_owned(),
            answer: answer.to_owned(),
            options: vec!["a cat".to_owned(), "a dog".to_owned()],
            ..Question::default()
        };
        writer.write(&question).unwrap();
    }
    writer.finish().unwrap();

    for opened in [path.as_path(), folder.path()] {
        let dataset = open("own", opened, &DatasetOptions::default());
        assert_eq!(dataset.count(), Some(2));
        let samples = good(&dataset);
        assert_eq!(
            samples[0].question,
            "What is it?\nA. a cat\nB. a dog\n\nAnswer with the option's letter from the given choices directly."
        );
        let report = scored(&samples, Benchmark::Own(OwnMetric::MultipleChoice), &["(B)", "B"]);
        assert_eq!(report.paper_score, 50.0);
    }
}

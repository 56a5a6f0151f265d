//! Limits and shards.

use std::path::Path;

use serde_json::{Value, json};
use visionthink_eval::{DatasetOptions, Part, ShardOf};

use crate::table::Type::{Image, Text};
use crate::table::write;
use crate::{good, open};

/// RealWorldQA in three files of 4, 3 and 4 rows, two rows to a row group.
fn realworldqa(folder: &Path) {
    let schema = [("image", Image), ("question", Text), ("answer", Text)];
    let rows: Vec<Value> =
        (0..11).map(|row| json!({ "image": "a", "question": format!("{row}?"), "answer": "A" })).collect();
    for (index, rows) in [&rows[..4], &rows[4..7], &rows[7..]].into_iter().enumerate() {
        write(&folder.join(format!("data/test-0000{index}-of-00003.parquet")), &schema, rows, 2);
    }
}

#[test]
fn rows_keep_their_places_over_files_and_parts() {
    let folder = tempfile::tempdir().unwrap();
    realworldqa(folder.path());
    for (limit, shard, expected) in [
        (None, None, (0..11).collect::<Vec<u64>>()),
        (Some(5), None, vec![0, 1, 2, 3, 4]),
        (None, Some((1, 4)), vec![1, 5, 9]),
        (Some(9), Some((1, 4)), vec![1, 5]),
        (Some(0), None, vec![]),
        (Some(99), Some((0, 6)), vec![0, 6]),
    ] {
        let part = Part { limit, shard: shard.map(|(index, of)| ShardOf { index, of }) };
        let dataset = open("realworldqa", folder.path(), &DatasetOptions { part, ..Default::default() });
        assert_eq!(dataset.count(), Some(expected.len() as u64), "{part:?}");
        let samples = good(&dataset);
        assert_eq!(samples.iter().map(|sample| sample.index).collect::<Vec<_>>(), expected, "{part:?}");
        for sample in samples {
            assert_eq!((sample.id, sample.question), (sample.index.to_string(), format!("{}?", sample.index)));
        }
    }
}

#[test]
fn samples_begin_anew_each_time_they_are_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    realworldqa(folder.path());
    let dataset = open("realworldqa", folder.path(), &DatasetOptions::default());
    let mut first = dataset.samples().unwrap();
    assert_eq!(first.by_ref().count(), 11);
    assert!(first.next().is_none());
    assert_eq!((first.tally().samples, dataset.samples().unwrap().count()), (11, 11));
}

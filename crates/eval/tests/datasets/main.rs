//! Each benchmark from a file in the Hub's schema, made here, to its score; and files that are wrong.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, the functions it calls too")]

mod bad_files;
mod choices;
mod judged;
mod own;
mod parts;
mod table;
mod texts;
mod yes_no;

use std::path::Path;

use serde_json::Value;
use visionthink_eval::question::Task;
use visionthink_eval::{Benchmark, Dataset, DatasetOptions, Options, Report, Sample, benchmarks, score};

use table::{Type, write};

/// A data set of one file, what it should ask, and what given replies should score.
struct Case<'a> {
    dataset: &'a str,
    /// The file below the folder that is opened.
    file: &'a str,
    schema: &'a [(&'a str, Type)],
    rows: Vec<Value>,
    /// The other way to ask, and the other split.
    task: Option<Task>,
    split: Option<&'a str>,
    ids: &'a [&'a str],
    questions: &'a [&'a str],
    /// How many pictures each question has.
    pictures: &'a [usize],
    replies: &'a [&'a str],
    metric: Benchmark,
    score: f64,
}

impl Case<'_> {
    fn check(self) -> Report {
        let folder = tempfile::tempdir().unwrap();
        write(&folder.path().join(self.file), self.schema, &self.rows, 100);
        let split = self.split.map(str::to_owned);
        let dataset =
            open(self.dataset, folder.path(), &DatasetOptions { split, task: self.task, ..Default::default() });
        assert_eq!(dataset.count(), Some(self.rows.len() as u64));
        let samples = good(&dataset);
        assert_eq!(samples.iter().map(|sample| sample.id.as_str()).collect::<Vec<_>>(), self.ids);
        assert_eq!(samples.iter().map(|sample| sample.question.as_str()).collect::<Vec<_>>(), self.questions);
        assert_eq!(samples.iter().map(|sample| sample.images.len()).collect::<Vec<_>>(), self.pictures);
        assert!(dataset.spec().metrics.contains(&self.metric));
        let report = scored(&samples, self.metric, self.replies);
        // Sums of a few doubles, by rules that are compared with their recorded results elsewhere.
        assert!((report.paper_score - self.score).abs() < 1e-9, "{} instead of {}", report.paper_score, self.score);
        for (score, id) in report.samples.iter().zip(self.ids) {
            assert_eq!(score.id.as_deref(), Some(*id));
        }
        report
    }
}

fn open(dataset: &str, path: &Path, options: &DatasetOptions) -> Dataset {
    Dataset::open(benchmarks::find(dataset).unwrap(), path, options).unwrap()
}

fn refused(dataset: &str, path: &Path, options: &DatasetOptions) -> String {
    Dataset::open(benchmarks::find(dataset).unwrap(), path, options).unwrap_err().to_string()
}

/// All samples, none of which has anything wrong with it.
fn good(dataset: &Dataset) -> Vec<Sample> {
    let samples: Vec<Sample> = dataset.samples().unwrap().collect::<Result<_, _>>().unwrap();
    for sample in &samples {
        assert!(sample.can_be_scored(), "{}: {:?}", sample.id, sample.defects);
    }
    samples
}

fn scored(samples: &[Sample], metric: Benchmark, replies: &[&str]) -> Report {
    assert_eq!(samples.len(), replies.len());
    let rows: Vec<Value> =
        samples.iter().zip(replies).map(|(sample, reply)| sample.with_reply(metric, reply)).collect();
    score(metric, &rows, &Options::default()).unwrap()
}

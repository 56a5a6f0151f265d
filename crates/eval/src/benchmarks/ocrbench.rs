//! OCRBench: a thousand questions about text in pictures, of ten types.

use visionthink_data::{Column, ColumnKind};

use super::spec::{Generation, Hub, Paper, PaperScores, Pictures, Spec};
use crate::benchmark::Benchmark;
use crate::metrics::answer_tag::TagOrder;
use crate::question::Task;

pub(super) static OCRBENCH: Spec = Spec {
    name: "ocrbench",
    title: "OCRBench",
    hub: Some(Hub { repository: "echo840/OCRBench", config: None, split: "test", rows: 1_000 }),
    columns: &[
        Column::required("dataset", ColumnKind::Text),
        Column::required("question", ColumnKind::Text),
        Column::required("question_type", ColumnKind::Text),
        Column::required("answer", ColumnKind::TextOrTexts),
        Column::required("image", ColumnKind::Image),
    ],
    id: &[],
    pictures: Pictures::Always("image"),
    answer: &["answer"],
    no_answer: None,
    tasks: &[Task::OcrBench],
    metrics: &[Benchmark::OcrBench],
    generation: Generation::greedy(128),
    paper: Paper {
        metric: Benchmark::OcrBench,
        answer_tag: TagOrder::CloseFirst,
        scores: Some(PaperScores { vanilla: 81.5, visionthink: 80.8, quarter: Some(68.8) }),
    },
};

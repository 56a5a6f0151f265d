//! MMBench, English: multiple choices, each asked in several rotations of its options.
//!
//! The paper reports `test`, whose answers only the official server has; `dev` has answers.

use visionthink_data::{Column, ColumnKind};

use super::spec::{Generation, Hub, Paper, PaperScores, Pictures, Spec};
use crate::benchmark::Benchmark;
use crate::metrics::answer_tag::TagOrder;
use crate::question::Task;

pub(super) static MMBENCH: Spec = Spec {
    name: "mmbench",
    title: "MMBench",
    hub: Some(Hub { repository: "lmms-lab/MMBench", config: Some("en"), split: "test", rows: 6_666 }),
    columns: &[
        Column::required("index", ColumnKind::Number),
        Column::required("question", ColumnKind::Text),
        Column::required("hint", ColumnKind::Text),
        Column::required("answer", ColumnKind::Text),
        Column::required("A", ColumnKind::Text),
        Column::required("B", ColumnKind::Text),
        Column::required("C", ColumnKind::Text),
        Column::required("D", ColumnKind::Text),
        Column::optional("E", ColumnKind::Text),
        Column::required("category", ColumnKind::Text),
        Column::required("L2-category", ColumnKind::Text),
        Column::optional("source", ColumnKind::Text),
        Column::optional("split", ColumnKind::Text),
        Column::required("image", ColumnKind::Image),
    ],
    id: &["index"],
    pictures: Pictures::Always("image"),
    answer: &["answer"],
    no_answer: Some("nan"),
    tasks: &[Task::MmBench],
    metrics: &[Benchmark::MmBench],
    generation: Generation::greedy(1_024),
    paper: Paper {
        metric: Benchmark::MmBench,
        answer_tag: TagOrder::CloseFirst,
        scores: Some(PaperScores { vanilla: 82.6, visionthink: 80.0, quarter: None }),
    },
};

//! POPE: is an object in the picture? Of the configuration `Full` choose the split `adversarial`, `popular` or `random`.
//!
//! Its `question_id` repeats across the three, so that no column names a row.

use visionthink_data::{Column, ColumnKind};

use super::spec::{Generation, Hub, Paper, PaperScores, Pictures, Spec};
use crate::benchmark::Benchmark;
use crate::metrics::answer_tag::TagOrder;
use crate::question::Task;

pub(super) static POPE: Spec = Spec {
    name: "pope",
    title: "POPE",
    hub: Some(Hub { repository: "lmms-lab/POPE", config: None, split: "test", rows: 9_000 }),
    columns: &[
        Column::optional("question_id", ColumnKind::Name),
        Column::required("question", ColumnKind::Text),
        Column::required("answer", ColumnKind::Text),
        Column::optional("category", ColumnKind::Text),
        Column::required("image", ColumnKind::Image),
    ],
    id: &[],
    pictures: Pictures::Always("image"),
    answer: &["answer"],
    no_answer: None,
    tasks: &[Task::Pope],
    metrics: &[Benchmark::Pope],
    generation: Generation::greedy(128),
    paper: Paper {
        metric: Benchmark::Pope,
        answer_tag: TagOrder::CloseFirst,
        scores: Some(PaperScores { vanilla: 86.7, visionthink: 86.0, quarter: Some(82.8) }),
    },
};

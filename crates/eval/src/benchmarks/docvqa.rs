//! DocVQA: questions about scanned pages.

use visionthink_data::{Column, ColumnKind};

use super::spec::{Generation, Hub, Paper, PaperScores, Pictures, Spec};
use crate::benchmark::Benchmark;
use crate::metrics::answer_tag::TagOrder;
use crate::question::Task;

pub(super) static DOCVQA: Spec = Spec {
    name: "docvqa",
    title: "DocVQA",
    hub: Some(Hub { repository: "lmms-lab/DocVQA", config: Some("DocVQA"), split: "validation", rows: 5_349 }),
    columns: &[
        Column::optional("questionId", ColumnKind::Name),
        Column::required("question", ColumnKind::Text),
        Column::required("answers", ColumnKind::Texts),
        Column::required("image", ColumnKind::Image),
    ],
    id: &["questionId"],
    pictures: Pictures::Always("image"),
    answer: &["answers"],
    no_answer: None,
    tasks: &[Task::DocVqa],
    metrics: &[Benchmark::DocVqa],
    generation: Generation::greedy(32),
    paper: Paper {
        metric: Benchmark::DocVqa,
        answer_tag: TagOrder::CloseFirst,
        scores: Some(PaperScores { vanilla: 95.1, visionthink: 94.4, quarter: Some(94.3) }),
    },
};

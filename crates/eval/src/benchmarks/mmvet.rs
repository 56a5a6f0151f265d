//! MM-Vet: open questions that need several capabilities at once; graded by a judge.

use visionthink_data::{Column, ColumnKind};

use super::spec::{Generation, Hub, Paper, PaperScores, Pictures, Spec};
use crate::benchmark::Benchmark;
use crate::metrics::answer_tag::TagOrder;
use crate::question::Task;

pub(super) static MMVET: Spec = Spec {
    name: "mmvet",
    title: "MM-Vet",
    hub: Some(Hub { repository: "lmms-lab/MMVet", config: None, split: "test", rows: 218 }),
    columns: &[
        Column::required("question_id", ColumnKind::Name),
        Column::required("question", ColumnKind::Text),
        Column::required("answer", ColumnKind::Text),
        Column::required("capability", ColumnKind::Text),
        Column::required("image", ColumnKind::Image),
    ],
    id: &["question_id"],
    pictures: Pictures::Sometimes("image"),
    answer: &["answer"],
    no_answer: None,
    tasks: &[Task::MmVet],
    metrics: &[Benchmark::MmVet],
    generation: Generation { max_new_tokens: Some(1024), temperature: 0.2 },
    paper: Paper {
        metric: Benchmark::MmVet,
        answer_tag: TagOrder::CloseFirst,
        scores: Some(PaperScores { vanilla: 61.6, visionthink: 67.1, quarter: Some(54.5) }),
    },
};

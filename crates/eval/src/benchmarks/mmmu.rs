//! MMMU: college exams over thirty subjects, with up to seven pictures a question.

use visionthink_data::{Column, ColumnKind};

use super::spec::{Generation, Hub, Paper, PaperScores, Pictures, Spec};
use crate::benchmark::Benchmark;
use crate::metrics::answer_tag::TagOrder;
use crate::question::Task;

pub(super) static MMMU: Spec = Spec {
    name: "mmmu",
    title: "MMMU",
    hub: Some(Hub { repository: "lmms-lab/MMMU", config: None, split: "validation", rows: 900 }),
    columns: &[
        Column::required("id", ColumnKind::Text),
        Column::required("question", ColumnKind::Text),
        Column::required("options", ColumnKind::Text),
        Column::required("answer", ColumnKind::Text),
        Column::required("question_type", ColumnKind::Text),
        Column::required("image_1", ColumnKind::Image),
        Column::optional("image_2", ColumnKind::Image),
        Column::optional("image_3", ColumnKind::Image),
        Column::optional("image_4", ColumnKind::Image),
        Column::optional("image_5", ColumnKind::Image),
        Column::optional("image_6", ColumnKind::Image),
        Column::optional("image_7", ColumnKind::Image),
    ],
    id: &["id"],
    pictures: Pictures::Marked,
    answer: &["answer"],
    no_answer: None,
    tasks: &[Task::Mmmu],
    metrics: &[Benchmark::Mmmu],
    generation: Generation::greedy(16),
    paper: Paper {
        metric: Benchmark::Mmmu,
        answer_tag: TagOrder::CloseFirst,
        scores: Some(PaperScores { vanilla: 50.3, visionthink: 51.2, quarter: None }),
    },
};

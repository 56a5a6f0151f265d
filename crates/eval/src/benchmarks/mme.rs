//! MME: two yes-or-no questions about each picture, so that no column names a row.

use visionthink_data::{Column, ColumnKind};

use super::spec::{Generation, Hub, Paper, PaperScores, Pictures, Spec};
use crate::benchmark::Benchmark;
use crate::metrics::answer_tag::TagOrder;
use crate::question::Task;

pub(super) static MME: Spec = Spec {
    name: "mme",
    title: "MME",
    hub: Some(Hub { repository: "lmms-lab/MME", config: None, split: "test", rows: 2_374 }),
    columns: &[
        Column::required("question_id", ColumnKind::Name),
        Column::required("question", ColumnKind::Text),
        Column::required("answer", ColumnKind::Text),
        Column::required("category", ColumnKind::Text),
        Column::required("image", ColumnKind::Image),
    ],
    id: &[],
    pictures: Pictures::Always("image"),
    answer: &["answer"],
    no_answer: None,
    tasks: &[Task::Mme],
    metrics: &[Benchmark::Mme],
    generation: Generation::greedy(16),
    paper: Paper {
        metric: Benchmark::Mme,
        answer_tag: TagOrder::CloseFirst,
        scores: Some(PaperScores { vanilla: 2316.0, visionthink: 2400.0, quarter: Some(2270.0) }),
    },
};

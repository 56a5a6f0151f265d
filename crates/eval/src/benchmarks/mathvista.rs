//! MathVista: mathematics about pictures, asked in three ways of which the paper does not name its own.

use visionthink_data::{Column, ColumnKind};

use super::spec::{Generation, Hub, Paper, PaperScores, Pictures, Spec};
use crate::benchmark::Benchmark;
use crate::metrics::answer_tag::TagOrder;
use crate::question::{Shot, Task};

pub(super) static MATHVISTA: Spec = Spec {
    name: "mathvista",
    title: "MathVista",
    hub: Some(Hub { repository: "AI4Math/MathVista", config: None, split: "testmini", rows: 1_000 }),
    columns: &[
        Column::required("pid", ColumnKind::Name),
        Column::required("question", ColumnKind::Text),
        Column::required("decoded_image", ColumnKind::Image),
        Column::required("choices", ColumnKind::Texts),
        Column::required("unit", ColumnKind::Text),
        Column::required("precision", ColumnKind::Number),
        Column::required("answer", ColumnKind::Text),
        Column::required("question_type", ColumnKind::Text),
        Column::required("answer_type", ColumnKind::Text),
        Column::required("query", ColumnKind::Text),
        Column::required("metadata", ColumnKind::Struct),
    ],
    id: &["pid"],
    pictures: Pictures::Always("decoded_image"),
    answer: &["answer"],
    no_answer: None,
    tasks: &[Task::MathVista(Shot::Cot), Task::MathVista(Shot::Format), Task::MathVista(Shot::Solution)],
    metrics: &[Benchmark::MathVista],
    generation: Generation::greedy(1_024),
    paper: Paper {
        metric: Benchmark::MathVista,
        answer_tag: TagOrder::CloseFirst,
        scores: Some(PaperScores { vanilla: 68.2, visionthink: 67.5, quarter: Some(62.2) }),
    },
};

//! MathVerse: each problem in five versions that move its text into the picture, and one without a picture.

use visionthink_data::{Column, ColumnKind};

use super::spec::{Generation, Hub, Paper, PaperScores, Pictures, Spec};
use crate::benchmark::Benchmark;
use crate::metrics::answer_tag::TagOrder;
use crate::question::Task;

pub(super) static MATHVERSE: Spec = Spec {
    name: "mathverse",
    title: "MathVerse",
    hub: Some(Hub { repository: "CaraJ/MathVerse-lmmseval", config: Some("testmini"), split: "testmini", rows: 3_940 }),
    columns: &[
        Column::required("sample_index", ColumnKind::Name),
        Column::required("problem_index", ColumnKind::Name),
        Column::required("problem_version", ColumnKind::Text),
        Column::required("question", ColumnKind::Text),
        Column::required("question_for_eval", ColumnKind::Text),
        Column::required("answer", ColumnKind::Text),
        Column::required("question_type", ColumnKind::Text),
        Column::required("query_wo", ColumnKind::Text),
        Column::required("query_cot", ColumnKind::Text),
        Column::required("metadata", ColumnKind::Struct),
        Column::required("image", ColumnKind::Image),
    ],
    id: &["sample_index"],
    pictures: Pictures::Sometimes("image"),
    answer: &["answer"],
    no_answer: None,
    tasks: &[Task::MathVerse],
    metrics: &[Benchmark::MathVerse],
    generation: Generation::greedy(16_384),
    paper: Paper {
        metric: Benchmark::MathVerse,
        answer_tag: TagOrder::CloseFirst,
        scores: Some(PaperScores { vanilla: 46.3, visionthink: 48.0, quarter: Some(43.1) }),
    },
};

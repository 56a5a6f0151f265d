//! MMMU-Pro: harder exams, once as text with ten options, once inside the picture.
//!
//! The paper reports one number and does not say of which, or whether it is the mean; both carry it here.

use visionthink_data::{Column, ColumnKind};

use super::spec::{Generation, Hub, Paper, PaperScores, Pictures, Spec};
use crate::benchmark::Benchmark;
use crate::metrics::answer_tag::TagOrder;
use crate::question::Task;

pub(super) static STANDARD: Spec = Spec {
    name: "mmmu-pro-standard",
    title: "MMMU-Pro",
    hub: Some(Hub { repository: "MMMU/MMMU_Pro", config: Some("standard (10 options)"), split: "test", rows: 1_730 }),
    columns: &[
        Column::required("id", ColumnKind::Text),
        Column::required("question", ColumnKind::Text),
        Column::required("options", ColumnKind::Text),
        Column::required("answer", ColumnKind::Text),
        Column::required("subject", ColumnKind::Text),
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
    tasks: &[Task::MmmuProStandard, Task::MmmuProStandardCot],
    metrics: &[Benchmark::MmmuProStandard],
    generation: Generation::greedy(256),
    paper: Paper {
        metric: Benchmark::MmmuProStandard,
        answer_tag: TagOrder::CloseFirst,
        scores: Some(PaperScores { vanilla: 37.7, visionthink: 38.9, quarter: None }),
    },
};

pub(super) static VISION: Spec = Spec {
    name: "mmmu-pro-vision",
    title: "MMMU-Pro (vision)",
    hub: Some(Hub { repository: "MMMU/MMMU_Pro", config: Some("vision"), split: "test", rows: 1_730 }),
    columns: &[
        Column::required("id", ColumnKind::Text),
        Column::optional("options", ColumnKind::Text),
        Column::required("answer", ColumnKind::Text),
        Column::required("subject", ColumnKind::Text),
        Column::required("image", ColumnKind::Image),
    ],
    id: &["id"],
    pictures: Pictures::Always("image"),
    answer: &["answer"],
    no_answer: None,
    tasks: &[Task::MmmuProVision, Task::MmmuProVisionCot],
    metrics: &[Benchmark::MmmuProVision],
    generation: Generation::greedy(256),
    paper: Paper {
        metric: Benchmark::MmmuProVision,
        answer_tag: TagOrder::CloseFirst,
        scores: Some(PaperScores { vanilla: 37.7, visionthink: 38.9, quarter: None }),
    },
};

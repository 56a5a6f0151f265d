//! HallusionBench: yes or no about figures, and about figures that were changed or left out. The paper does not report it.

use visionthink_data::{Column, ColumnKind};

use super::spec::{Generation, Hub, Paper, Pictures, Spec};
use crate::benchmark::Benchmark;
use crate::metrics::answer_tag::TagOrder;
use crate::question::Task;

pub(super) static HALLUSION_BENCH: Spec = Spec {
    name: "hallusion-bench",
    title: "HallusionBench",
    hub: Some(Hub { repository: "lmms-lab/HallusionBench", config: None, split: "image", rows: 951 }),
    columns: &[
        Column::required("category", ColumnKind::Text),
        Column::required("subcategory", ColumnKind::Text),
        Column::optional("visual_input", ColumnKind::Name),
        Column::required("set_id", ColumnKind::Name),
        Column::required("figure_id", ColumnKind::Name),
        Column::required("question_id", ColumnKind::Name),
        Column::required("question", ColumnKind::Text),
        Column::required("gt_answer", ColumnKind::Name),
        Column::required("gt_answer_details", ColumnKind::Text),
        Column::required("image", ColumnKind::Image),
    ],
    id: &["category", "subcategory", "set_id", "figure_id", "question_id"],
    pictures: Pictures::Sometimes("image"),
    answer: &["gt_answer"],
    no_answer: None,
    tasks: &[Task::HallusionBench],
    metrics: &[Benchmark::HallusionBench, Benchmark::HallusionBenchYesNo],
    generation: Generation::greedy(128),
    paper: Paper { metric: Benchmark::HallusionBench, answer_tag: TagOrder::CloseFirst, scores: None },
};

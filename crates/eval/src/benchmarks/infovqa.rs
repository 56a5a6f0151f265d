//! InfoVQA: questions about infographics. The paper does not report it.

use visionthink_data::{Column, ColumnKind};

use super::spec::{Generation, Hub, Paper, Pictures, Spec};
use crate::benchmark::Benchmark;
use crate::metrics::answer_tag::TagOrder;
use crate::question::Task;

pub(super) static INFOVQA: Spec = Spec {
    name: "infovqa",
    title: "InfoVQA",
    hub: Some(Hub { repository: "lmms-lab/DocVQA", config: Some("InfographicVQA"), split: "validation", rows: 2_801 }),
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
    tasks: &[Task::InfoVqa],
    metrics: &[Benchmark::InfoVqa],
    generation: Generation::greedy(32),
    paper: Paper { metric: Benchmark::InfoVqa, answer_tag: TagOrder::CloseFirst, scores: None },
};

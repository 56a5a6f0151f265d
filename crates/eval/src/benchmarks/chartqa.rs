//! ChartQA: questions about charts, answered by a word or a number.

use visionthink_data::{Column, ColumnKind};

use super::spec::{Generation, Hub, Paper, PaperScores, Pictures, Spec};
use crate::benchmark::Benchmark;
use crate::metrics::answer_tag::TagOrder;
use crate::question::Task;

pub(super) static CHARTQA: Spec = Spec {
    name: "chartqa",
    title: "ChartQA",
    hub: Some(Hub { repository: "lmms-lab/ChartQA", config: None, split: "test", rows: 2_500 }),
    columns: &[
        Column::required("question", ColumnKind::Text),
        Column::required("answer", ColumnKind::Text),
        Column::optional("type", ColumnKind::Text),
        Column::required("image", ColumnKind::Image),
    ],
    id: &[],
    pictures: Pictures::Always("image"),
    answer: &["answer"],
    no_answer: None,
    tasks: &[Task::ChartQa],
    metrics: &[Benchmark::ChartQa, Benchmark::ChartQaJudge],
    generation: Generation::greedy(16),
    paper: Paper {
        metric: Benchmark::ChartQaJudge,
        answer_tag: TagOrder::CloseFirst,
        scores: Some(PaperScores { vanilla: 79.8, visionthink: 79.8, quarter: Some(62.9) }),
    },
};

//! RealWorldQA: questions about photographs taken from vehicles, options and instruction inside.

use visionthink_data::{Column, ColumnKind};

use super::spec::{Generation, Hub, Paper, PaperScores, Pictures, Spec};
use crate::benchmark::Benchmark;
use crate::metrics::answer_tag::TagOrder;
use crate::question::Task;

pub(super) static REALWORLDQA: Spec = Spec {
    name: "realworldqa",
    title: "RealWorldQA",
    hub: Some(Hub { repository: "lmms-lab/RealWorldQA", config: None, split: "test", rows: 765 }),
    columns: &[
        Column::required("question", ColumnKind::Text),
        Column::required("answer", ColumnKind::Text),
        Column::required("image", ColumnKind::Image),
    ],
    id: &[],
    pictures: Pictures::Always("image"),
    answer: &["answer"],
    no_answer: None,
    tasks: &[Task::RealWorldQa],
    metrics: &[Benchmark::RealWorldQa],
    generation: Generation::greedy(16),
    paper: Paper {
        metric: Benchmark::RealWorldQa,
        answer_tag: TagOrder::OpenLastFirst,
        scores: Some(PaperScores { vanilla: 68.6, visionthink: 68.5, quarter: Some(68.8) }),
    },
};

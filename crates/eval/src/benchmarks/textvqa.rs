//! TextVQA: questions about text in photographs, with the answers of ten people. The paper does not report it.

use visionthink_data::{Column, ColumnKind};

use super::spec::{Generation, Hub, Paper, Pictures, Spec};
use crate::benchmark::Benchmark;
use crate::metrics::answer_tag::TagOrder;
use crate::question::Task;

pub(super) static TEXTVQA: Spec = Spec {
    name: "textvqa",
    title: "TextVQA",
    hub: Some(Hub { repository: "lmms-lab/textvqa", config: None, split: "validation", rows: 5_000 }),
    columns: &[
        Column::required("question_id", ColumnKind::Name),
        Column::required("question", ColumnKind::Text),
        Column::required("answers", ColumnKind::Texts),
        Column::required("image", ColumnKind::Image),
    ],
    id: &["question_id"],
    pictures: Pictures::Always("image"),
    answer: &["answers"],
    no_answer: None,
    tasks: &[Task::TextVqa],
    metrics: &[Benchmark::TextVqa],
    generation: Generation { max_new_tokens: None, temperature: 0.0 },
    paper: Paper { metric: Benchmark::TextVqa, answer_tag: TagOrder::CloseFirst, scores: None },
};

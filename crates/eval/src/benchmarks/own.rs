//! Questions of your own: a JSONL or Parquet file of pictures, questions and answers, by a rule of your choice.
//!
//! In JSONL a picture is a path, relative to the file; a list of them is several pictures. `answers` are further right
//! answers, `options` what there is to choose from.

use visionthink_data::{Column, ColumnKind};

use super::spec::{Generation, Paper, Pictures, Spec};
use crate::benchmark::Benchmark;
use crate::metrics::answer_tag::TagOrder;
use crate::metrics::own::OwnMetric;
use crate::question::Task;

pub(super) static OWN: Spec = Spec {
    name: "own",
    title: "Own questions",
    hub: None,
    columns: &[
        Column::optional("id", ColumnKind::Name),
        Column::optional("image", ColumnKind::Image),
        Column::required("question", ColumnKind::Text),
        Column::required("answer", ColumnKind::TextOrTexts),
        Column::optional("answers", ColumnKind::Texts),
        Column::optional("options", ColumnKind::Texts),
    ],
    id: &["id"],
    pictures: Pictures::Sometimes("image"),
    answer: &["answer", "answers"],
    no_answer: None,
    tasks: &[Task::Own],
    metrics: &[
        Benchmark::Own(OwnMetric::Exact),
        Benchmark::Own(OwnMetric::Anls),
        Benchmark::Own(OwnMetric::Relaxed),
        Benchmark::Own(OwnMetric::Contains),
        Benchmark::Own(OwnMetric::MultipleChoice),
    ],
    generation: Generation { max_new_tokens: None, temperature: 0.0 },
    paper: Paper { metric: Benchmark::Own(OwnMetric::Exact), answer_tag: TagOrder::CloseFirst, scores: None },
};

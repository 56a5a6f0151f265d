//! One question of a benchmark, ready to be asked and scored.

use serde_json::{Map, Value};
use visionthink_data::TableRow;

use super::pictures::{self, ImageCheck, ImageProblem};
use crate::benchmark::Benchmark;
use crate::benchmarks::Spec;
use crate::error::EvalError;
use crate::question::{Task, question_text};
use crate::row::Row;

/// One row of a data set.
#[derive(Debug)]
pub struct Sample {
    /// Its place in the split, counted from 0; the `doc_id` of the harness.
    pub index: u64,
    /// Its name in the data set; where that has none, its place.
    pub id: String,
    /// The encoded pictures in the order in which they are shown; none where one of them is broken.
    pub images: Vec<Vec<u8>>,
    /// The text that is asked; empty where there is none.
    pub question: String,
    /// The values of its columns, pictures left out, and its `id`: what the rules of the benchmark read beside a reply.
    pub row: Value,
    /// What is wrong with it.
    pub defects: Vec<Defect>,
}

/// What is wrong with a sample.
#[derive(Debug, thiserror::Error)]
pub enum Defect {
    /// The text that is to be asked cannot be written.
    #[error("cannot be asked: {0}")]
    Question(#[source] EvalError),
    /// A picture is missing or broken.
    #[error("image in `{column}`: {problem}")]
    Image {
        /// The column.
        column: String,
        /// What is wrong.
        problem: ImageProblem,
    },
    /// The answer is missing.
    #[error("no answer in {}", columns.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" or "))]
    NoAnswer {
        /// The columns that could hold one.
        columns: &'static [&'static str],
    },
}

impl Sample {
    /// Whether a model can be asked: text and pictures are there.
    pub fn can_be_asked(&self) -> bool {
        self.defects.iter().all(|defect| matches!(defect, Defect::NoAnswer { .. }))
    }

    /// Whether a reply can be scored: it can be asked and its answer is known.
    pub fn can_be_scored(&self) -> bool {
        self.defects.is_empty()
    }

    /// The row that [`score()`](crate::score()) takes for a metric: with what a model replied, or, where a judge decides,
    /// with what the judge said of it.
    pub fn with_reply(&self, metric: Benchmark, reply: &str) -> Value {
        let mut row = self.row.clone();
        if let Some(fields) = row.as_object_mut() {
            fields.insert(metric.reply_field().to_owned(), reply.into());
        }
        row
    }

    /// What a row of a table says. Nothing is an error here: what is wrong becomes a defect.
    pub(super) fn read(row: &TableRow<'_>, spec: &'static Spec, task: Task, check: ImageCheck) -> Self {
        let index = row.index();
        let mut fields = row.values();
        let id = id(spec, &fields).unwrap_or_else(|| index.to_string());
        let unanswered = !spec.answer.iter().any(|column| is_answer(fields.get(*column), spec.no_answer));
        fields.insert("id".to_owned(), id.clone().into());
        let values = Value::Object(fields);

        let mut defects = Vec::new();
        let number = usize::try_from(index).unwrap_or(usize::MAX).saturating_add(1);
        let asked = Row::new(number, &values).and_then(|row| question_text(task, &row));
        let question = asked.unwrap_or_else(|error| {
            defects.push(Defect::Question(error));
            String::new()
        });
        let images = pictures::read(spec.pictures, &question, row, check).unwrap_or_else(|defect| {
            defects.push(defect);
            Vec::new()
        });
        defects.extend(unanswered.then_some(Defect::NoAnswer { columns: spec.answer }));
        Self { index, id, images, question, row: values, defects }
    }
}

/// The values that name a row, joined; `None` if the data set names no rows or one of the values is not there.
fn id(spec: &Spec, fields: &Map<String, Value>) -> Option<String> {
    let name = |column: &&str| match fields.get(*column)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let names: Vec<String> = spec.id.iter().map(name).collect::<Option<_>>()?;
    (!names.is_empty()).then(|| names.join("/"))
}

/// Whether a value is an answer, or a list with one.
fn is_answer(value: Option<&Value>, no_answer: Option<&str>) -> bool {
    match value {
        None | Some(Value::Null) => false,
        Some(Value::String(text)) => !text.is_empty() && Some(text.as_str()) != no_answer,
        Some(Value::Array(items)) => items.iter().any(|item| is_answer(Some(item), no_answer)),
        Some(_) => true,
    }
}

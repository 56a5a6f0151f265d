//! From the columns of a row, whatever holds them, to a [`Question`].

use crate::error::{MissingColumns, RowProblem};
use crate::question::{ImageSource, Question, TargetSize};
use crate::read::{Images, Shard};
use crate::selection::Selection;

/// What a column may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Identifier,
    Texts,
    Flag,
    Image,
    Target,
    Selection,
}

impl Kind {
    /// The words for an error message.
    pub(super) fn expected(self) -> &'static str {
        match self {
            Self::Text => "a string",
            Self::Identifier => "a string or an integer",
            Self::Texts => "a list of strings",
            Self::Flag => "a boolean",
            Self::Image => "an image: bytes, a path, a struct of `bytes` and `path`, or a list of one of these",
            Self::Target => "a struct of `tgt_width`, `tgt_height` and `use_tool`",
            Self::Selection => {
                "a struct of `class` (`solvable_low`, `needs_full` or `neither`) and the counts `rollouts`, `right_low` and `right_full`"
            }
        }
    }
}

/// Every column that is read: this project's names and those of VisionThink-Smart and -General. Others are ignored.
///
/// Source: dvlab-research/VisionThink 42afd8c, `verl/utils/dataset/multimodal_dataset.py`.
pub(super) const COLUMNS: [(&str, Kind); 17] = [
    ("id", Kind::Identifier),
    ("doc_id", Kind::Identifier),
    ("image", Kind::Image),
    ("images", Kind::Image),
    ("question", Kind::Text),
    ("problem", Kind::Text),
    ("answer", Kind::Text),
    ("original_answer", Kind::Text),
    ("solution", Kind::Text),
    ("source", Kind::Text),
    ("data_source", Kind::Text),
    ("answers", Kind::Texts),
    ("options", Kind::Texts),
    ("needs_full", Kind::Flag),
    ("family", Kind::Text),
    ("info", Kind::Target),
    ("selection", Kind::Selection),
];

const QUESTION: &[&str] = &["question", "problem"];
const IMAGE: &[&str] = &["image", "images"];
const ANSWER: &[&str] = &["answer", "original_answer", "solution"];

/// One row of named values. Asking for a column that is not there gives "nothing", like a null.
pub(super) trait Record {
    fn has(&self, column: &str) -> bool;
    fn columns(&self) -> Vec<String>;
    fn text(&self, column: &str) -> Result<Option<String>, RowProblem>;
    fn identifier(&self, column: &str) -> Result<Option<String>, RowProblem>;
    fn texts(&self, column: &str) -> Result<Vec<String>, RowProblem>;
    fn flag(&self, column: &str) -> Result<Option<bool>, RowProblem>;
    fn image(&self, column: &str) -> Result<Option<ImageSource>, RowProblem>;
    fn target(&self, column: &str) -> Result<Option<TargetSize>, RowProblem>;
    fn selection(&self, column: &str) -> Result<Option<Selection>, RowProblem>;
}

/// Names the columns without which no row can be read, if any is missing.
pub(super) fn missing_columns(
    has: impl Fn(&str) -> bool,
    found: Vec<String>,
    images: Images,
) -> Option<MissingColumns> {
    let mut needed = vec![QUESTION, ANSWER];
    if images == Images::Required {
        needed.push(IMAGE);
    }
    let expected: Vec<_> = needed.into_iter().filter(|names| !names.iter().any(|name| has(name))).collect();
    (!expected.is_empty()).then_some(MissingColumns { expected, found })
}

/// Reads one row. `row` counts from 0 within the shard and names rows that have no id.
pub(super) fn question(record: &impl Record, shard: &Shard, row: u64, images: Images) -> Result<Question, RowProblem> {
    if let Some(missing) = missing_columns(|name| record.has(name), Vec::new(), images) {
        return Err(RowProblem::Columns(MissingColumns { found: record.columns(), ..missing }));
    }
    let question = match record.text("question")? {
        Some(question) => question,
        None => without_image_marks(&record.text("problem")?.ok_or_else(|| null(record, QUESTION))?),
    };
    let solution = record.text("solution")?;
    let answer = match first_text(record, &["answer", "original_answer"])? {
        Some(answer) => answer,
        None => without_answer_tags(solution.as_deref().ok_or_else(|| null(record, ANSWER))?).to_owned(),
    };
    let image = match first(IMAGE, |column| record.image(column))? {
        Some(image) => image,
        None if images == Images::Optional => ImageSource::None,
        None => return Err(null(record, IMAGE)),
    };
    Ok(Question {
        id: first(&["id", "doc_id"], |column| record.identifier(column))?
            .unwrap_or_else(|| format!("{}:{row}", shard.name)),
        image,
        question,
        answer,
        source: first_text(record, &["source", "data_source"])?.unwrap_or_else(|| shard.source.clone()),
        answers: record.texts("answers")?,
        options: record.texts("options")?,
        needs_full: record.flag("needs_full")?,
        family: record.text("family")?,
        solution,
        target: record.target("info")?,
        selection: record.selection("selection")?,
    })
}

/// The first value that is there, in the order of the names.
fn first<T>(columns: &[&str], value: impl Fn(&str) -> Result<Option<T>, RowProblem>) -> Result<Option<T>, RowProblem> {
    for column in columns {
        if let Some(value) = value(column)? {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

fn first_text(record: &impl Record, columns: &[&str]) -> Result<Option<String>, RowProblem> {
    first(columns, |column| record.text(column))
}

/// The image of a column that may hold several: a question takes one.
pub(super) fn one_image(column: &str, mut images: Vec<ImageSource>) -> Result<Option<ImageSource>, RowProblem> {
    match images.len() {
        0 | 1 => Ok(images.pop()),
        count => Err(RowProblem::ManyImages { column: column.to_owned(), count }),
    }
}

/// The error for a value that is null under every name it has; it names the column that is there.
fn null(record: &impl Record, columns: &[&'static str]) -> RowProblem {
    let column = columns.iter().find(|name| record.has(name)).unwrap_or(&columns[0]);
    RowProblem::Null { column: (*column).to_owned() }
}

/// VisionThink's `problem` marks with `<image>` where the image goes. A conversation puts the image there itself, so the mark
/// goes, with the newline after a mark that stood on a line of its own.
fn without_image_marks(problem: &str) -> String {
    let mut parts = problem.split("<image>");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text.truncate(text.trim_end_matches(' ').len());
        let starts_a_line = text.is_empty() || text.ends_with('\n');
        text.push_str(if starts_a_line { part.trim_start_matches(' ').trim_start_matches('\n') } else { part });
    }
    text.trim().to_owned()
}

/// `solution` may be wrapped in `<answer>` tags.
fn without_answer_tags(solution: &str) -> &str {
    let solution = solution.trim();
    solution.strip_prefix("<answer>").and_then(|inner| inner.strip_suffix("</answer>")).map_or(solution, str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_marks_leave_no_trace_in_a_question() {
        for (problem, question) in [
            ("<image>\nWhat is it?", "What is it?"),
            ("<image>What is it?", "What is it?"),
            ("What is it? <image>", "What is it?"),
            ("What is it?\n<image>\n", "What is it?"),
            ("Look at <image> and say what it is.", "Look at and say what it is."),
            ("First line\n<image>\nSecond line", "First line\nSecond line"),
            ("<image><image> Two?", "Two?"),
            ("No mark, 3 < 4, <images>", "No mark, 3 < 4, <images>"),
            ("", ""),
        ] {
            assert_eq!(without_image_marks(problem), question, "{problem:?}");
        }
    }

    #[test]
    fn answer_tags_are_taken_off_only_where_both_are_there() {
        assert_eq!(without_answer_tags(" <answer> 47 </answer>\n"), "47");
        assert_eq!(without_answer_tags("<answer>47"), "<answer>47");
        assert_eq!(without_answer_tags("\\boxed{47}"), "\\boxed{47}");
    }

    #[test]
    fn an_image_is_missed_only_where_images_are_required() {
        let has = |name: &str| matches!(name, "problem" | "solution");
        assert_eq!(missing_columns(has, Vec::new(), Images::Optional), None);
        let missing = missing_columns(has, vec!["problem".into()], Images::Required).unwrap();
        assert_eq!(missing.expected, [IMAGE]);
    }
}

//! MMMU and MMMU-Pro: multiple choices, open questions, and accuracy by subject and domain.

mod accuracy;
mod choice;
mod numbers;
mod open;

use serde::Deserialize;

pub use accuracy::{Group, Scores, Subjects, aggregate, subject};
pub use choice::parse_choice;
pub use open::{OpenAnswer, is_right_open, parse_open};

/// The two kinds of questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum QuestionType {
    /// One of several options.
    MultipleChoice,
    /// A text or a number.
    Open,
}

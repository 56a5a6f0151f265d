//! General judges, and the words they share.

pub(crate) mod choice;
pub(crate) mod exact;
pub(crate) mod numeric;

use serde::{Deserialize, Serialize};

use crate::answer::AnswerTags;
use crate::boxed::boxed_content;

/// What a judge found, with what it read in the reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The reply says what is true.
    Correct {
        /// What it was taken to say.
        read: String,
    },
    /// It does not.
    Wrong {
        /// What it was taken to say; `None` where it says nothing that the judge can read.
        read: Option<String>,
    },
}

impl Verdict {
    pub(crate) fn of(correct: bool, read: impl Into<String>) -> Self {
        let read = read.into();
        if correct { Self::Correct { read } } else { Self::Wrong { read: Some(read) } }
    }

    /// Whether it is [`Verdict::Correct`].
    pub fn is_correct(&self) -> bool {
        matches!(self, Self::Correct { .. })
    }

    /// 1 for correct, 0 for wrong.
    pub fn reward(&self) -> f64 {
        if self.is_correct() { 1.0 } else { 0.0 }
    }
}

/// What is true of a question.
#[derive(Debug, Clone, Copy)]
pub struct Truth<'a> {
    /// Every answer that counts as right.
    pub answers: &'a [&'a str],
    /// The options of a multiple-choice question, in order; empty where there are none or they are not known.
    pub options: &'a [&'a str],
}

/// The part of a reply that a judge reads: what is in the answer tags if there are any, then in a box if there is one.
pub(crate) fn answer_of(reply: &str) -> &str {
    let answer = AnswerTags::Split.prediction(reply).unwrap_or(reply);
    boxed_content(answer).unwrap_or(answer)
}

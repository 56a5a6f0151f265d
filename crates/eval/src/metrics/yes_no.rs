//! The truth of a yes-or-no question.

use serde::Serialize;

/// The two answers that MME and POPE know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum YesNo {
    /// `yes`
    Yes,
    /// `no`
    No,
}

impl YesNo {
    /// Exactly `yes` or `no`.
    pub(crate) fn exactly(text: &str) -> Option<Self> {
        match text {
            "yes" => Some(Self::Yes),
            "no" => Some(Self::No),
            _ => None,
        }
    }
}

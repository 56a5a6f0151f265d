//! What a caller can act on.

/// An error of this crate. Answers that cannot be read are not errors: they are wrong.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RulesError {
    /// A way of reading the answer tags that does not exist.
    #[error("`extract_answer_tags` is `{found}`; expected `split` or `strict`")]
    UnknownAnswerTags {
        /// What was given.
        found: String,
    },
    /// A tolerance that is not a number of at least 0.
    #[error("`{field}` of the tolerance is {found}; expected a number of at least 0")]
    BadTolerance {
        /// `relative` or `absolute`.
        field: &'static str,
        /// What was given.
        found: f64,
    },
}

/// Of this crate.
pub type Result<T> = std::result::Result<T, RulesError>;

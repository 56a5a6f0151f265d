//! The one error type of this crate.
//!
//! Malformed model output and unreadable judges are not here: they are data, see [`crate::FormatFault`] and
//! [`crate::Accuracy::Unjudged`].

/// What a caller can get wrong.
#[derive(Debug, thiserror::Error)]
pub enum RewardError {
    /// There is nothing to take a mean of.
    #[error("{what} of no rows; expected at least one")]
    NoRows {
        /// What was asked for.
        what: &'static str,
    },

    /// One field of a row is shorter or longer than the rest of it, or than the first row.
    #[error("row {row}: `{field}` has {found} entries, expected {expected}")]
    RowLength {
        /// Index of the row.
        row: usize,
        /// Which field.
        field: &'static str,
        /// Its length.
        found: usize,
        /// The length it should have.
        expected: usize,
    },

    /// The rows do not divide into groups.
    #[error("{rows} rows are not whole groups of {group_size}")]
    GroupSize {
        /// How many rows.
        rows: usize,
        /// Responses of one prompt.
        group_size: usize,
    },

    /// The outcome of a call was reported that nobody asked for.
    #[error("no call to the judge is pending; ask for the next step first")]
    NoCallPending,
}

/// Shorthand used across the crate.
pub type Result<T, E = RewardError> = std::result::Result<T, E>;

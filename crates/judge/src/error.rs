//! The one error type of this crate.
//!
//! What a judge does wrong is not here: it is data, see [`Fault`].

use std::io;
use std::path::PathBuf;

use crate::judgement::Fault;
use crate::predictions::LineProblem;

/// What stops the judging.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    /// A file could not be read or written; the message names it.
    #[error(transparent)]
    Io(#[from] io::Error),

    /// Values of a run file that no judge can be asked with; all of them are listed.
    #[error("{}", problems.join("\n"))]
    Settings {
        /// Key, value and expectation, one a problem.
        problems: Vec<String>,
    },

    /// The key is to come from a variable that is not there.
    #[error("environment variable `{variable}` is not set; it has to hold the key of the judge")]
    NoKey {
        /// Its name.
        variable: String,
    },

    /// What should be a key cannot be sent as one.
    #[error("{place}: no usable key here; expected one line of printable ASCII")]
    UnfitKey {
        /// The variable or file.
        place: String,
    },

    /// Calls failed in a row, each for a reason that asking on will not change.
    #[error("`{url}` served none of {calls} calls in a row; the last one: {fault}")]
    Unreachable {
        /// Where they went.
        url: String,
        /// How many.
        calls: u32,
        /// What became of the last one.
        fault: Fault,
    },

    /// A predictions file without a row that can be judged.
    #[error("{}: holds no prediction{}", path.display(), first.as_ref().map_or(String::new(), |first| format!("; {first}")))]
    NoPredictions {
        /// The file.
        path: PathBuf,
        /// What is wrong with the first line, where there is one.
        first: Option<LineProblem>,
    },

    /// Verdicts would be written into the file that the predictions come from.
    #[error("{}: is the file of predictions; verdicts need another one", path.display())]
    SameFile {
        /// The file.
        path: PathBuf,
    },

    /// The output holds something that no earlier run wrote.
    #[error("{}:{line}: not a verdict of an earlier run; choose another output", path.display())]
    ForeignOutput {
        /// The output.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
    },

    /// The output holds verdicts of another judge.
    #[error("{}:{line}: judged by `{found}`, this run asks `{expected}`; choose another output", path.display())]
    OtherJudge {
        /// The output.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// The judge of the earlier run.
        found: String,
        /// The judge of this run.
        expected: String,
    },
}

/// Shorthand used across the crate.
pub type Result<T, E = JudgeError> = std::result::Result<T, E>;

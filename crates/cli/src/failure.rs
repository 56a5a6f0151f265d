//! Errors as a person reads them: what is wrong, its chain of causes, then what to do about it.

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

/// An error with advice, or one that is the caller's mistake.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    hints: Vec<String>,
    usage: bool,
}

impl Failure {
    /// Wrong usage or a wrong run file: exit code 2.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { message: message.into(), hints: Vec::new(), usage: true }
    }

    /// Something failed: exit code 1.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self { message: message.into(), hints: Vec::new(), usage: false }
    }

    /// Adds a line of advice.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Failure {}

/// The chain of causes in one line.
pub(crate) fn words(error: &anyhow::Error) -> String {
    let mut said = String::new();
    for cause in error.chain() {
        let text = cause.to_string();
        // A library error often repeats its source in its own message; once is enough.
        if !said.contains(&text) {
            said = if said.is_empty() { text } else { format!("{said}: {text}") };
        }
    }
    said
}

/// Prints the chain of causes and the hints to stderr and chooses the exit code.
#[expect(clippy::print_stderr, reason = "the last words of the program")]
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {}", words(error));
    let failures: Vec<&Failure> = error.chain().filter_map(|cause| cause.downcast_ref()).collect();
    for hint in failures.iter().flat_map(|failure| &failure.hints) {
        eprintln!("hint: {hint}");
    }
    ExitCode::from(if failures.iter().any(|failure| failure.usage) { 2 } else { 1 })
}

//! Asking a judge whether an answer is right: what it is told, how its reply is read, when it is asked again.
//!
//! No connection and no clock: [`Question`] gives the text to send, [`Retry`] says when to send it and how long to wait,
//! [`VerdictReading`] and [`VerifierFamily`] read the reply. Only the reply is read, never the prediction in it.

mod prompts;
mod retry;
mod verdict;
mod verifier;

pub use prompts::{JUDGE_SYSTEM, JUDGE_USER, Question, VERIFIER_SYSTEM_QWEN2_5, VERIFIER_SYSTEM_QWEN3, VERIFIER_USER};
pub use retry::{CallOutcome, Retry, RetryPolicy, RetryStep};
pub use verdict::{Verdict, VerdictReading};
pub use verifier::{VerifierFamily, VerifierReading};

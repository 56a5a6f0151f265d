//! The judge: a language model, most often over HTTP, says whether a predicted answer is right.
//!
//! Read [`Judge`] first. A [`JudgeEndpoint`] says which server and model are asked and with how much patience; a [`Judge`]
//! asks one question or many at once, keeps verdicts on disk and counts what they cost; [`judge_file`] does so for a file
//! of predictions. Another [`Respondent`], a model in this process say, takes the server's place by
//! [`Judge::of`]. What is asked, how replies are read and when to ask again is [`visionthink_reward::judge`]'s; this
//! crate owns the connection, the clock and the files.
//!
//! What cannot be judged is [`Accuracy::Unjudged`](visionthink_reward::Accuracy::Unjudged) with a [`Fault`], never wrong.
//! Keys are read from the environment or a file and shown nowhere, see [`Secret`].
//!
//! Calls block; many at once are threads. This crate knows nothing of tensors, models or images.
//!
//! Source of the request: VisionThink, `GPT4VisionClient.query` in `general_qa_tool.py`, commit 42afd8c.

mod cache;
mod chat;
mod client;
mod counts;
mod endpoint;
mod error;
mod http;
mod judge;
mod judgement;
mod key;
mod pool;
mod predictions;
mod prompt;
mod respondent;

pub use counts::Counts;
pub use endpoint::{EndpointKind, JudgeEndpoint, KeyInFile, Prices};
pub use error::{JudgeError, Result};
pub use judge::{Ended, Judge, Judged, Task};
pub use judgement::{Fault, Judgement, Usage};
pub use key::Secret;
pub use predictions::{FileReport, LineProblem, PredictionFiles, Problem, judge_file};
pub use prompt::{Prompt, Variant};
pub use respondent::{Identity, Respondent};

//! The words of the API: requests with every fault named, replies whole and in chunks, errors in OpenAI's shape.
//!
//! Nothing here does I/O. Read [`ChatRequest`] and [`Completion`] first.

mod content;
mod envelope;
mod error;
mod field;
mod limits;
mod options;
mod request;
mod response;

pub use content::{ImageRef, Messages};
pub use envelope::{Delta, Envelope, indexed_call};
pub use error::ApiError;
pub(crate) use field::wrong;
pub use limits::RequestLimits;
pub use options::VisionOptions;
pub use request::{ChatRequest, SamplingFields};
pub use response::{Completion, PromptDetails, Sample, SampleReport, TurnReport, Usage, VisionReport, finish_word};

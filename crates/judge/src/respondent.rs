//! Who replies to a judge's prompts.

use std::fmt;
use std::sync::atomic::AtomicBool;

use serde::Serialize;

use crate::error::Result;
use crate::judgement::Judgement;
use crate::prompt::{Prompt, Variant};

/// What verdicts depend on beside the question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Identity {
    /// How the model is reached: `openai`, `azure`, `checkpoint`.
    pub kind: &'static str,
    /// Which model.
    pub model: String,
    /// What it is asked and how it is read.
    pub variant: Variant,
}

/// A model that replies to prompts: a server over HTTP, or one that runs in this process.
///
/// Its `Display` is the model and where it is.
pub trait Respondent: fmt::Debug + fmt::Display {
    /// What its verdicts depend on.
    fn identity(&self) -> Identity;

    /// Asks one prompt; blocks until there is a verdict or patience ends.
    fn ask(&mut self, prompt: &Prompt) -> Judgement;

    /// Asks many prompts and tells `each` what became of every one, by its index, as soon as it is known.
    ///
    /// Ends early where `cancel` is set or `each` fails; what is not through by then is not told, or told as
    /// [`Fault::Stopped`](crate::Fault::Stopped).
    ///
    /// # Errors
    /// What `each` returns, and where nobody is there who could reply.
    fn ask_all(
        &mut self,
        prompts: &[&Prompt],
        cancel: &AtomicBool,
        each: &mut dyn FnMut(usize, Judgement) -> Result<()>,
    ) -> Result<()>;
}

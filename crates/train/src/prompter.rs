//! From a question about a picture to a task for the rollout loop.

use std::sync::Arc;

use visionthink_engine::{ModelFolder, Picture, Sampling, Task};
use visionthink_protocol::{Conversation, Limits, Mode, Profile, Rules, Setup};

use crate::error::TrainError;

/// What every question of a run has in common: the checkpoint's files, the prompts, and how long a reply may be.
#[derive(Debug)]
pub(crate) struct Prompter {
    pub(crate) folder: ModelFolder,
    pub(crate) profile: Arc<Profile>,
    pub(crate) max_new_tokens: usize,
}

impl Prompter {
    /// The task of answering `question` in a mode, `samples` times.
    ///
    /// # Errors
    /// A question that does not fit the context; a mode that the profile does not know.
    pub(crate) fn task(
        &self,
        picture: &Arc<Picture>,
        question: &str,
        mode: Mode,
        sampling: Sampling,
        samples: usize,
    ) -> Result<Task, TrainError> {
        let context = self.folder.config.text.max_position_embeddings;
        let setup = Setup {
            tokenizer: self.folder.tokenizer.clone(),
            profile: self.profile.clone(),
            mode,
            images: vec![picture.tokens()],
            limits: Limits { max_new_tokens_per_turn: self.max_new_tokens, ..Limits::for_context(context) },
            rules: Rules::Exact,
        };
        let question = self.profile.question(question, 1);
        Ok(Task {
            conversation: Conversation::start(setup, &self.folder.template, &[question])?,
            pictures: vec![picture.clone()],
            sampling,
            samples,
            suppressed_ids: self.folder.suppressed_ids(),
            stop_texts: Vec::new(),
            logprobs: false,
        })
    }
}

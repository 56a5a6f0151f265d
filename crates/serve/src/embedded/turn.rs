//! A turn in flight and the sequence it leaves, as a conversation holds them: dropped, they end and are given back.

use std::sync::Weak;
use std::sync::mpsc::Sender;

use tokio::sync::mpsc;
use visionthink_engine::{SequenceId, TurnReply};

use super::worker::Command;
use crate::api::ApiError;

/// What is heard of a turn.
#[derive(Debug)]
pub(super) enum Heard {
    /// A token was sampled.
    Token(u32),
    /// It has ended.
    Finished(Box<TurnReply>, Held),
    /// It could not be generated.
    Failed(String),
}

/// A sequence that a further turn can go on from; dropping it gives it back.
#[derive(Debug)]
pub(super) struct Held {
    id: SequenceId,
    commands: Weak<Sender<Command>>,
}

impl Held {
    pub(super) fn new(id: SequenceId, commands: Weak<Sender<Command>>) -> Self {
        Self { id, commands }
    }

    pub(super) fn id(&self) -> SequenceId {
        self.id
    }

    /// Leaves the sequence to the turn that goes on from it.
    pub(super) fn hand_over(mut self) {
        self.commands = Weak::new();
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(commands) = self.commands.upgrade() {
            // Where the thread has ended, so has everything it held.
            let _ = commands.send(Command::Release(self.id));
        }
    }
}

/// A turn in flight; dropping it cancels the turn.
#[derive(Debug)]
pub(super) struct Turn {
    heard: mpsc::UnboundedReceiver<Heard>,
}

impl Turn {
    pub(super) fn new(heard: mpsc::UnboundedReceiver<Heard>) -> Self {
        Self { heard }
    }

    /// What happens next.
    ///
    /// # Errors
    /// [`ApiError::EngineFailed`].
    pub(super) async fn next(&mut self) -> Result<Heard, ApiError> {
        match self.heard.recv().await {
            Some(Heard::Failed(reason)) => Err(ApiError::EngineFailed { reason }),
            Some(heard) => Ok(heard),
            None => Err(gone()),
        }
    }
}

/// Where the thread has ended.
pub(super) fn gone() -> ApiError {
    ApiError::EngineFailed { reason: "it has ended".to_owned() }
}

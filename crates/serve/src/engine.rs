//! What answers requests.
//!
//! Two kinds: [`Gateway`], in front of other servers, and [`Embedded`], which runs the model in this process. Both take
//! the same checked request and tell the same [`Sink`]; dropping the future of `answer` ends the work. There is no trait,
//! for the server knows all kinds there are.

use std::time::Duration;

use tokio::sync::mpsc;
use visionthink_protocol::View;

use crate::api::{ApiError, ChatRequest, Completion};
use crate::embedded::{Embedded, EngineStatus};
use crate::gateway::Gateway;
use crate::images::Images;

/// Answers requests.
#[derive(Debug)]
pub enum Engine {
    /// Other servers do the work.
    Gateway(Gateway),
    /// A model in this process does the work.
    Embedded(Embedded),
}

impl Engine {
    /// Answers a request; what can be shown before the end is told to the sink.
    ///
    /// # Errors
    /// Everything that leaves the request without an answer.
    pub async fn answer(&self, request: &ChatRequest, sink: &Sink) -> Result<Completion, ApiError> {
        match self {
            Self::Gateway(gateway) => gateway.answer(request, sink).await,
            Self::Embedded(embedded) => embedded.answer(request, sink).await,
        }
    }

    /// Why a request would find nobody to do the work; `None` where it would.
    pub fn unready(&self) -> Option<&'static str> {
        match self {
            Self::Gateway(gateway) => {
                (gateway.pool().counts().available == 0).then_some("no upstream server is available")
            }
            Self::Embedded(embedded) => match &*embedded.status().borrow() {
                EngineStatus::Loading => Some("the model is being loaded"),
                EngineStatus::Ready => None,
                EngineStatus::Failed(_) => Some("the engine has failed"),
            },
        }
    }

    /// Where images come from.
    pub fn images(&self) -> &Images {
        match self {
            Self::Gateway(gateway) => gateway.images(),
            Self::Embedded(embedded) => embedded.images(),
        }
    }

    /// Keeps an eye on what does the work; ends, with the reason, when it can do no more.
    pub async fn watch(&self) -> String {
        match self {
            Self::Gateway(gateway) => {
                gateway.pool().clone().watch().await;
                std::future::pending().await
            }
            Self::Embedded(embedded) => {
                let mut status = embedded.status();
                let ended = status.wait_for(|status| matches!(status, EngineStatus::Failed(_))).await;
                match ended.as_deref() {
                    Ok(EngineStatus::Failed(reason)) => reason.clone(),
                    _ => "the engine has ended".to_owned(),
                }
            }
        }
    }
}

/// A piece of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Which sample.
    pub sample: usize,
    /// The piece.
    pub piece: ToldPiece,
}

/// Of which kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToldPiece {
    /// Of the answer.
    Content(String),
    /// Of what is thought.
    Reasoning(String),
    /// A turn begins: the model has the question, or the full images that it asked for. Told where turns are to be shown.
    Turn {
        /// Which turn, from 1.
        turn: usize,
        /// The views it sees, in order.
        views: Vec<View>,
    },
}

/// Where an answer is told while it is made; or nowhere, for a client that wants it whole.
#[derive(Debug, Clone)]
pub struct Sink {
    to: Option<(mpsc::Sender<Told>, Duration)>,
}

impl Sink {
    /// Tells nobody.
    pub fn silent() -> Self {
        Self { to: None }
    }

    /// Tells `sender`, which may leave a piece untaken for `patience`.
    pub fn new(sender: mpsc::Sender<Told>, patience: Duration) -> Self {
        Self { to: Some((sender, patience)) }
    }

    /// Tells a piece, waiting until there is room: an engine works no faster than its client reads.
    ///
    /// # Errors
    /// [`ApiError::ClientStalled`] where the client does not read, or has left.
    pub async fn tell(&self, sample: usize, piece: ToldPiece) -> Result<(), ApiError> {
        let Some((sender, patience)) = &self.to else { return Ok(()) };
        match sender.send_timeout(Told { sample, piece }, *patience).await {
            Ok(()) => Ok(()),
            Err(_) => Err(ApiError::ClientStalled),
        }
    }
}

//! What became of a question: a verdict or the reason why there is none, and what it took.

use std::fmt;

use serde::{Deserialize, Serialize};
use visionthink_reward::Accuracy;

use crate::prompt::Variant;

/// Tokens as the server counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Usage {
    /// Of what was sent.
    pub prompt_tokens: u64,
    /// Of what was replied, thinking included.
    pub completion_tokens: u64,
}

impl Usage {
    /// Adds other counts. They are a server's word: a sum that does not fit stays at the largest number.
    pub fn add(&mut self, other: Self) {
        self.prompt_tokens = self.prompt_tokens.saturating_add(other.prompt_tokens);
        self.completion_tokens = self.completion_tokens.saturating_add(other.completion_tokens);
    }
}

/// Why a call gave no verdict. Texts of the server are cut short, and keys in them are `***`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// There was no connection.
    Unreachable {
        /// Why not.
        why: String,
    },
    /// The server does not take such a request (most 4xx: wrong key, model, address or parameter).
    Refused {
        /// HTTP status.
        status: u16,
        /// What the server says.
        message: String,
    },
    /// Too many requests.
    RateLimited,
    /// The server failed (5xx).
    Server {
        /// HTTP status.
        status: u16,
        /// What the server says.
        message: String,
    },
    /// Nothing came in time.
    TimedOut,
    /// The connection broke, or what came over it was not HTTP.
    Dropped {
        /// How.
        why: String,
    },
    /// The reply is not JSON.
    NotJson {
        /// What it is instead.
        found: &'static str,
    },
    /// The reply is JSON and has no text in it.
    NoContent,
    /// There is a text, and no verdict in it.
    NoVerdict,
    /// A model in this process could not reply.
    Model {
        /// Why not.
        why: String,
    },
    /// The asking was called off.
    Stopped,
}

impl Fault {
    /// Whether the next question would fare no better: see [`crate::JudgeError::Unreachable`].
    pub(crate) fn is_hopeless(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Refused { .. })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable { why } => write!(f, "no connection: {why}"),
            Self::Refused { status, message } => write!(f, "the server refuses the request ({status}): {message}"),
            Self::RateLimited => f.write_str("too many requests (429)"),
            Self::Server { status, message } => write!(f, "the server failed ({status}): {message}"),
            Self::TimedOut => f.write_str("no reply within the time limit"),
            Self::Dropped { why } => write!(f, "the connection broke: {why}"),
            Self::NotJson { found } => write!(f, "the reply is {found}, expected JSON"),
            Self::NoContent => f.write_str("the reply has no text"),
            Self::NoVerdict => f.write_str("the reply has no verdict"),
            Self::Model { why } => write!(f, "the model cannot reply: {why}"),
            Self::Stopped => f.write_str("called off"),
        }
    }
}

/// What became of one question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// Right, wrong, or not judged.
    pub accuracy: Accuracy,
    /// What the judge said last, also where no verdict could be read in it.
    pub reply: Option<String>,
    /// What became of the last call; `None` where there is a verdict.
    pub fault: Option<Fault>,
    /// Calls that were made for it.
    pub calls: u32,
    /// Tokens of all these calls.
    pub usage: Usage,
    /// Whether the verdict was known already.
    pub cached: bool,
}

impl Judgement {
    /// What a reply amounts to that came in one call.
    pub fn of_reply(variant: Variant, reply: String, usage: Usage) -> Self {
        let verdict = variant.verdict(&reply);
        Self {
            accuracy: verdict.map_or(Accuracy::Unjudged, Accuracy::from),
            fault: verdict.is_none().then_some(Fault::NoVerdict),
            reply: Some(reply),
            calls: 1,
            usage,
            cached: false,
        }
    }

    /// A call that ended without a reply.
    pub fn without_reply(fault: Fault) -> Self {
        let usage = Usage::default();
        Self { accuracy: Accuracy::Unjudged, reply: None, fault: Some(fault), calls: 1, usage, cached: false }
    }

    /// What a verdict that is known already amounts to: the same, for nothing.
    pub(crate) fn again(&self) -> Self {
        let cached = self.accuracy != Accuracy::Unjudged;
        Self { calls: 0, usage: Usage::default(), cached, ..self.clone() }
    }
}

//! How much one request may hold.

use serde::{Deserialize, Serialize};

/// Bounds of a request; each is checked before the work it guards is begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RequestLimits {
    /// Bytes of the body. Images travel in it as text, a third longer than they are.
    pub max_body_bytes: usize,
    /// Messages.
    pub max_messages: usize,
    /// Images of all messages.
    pub max_images: usize,
    /// Samples, `n`.
    pub max_samples: usize,
    /// Tokens of a reply; what a request may ask for as `max_tokens`.
    pub max_tokens: usize,
    /// Replies of the model to one request.
    pub max_turns: usize,
}

impl Default for RequestLimits {
    fn default() -> Self {
        Self {
            max_body_bytes: 32 << 20,
            max_messages: 2_000,
            max_images: 16,
            max_samples: 8,
            max_tokens: 131_072,
            max_turns: 4,
        }
    }
}

//! Servers that speak OpenAI's language: which of them is asked, and what came of it.
//!
//! Read [`Pool`] first. A request goes to the server with the fewest requests of ours in flight; it is sent again,
//! elsewhere, only where nothing was sent: no connection came about, or the server said 429 or 503 instead of beginning.

mod breaker;
mod call;
mod health;
mod place;
mod pool;
mod reply;
mod sse;

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use health::Look;
pub use pool::{Pool, PoolCounts};
pub(crate) use reply::{Fragment, Reply};

use crate::error::ServeError;

/// One server: an entry of `[[upstream]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpstreamSettings {
    /// The address in front of `/chat/completions`, `http://127.0.0.1:8000/v1` say.
    pub url: String,
    /// What this server calls the model; as clients do where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The environment variable that holds the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_env: Option<String>,
    /// A file that holds the key and nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// Requests of ours it works on at the same time.
    #[serde(default = "max_requests")]
    pub max_requests: usize,
    /// Whether it is asked for token ids (vLLM's `return_token_ids`).
    #[serde(default)]
    pub token_ids: bool,
    /// Whether it is a server of this kind, which would look twice itself: it is asked to show images as they are sent.
    #[serde(default)]
    pub looks: bool,
}

fn max_requests() -> usize {
    64
}

/// How the servers are used together: section `[pool]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PoolSettings {
    /// Failures in a row after which a server is left alone.
    pub failures: u32,
    /// For how long; doubled each time it fails again.
    pub cool_down_secs: f64,
    /// Time for a connection to come about.
    pub connect_timeout_secs: f64,
    /// Time for the first word, and between two of them.
    pub idle_timeout_secs: f64,
    /// Time between two looks at whether a server is there.
    pub health_interval_secs: f64,
    /// Requests that may wait for a server to be free; more are refused with 429.
    pub max_waiting: usize,
    /// How long they wait.
    pub wait_timeout_secs: f64,
    /// A PEM file of authorities whose certificates the servers may have, beside Mozilla's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self {
            failures: 5,
            cool_down_secs: 5.0,
            connect_timeout_secs: 5.0,
            idle_timeout_secs: 120.0,
            health_interval_secs: 10.0,
            max_waiting: 1024,
            wait_timeout_secs: 60.0,
            ca_file: None,
        }
    }
}

/// The key of a server. It cannot be printed.
#[derive(Clone)]
pub(crate) struct UpstreamKey(String);

impl fmt::Debug for UpstreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl UpstreamKey {
    fn of(settings: &UpstreamSettings) -> Result<Option<Self>, ServeError> {
        let (place, text) = match (&settings.key_file, &settings.key_env) {
            (Some(path), _) => (path.display().to_string(), fs_err::read_to_string(path)?),
            (None, Some(name)) => {
                let text = std::env::var(name).map_err(|_| ServeError::NoKeyVariable { name: name.clone() })?;
                (format!("environment variable `{name}`"), text)
            }
            (None, None) => return Ok(None),
        };
        let text = text.trim();
        if text.is_empty() || !text.chars().all(|letter| letter.is_ascii_graphic()) {
            return Err(ServeError::UnfitKey { place });
        }
        Ok(Some(Self(text.to_owned())))
    }
}

/// A text from outside, fit for a message: one line, not long.
pub(crate) fn shown(text: &str) -> String {
    const MAX_CHARS: usize = 300;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => line.get(..end).unwrap_or_default().to_owned() + "…",
        None => line,
    }
}

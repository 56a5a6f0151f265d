//! What a client is told when it gets no answer, in the shape of OpenAI's errors.

use std::time::Duration;

use serde_json::{Value, json};
use visionthink_protocol::ProtocolError;

use crate::images::ImageSourceError;

/// Why a request has no answer. Each variant is something the client, or its operator, can act on.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The body is no JSON.
    #[error("the body is not JSON: {reason}")]
    NotJson {
        /// Where and why.
        reason: String,
    },
    /// A field has a value that cannot be used.
    #[error("`{path}` is {found}, expected {expected}")]
    Field {
        /// The field, `messages[3].content[1].image_url.url` say.
        path: String,
        /// What is there.
        found: String,
        /// What should be.
        expected: String,
    },
    /// A field that is needed is not there.
    #[error("`{path}` is missing, expected {expected}")]
    Missing {
        /// The field.
        path: String,
        /// What should be there.
        expected: String,
    },
    /// A list is too long.
    #[error("`{path}` has {found} entries, expected at most {limit}")]
    TooMany {
        /// The list.
        path: String,
        /// How many it has.
        found: usize,
        /// How many it may have.
        limit: usize,
    },
    /// More images than the server looks at in one request.
    #[error("the messages hold {found} images, expected at most {limit}")]
    TooManyImages {
        /// How many there are.
        found: usize,
        /// How many there may be.
        limit: usize,
    },
    /// Something that is asked for and that this server, as it is set up, does not give.
    #[error("`{path}`: {reason}")]
    Unsupported {
        /// The field.
        path: String,
        /// Why, and what to do.
        reason: String,
    },
    /// No model has this name.
    #[error("no model is called `{found}`; this server has `{known}`")]
    UnknownModel {
        /// What was asked for.
        found: String,
        /// What there is.
        known: String,
    },
    /// An image could not be had.
    #[error("`{path}`: {source}")]
    Image {
        /// The field that names the image.
        path: String,
        /// Why.
        source: ImageSourceError,
    },
    /// The messages cannot be made a conversation.
    #[error("`messages`: {0}")]
    Protocol(#[from] ProtocolError),
    /// The body is too long.
    #[error("the body has more than {limit} bytes, which is the limit")]
    BodyTooLarge {
        /// The limit.
        limit: usize,
    },
    /// The body did not arrive in time, or the client left.
    #[error("the body did not arrive within {} s", limit.as_secs())]
    BodyTooSlow {
        /// The limit.
        limit: Duration,
    },
    /// The connection ended inside the body.
    #[error("the body ends before it is whole")]
    BodyCut,
    /// No key came with the request.
    #[error("no API key; expected the header `authorization: Bearer KEY`")]
    NoKey,
    /// The key is none of the server's.
    #[error("the API key is not one of this server's")]
    WrongKey,
    /// There is nothing at this address.
    #[error("no route `{method} {path}`; `/v1/chat/completions` answers")]
    NoRoute {
        /// The method.
        method: String,
        /// The path.
        path: String,
    },
    /// More requests than the server takes on.
    #[error("the server is at its limit of requests; try again in {} s", after.as_secs().max(1))]
    Busy {
        /// When to try again.
        after: Duration,
    },
    /// The server is about to stop.
    #[error("the server is shutting down and takes no new requests")]
    Draining,
    /// No upstream server can be reached, or all have failed too often of late.
    #[error("no upstream server is available; try again in {} s", after.as_secs().max(1))]
    NoUpstream {
        /// When the first of them is tried again.
        after: Duration,
    },
    /// The upstream server does not want this request.
    #[error("the upstream server refused the request with status {status}: {message}")]
    Refused {
        /// Its status, 400 to 499.
        status: u16,
        /// What it says.
        message: String,
    },
    /// The upstream server failed after it had taken the request.
    #[error("the upstream server failed: {reason}")]
    UpstreamFailed {
        /// How.
        reason: String,
    },
    /// The model is not there yet.
    #[error("the model is being loaded; try again in {} s", after.as_secs().max(1))]
    Loading {
        /// When to try again.
        after: Duration,
    },
    /// The engine of this server cannot go on, with this request or with any.
    #[error("the engine failed: {reason}")]
    EngineFailed {
        /// How.
        reason: String,
    },
    /// The answer was not there in time.
    #[error("no answer within {} s", limit.as_secs())]
    TimedOut {
        /// The limit.
        limit: Duration,
    },
    /// The client takes the stream too slowly, or not at all any more.
    #[error("the client has stopped reading")]
    ClientStalled,
    /// A fault of this program.
    #[error("the server has a fault: {reason}")]
    Internal {
        /// What is known of it.
        reason: &'static str,
    },
}

impl ApiError {
    /// The HTTP status.
    pub fn status(&self) -> u16 {
        match self {
            Self::NotJson { .. }
            | Self::Field { .. }
            | Self::Missing { .. }
            | Self::TooMany { .. }
            | Self::TooManyImages { .. }
            | Self::Unsupported { .. }
            | Self::Protocol(_)
            | Self::Image { .. }
            | Self::BodyCut => 400,
            Self::NoKey | Self::WrongKey => 401,
            Self::UnknownModel { .. } | Self::NoRoute { .. } => 404,
            Self::BodyTooSlow { .. } | Self::ClientStalled => 408,
            Self::BodyTooLarge { .. } => 413,
            Self::Busy { .. } => 429,
            Self::Refused { status, .. } => *status,
            Self::Internal { .. } | Self::EngineFailed { .. } => 500,
            Self::UpstreamFailed { .. } => 502,
            Self::Draining | Self::NoUpstream { .. } | Self::Loading { .. } => 503,
            Self::TimedOut { .. } => 504,
        }
    }

    /// What the client should wait before it tries again, where that helps.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy { after } | Self::NoUpstream { after } | Self::Loading { after } => {
                Some((*after).max(Duration::from_secs(1)))
            }
            _ => None,
        }
    }

    /// The word for programs, `model_not_found` say.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotJson { .. } => "invalid_json",
            Self::Field { .. } => "invalid_value",
            Self::Missing { .. } => "missing_required_parameter",
            Self::TooMany { .. } | Self::TooManyImages { .. } => "too_many",
            Self::Unsupported { .. } => "unsupported_value",
            Self::UnknownModel { .. } => "model_not_found",
            Self::Image { .. } => "invalid_image",
            Self::Protocol(_) => "invalid_messages",
            Self::BodyTooLarge { .. } => "body_too_large",
            Self::BodyTooSlow { .. } => "body_too_slow",
            Self::BodyCut => "body_cut",
            Self::NoKey | Self::WrongKey => "invalid_api_key",
            Self::NoRoute { .. } => "not_found",
            Self::Busy { .. } => "rate_limit_exceeded",
            Self::Draining => "shutting_down",
            Self::NoUpstream { .. } => "no_upstream",
            Self::Refused { .. } => "upstream_refused",
            Self::UpstreamFailed { .. } => "upstream_failed",
            Self::Loading { .. } => "loading",
            Self::EngineFailed { .. } => "engine_failed",
            Self::TimedOut { .. } => "timeout",
            Self::ClientStalled => "client_stalled",
            Self::Internal { .. } => "internal_error",
        }
    }

    /// The field at fault.
    pub fn param(&self) -> Option<&str> {
        match self {
            Self::Field { path, .. }
            | Self::Missing { path, .. }
            | Self::TooMany { path, .. }
            | Self::Unsupported { path, .. }
            | Self::Image { path, .. } => Some(path),
            Self::UnknownModel { .. } => Some("model"),
            Self::Protocol(_) | Self::TooManyImages { .. } => Some("messages"),
            _ => None,
        }
    }

    /// `{"error": {"message", "type", "param", "code"}}`.
    pub fn to_json(&self) -> Value {
        let kind = match self.status() {
            401 => "authentication_error",
            404 => "not_found_error",
            429 => "rate_limit_error",
            400..=499 => "invalid_request_error",
            _ => "server_error",
        };
        json!({"error": {
            "message": self.to_string(),
            "type": kind,
            "param": self.param(),
            "code": self.code(),
        }})
    }
}

/// A value as a message may show it: its kind, and a short one itself.
pub(crate) fn shown(value: &Value) -> String {
    const MAX_CHARS: usize = 40;
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => {
            let short: String = text.chars().take(MAX_CHARS).flat_map(char::escape_debug).collect();
            let rest = if text.chars().nth(MAX_CHARS).is_some() { "…" } else { "" };
            format!("the text `{short}{rest}`")
        }
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

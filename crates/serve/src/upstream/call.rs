//! One request to one server, and its reply as it comes in.

use std::collections::VecDeque;
use std::error::Error;
use std::time::{Duration, SystemTime};

use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::place::Place;
use super::pool::Pool;
use super::reply::{Fragment, Reply, message_of};
use super::sse::{EventReader, NotEvents};
use visionthink_protocol::Mode;

use crate::api::ApiError;

/// As much of a refusal as is read.
const MAX_REFUSAL_BYTES: usize = 64 << 10;
/// More than any reply; a server that goes on is out of its mind.
const MAX_REPLY_BYTES: usize = 64 << 20;
/// The longest a server can ask to be left alone.
const MAX_RETRY_AFTER: Duration = Duration::from_mins(10);

/// What came of sending.
pub(super) enum Sending {
    /// The server has begun to reply.
    Begun(Response),
    /// There is no connection: another server can be asked.
    NotSent { reason: String },
    /// The server has not begun and does not want to: another one can be asked.
    Busy { after: Option<Duration> },
    /// The request is at fault.
    Refused(ApiError),
    /// The server is.
    Failed(ApiError),
}

/// A reply that is coming in. Dropping it ends the connection, and with it the server's work.
#[derive(Debug)]
pub(crate) struct Call {
    place: Place,
    response: Response,
    idle: Duration,
    reader: EventReader,
    events: VecDeque<String>,
    bytes: usize,
    reply: Reply,
    done: bool,
}

#[derive(Serialize)]
struct Outgoing<'a> {
    model: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    return_token_ids: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    visionthink: Option<Value>,
    #[serde(flatten)]
    body: &'a Map<String, Value>,
}

impl Call {
    pub(super) async fn begin(pool: &Pool, index: usize, body: &Map<String, Value>) -> Sending {
        let Some(member) = pool.members.get(index) else {
            return Sending::Failed(ApiError::Internal { reason: "a server that is not in the pool was chosen" });
        };
        let model = member.settings.model.as_deref().unwrap_or(&pool.model);
        // A server that looks too is to show what it is sent.
        let visionthink = member.settings.looks.then(|| json!({"mode": Mode::Full}));
        let outgoing = Outgoing { model, return_token_ids: member.settings.token_ids, visionthink, body };
        let Ok(bytes) = serde_json::to_vec(&outgoing) else {
            return Sending::Failed(ApiError::Internal { reason: "a request could not be written as JSON" });
        };
        let request = pool.client.post(format!("{}/chat/completions", pool.url(index)));
        let request =
            request.header(CONTENT_TYPE, "application/json").header("accept", "text/event-stream").body(bytes);
        let request = match &member.key {
            Some(key) => request.bearer_auth(&key.0),
            None => request,
        };
        match tokio::time::timeout(pool.idle, request.send()).await {
            Ok(Ok(response)) => judge(response).await,
            Ok(Err(error)) if error.is_connect() => Sending::NotSent { reason: root_cause(&error) },
            Ok(Err(error)) => Sending::Failed(ApiError::UpstreamFailed { reason: root_cause(&error) }),
            Err(_) => Sending::Failed(ApiError::TimedOut { limit: pool.idle }),
        }
    }

    pub(super) fn new(place: Place, response: Response, idle: Duration) -> Self {
        Self {
            place,
            response,
            idle,
            reader: EventReader::default(),
            events: VecDeque::new(),
            bytes: 0,
            reply: Reply::default(),
            done: false,
        }
    }

    /// What the next chunk adds; nothing when the reply is whole.
    ///
    /// # Errors
    /// [`ApiError::UpstreamFailed`] where the stream is cut or is none, [`ApiError::TimedOut`] where nothing comes.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Fragment>>, ApiError> {
        let next = self.advance().await;
        match &next {
            Ok(Some(_)) => {}
            Ok(None) => self.place.succeeded(),
            Err(error) => {
                tracing::warn!(%error, "an upstream server failed inside its reply");
                self.place.failed();
            }
        }
        next
    }

    /// Which server replies.
    pub(crate) fn server(&self) -> usize {
        self.place.index
    }

    /// The reply, once it is whole.
    pub(crate) fn into_reply(self) -> Reply {
        self.reply
    }

    async fn advance(&mut self) -> Result<Option<Vec<Fragment>>, ApiError> {
        let failed = |reason: String| ApiError::UpstreamFailed { reason };
        loop {
            if let Some(event) = self.events.pop_front() {
                if event.trim() == "[DONE]" {
                    self.done = true;
                    return Ok(None);
                }
                return self.reply.push(&event).map(Some).map_err(failed);
            }
            if self.done {
                return Ok(None);
            }
            let chunk = tokio::time::timeout(self.idle, self.response.chunk()).await;
            let chunk = chunk.map_err(|_| ApiError::TimedOut { limit: self.idle })?;
            match chunk.map_err(|error| failed(format!("its stream was cut: {}", root_cause(&error))))? {
                Some(bytes) => {
                    self.bytes = self.bytes.saturating_add(bytes.len());
                    if self.bytes > MAX_REPLY_BYTES {
                        return Err(failed(format!("its reply has more than {MAX_REPLY_BYTES} bytes")));
                    }
                    let events = self.reader.push(&bytes).map_err(|fault| {
                        failed(match fault {
                            NotEvents::TooLong => "its stream holds a line without an end".to_owned(),
                            NotEvents::NotText => "its stream holds bytes that are no text".to_owned(),
                        })
                    })?;
                    self.events.extend(events);
                }
                // Some servers leave the last word out; a reply that has ended is whole without it.
                None if self.reply.finish_reason.is_some() => {
                    self.done = true;
                    return Ok(None);
                }
                None => return Err(failed("its stream was cut before the reply ended".to_owned())),
            }
        }
    }
}

/// What a status means.
async fn judge(mut response: Response) -> Sending {
    let status = response.status();
    if status.is_success() {
        let kind = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if kind.to_ascii_lowercase().starts_with("text/event-stream") {
            return Sending::Begun(response);
        }
        let reason = format!("it sent `{}` instead of a stream of events", super::shown(kind));
        return Sending::Failed(ApiError::UpstreamFailed { reason });
    }
    let after = retry_after(response.headers(), SystemTime::now());
    let failed = |reason: String| Sending::Failed(ApiError::UpstreamFailed { reason });
    match status {
        StatusCode::TOO_MANY_REQUESTS => Sending::Busy { after },
        StatusCode::SERVICE_UNAVAILABLE if after.is_some() => Sending::Busy { after },
        // Whatever it says may repeat the key, and is no matter of the client's.
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => failed(format!("it refuses our key (status {status})")),
        StatusCode::NOT_FOUND => failed("it knows neither this address nor this model (status 404)".to_owned()),
        _ => {
            let message = message(&mut response).await;
            if status.is_client_error() {
                return Sending::Refused(ApiError::Refused { status: status.as_u16(), message });
            }
            failed(format!("status {}: {message}", status.as_u16()))
        }
    }
}

/// What the body of a refusal says.
async fn message(response: &mut Response) -> String {
    let mut body = Vec::new();
    // A refusal that does not end in time is cut short; its status says enough.
    let read = async {
        while let Ok(Some(chunk)) = response.chunk().await {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_REFUSAL_BYTES {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(5), read).await;
    let value = serde_json::from_slice(&body).unwrap_or_else(|_| json!(String::from_utf8_lossy(&body)));
    message_of(&value)
}

/// Seconds, as servers of models give them, or a date, as what stands in front of them may. A date that is over is no wait.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let after = match value.parse() {
        Ok(secs) => crate::seconds::seconds(secs),
        Err(_) => httpdate::parse_http_date(value).ok()?.duration_since(now).unwrap_or_default(),
    };
    Some(after.min(MAX_RETRY_AFTER))
}

/// What lies at the bottom of an error of the client, whose own words hold the URL.
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_given_in_seconds_or_as_a_date_and_is_never_long() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        let wait = |value: &str| retry_after(&HeaderMap::from_iter([(RETRY_AFTER, value.parse().unwrap())]), now);
        assert_eq!(wait(" 2.5"), Some(Duration::from_millis(2500)));
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:45 GMT"), Some(Duration::from_secs(8)));
        assert_eq!(wait("Sunday, 06-Nov-94 08:49:45 GMT"), Some(Duration::from_secs(8)));
        assert_eq!(wait("Sun, 06 Nov 1994 08:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(wait("Mon, 07 Nov 1994 08:49:37 GMT"), Some(MAX_RETRY_AFTER));
        assert_eq!(wait("soon"), None);
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}

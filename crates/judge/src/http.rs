//! One request over HTTP and what came of it.

use std::io::ErrorKind;
use std::time::Duration;

use ureq::http::{HeaderValue, header};
use ureq::{Agent, Error, Timeout};

use crate::endpoint::{EndpointKind, JudgeEndpoint, duration};
use crate::error::{JudgeError, Result};
use crate::judgement::Fault;
use crate::key::Secret;

/// A verdict has a few hundred bytes, thinking some thousand; more is no verdict and would only fill the memory.
const MAX_REPLY_BYTES: u64 = 4 << 20;
/// A server that takes longer to accept a connection is not there.
const MAX_CONNECT: Duration = Duration::from_secs(10);
/// As much of a server's message as is shown.
const MAX_SHOWN_CHARS: usize = 200;

/// The way to a server.
#[derive(Debug)]
pub(crate) struct Connection {
    agent: Agent,
    address: String,
    key: Option<(&'static str, HeaderValue)>,
    secret: Option<Secret>,
}

/// What the server sent back.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) body: String,
    /// How long the server wants to be left alone.
    pub(crate) wait: Option<Duration>,
}

impl Connection {
    /// Redirects are not followed: they would carry the prompt, and perhaps the key, where nobody sent them. A server on
    /// this machine is not looked for behind a proxy.
    pub(crate) fn new(endpoint: &JudgeEndpoint, secret: Option<Secret>) -> Result<Self> {
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_idle_connections_per_host(endpoint.concurrency)
            .max_idle_connections(endpoint.concurrency);
        if endpoint.is_local() {
            config = config.proxy(None);
        }
        let key = secret.as_ref().map(|secret| key_header(endpoint.kind, secret)).transpose()?;
        Ok(Self { agent: config.build().new_agent(), address: endpoint.address(), key, secret })
    }

    /// Sends JSON and waits for the whole reply, no longer than `timeout`.
    pub(crate) fn post(&self, body: &str, timeout: Duration) -> Result<Response, Fault> {
        self.exchange(body, timeout).map_err(|error| self.fault(&error))
    }

    fn exchange(&self, body: &str, timeout: Duration) -> Result<Response, Error> {
        let mut request = self.agent.post(&self.address).header(header::CONTENT_TYPE, "application/json");
        if let Some((name, value)) = &self.key {
            request = request.header(*name, value.clone());
        }
        let request =
            request.config().timeout_global(Some(timeout)).timeout_connect(Some(timeout.min(MAX_CONNECT))).build();
        let mut response = request.send(body)?;
        let text = response.body_mut().with_config().limit(MAX_REPLY_BYTES).lossy_utf8(true).read_to_string()?;
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        let wait = wait(header("retry-after-ms"), header("retry-after"));
        Ok(Response { status: response.status().as_u16(), body: text, wait })
    }

    /// A text that came from outside, fit to be shown: one line, not long, without the key.
    pub(crate) fn shown(&self, text: &str) -> String {
        let text = self.scrub(text).split_whitespace().collect::<Vec<_>>().join(" ");
        match text.char_indices().nth(MAX_SHOWN_CHARS) {
            Some((end, _)) => text.get(..end).unwrap_or_default().to_owned() + "…",
            None => text,
        }
    }

    /// A text of the server without the key.
    pub(crate) fn scrub(&self, text: &str) -> String {
        self.secret.as_ref().map_or_else(|| text.to_owned(), |secret| secret.scrub(text))
    }

    fn fault(&self, error: &Error) -> Fault {
        let why = || self.shown(&error.to_string());
        match error {
            Error::Timeout(Timeout::Connect | Timeout::Resolve)
            | Error::HostNotFound
            | Error::ConnectionFailed
            | Error::Tls(_)
            | Error::Rustls(_) => Fault::Unreachable { why: why() },
            Error::Timeout(_) => Fault::TimedOut,
            Error::Io(io) if is_no_connection(io.kind()) => Fault::Unreachable { why: why() },
            Error::Io(io) if io.kind() == ErrorKind::TimedOut => Fault::TimedOut,
            _ => Fault::Dropped { why: why() },
        }
    }
}

fn is_no_connection(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::ConnectionRefused
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::NetworkDown
            | ErrorKind::AddrNotAvailable
            | ErrorKind::PermissionDenied
    )
}

fn key_header(kind: EndpointKind, secret: &Secret) -> Result<(&'static str, HeaderValue)> {
    let (name, text) = match kind {
        EndpointKind::OpenAi => ("authorization", format!("Bearer {}", secret.expose())),
        EndpointKind::Azure => ("api-key", secret.expose().to_owned()),
    };
    let mut value = HeaderValue::from_str(&text).map_err(|_| JudgeError::UnfitKey { place: "the key".to_owned() })?;
    value.set_sensitive(true);
    Ok((name, value))
}

/// What `retry-after-ms` (OpenAI, Azure) or else `retry-after` asks for. A date is not read: the clocks may differ, and
/// our own wait serves as well.
fn wait(milliseconds: Option<&str>, seconds: Option<&str>) -> Option<Duration> {
    let number = |text: Option<&str>| {
        text.and_then(|text| text.trim().parse::<f64>().ok()).filter(|number| number.is_finite() && *number >= 0.0)
    };
    number(milliseconds).map(|number| duration(number / 1e3)).or_else(|| number(seconds).map(duration))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_read_in_milliseconds_or_seconds_and_not_as_a_date() {
        let millis = |number| Some(Duration::from_millis(number));
        assert_eq!(wait(None, None), None);
        assert_eq!(wait(None, Some("2")), millis(2000));
        assert_eq!(wait(Some("20"), Some("2")), millis(20));
        assert_eq!(wait(Some("soon"), Some(" 0.5 ")), millis(500));
        for nonsense in ["Wed, 21 Oct 2015 07:28:00 GMT", "-1", "NaN", "inf", ""] {
            assert_eq!(wait(None, Some(nonsense)), None, "{nonsense}");
        }
    }

    #[test]
    fn a_message_is_shown_in_one_short_line_without_the_key() {
        let endpoint = JudgeEndpoint::new(EndpointKind::OpenAi, "http://127.0.0.1:1", "m");
        let secret = Secret::new("sk-0123456789", "here").unwrap();
        let connection = Connection::new(&endpoint, Some(secret)).unwrap();
        assert_eq!(connection.shown("wrong key:\n  sk-0123456789"), "wrong key: ***");
        assert_eq!(connection.shown(&"ä".repeat(300)), "ä".repeat(200) + "…");
        let debug = format!("{connection:?}");
        assert!(!debug.contains("0123456789"), "{debug}");
    }
}

//! Which server and model are asked, and with how much patience: a section of a run file.

mod check;

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};
use ureq::http::Uri;
use visionthink_reward::judge::RetryPolicy;

use crate::prompt::Variant;
use crate::respondent::Identity;

/// How a server is addressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EndpointKind {
    /// `URL/chat/completions`, `authorization: Bearer KEY`: OpenAI and the many servers that speak like it.
    OpenAi,
    /// `URL/openai/deployments/MODEL/chat/completions?api-version=…`, `api-key: KEY`.
    Azure,
}

impl EndpointKind {
    /// Its name in run files.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Azure => "azure",
        }
    }

    /// The variable that usually holds the key.
    pub fn key_variable(self) -> &'static str {
        match self {
            Self::OpenAi => "OPENAI_API_KEY",
            Self::Azure => "AZURE_API_KEY",
        }
    }

    /// Whether there is no server of this kind without a key.
    pub(crate) fn needs_key(self) -> bool {
        self == Self::Azure
    }
}

/// What a million tokens cost, in any currency.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    /// Of what is sent.
    pub prompt: f64,
    /// Of what is replied.
    pub completion: f64,
}

/// A judge: server, model, prompts and patience. The key is not in here, only where to find it.
///
/// Times are in seconds and may be fractions of one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JudgeEndpoint {
    /// How the server is addressed.
    pub kind: EndpointKind,
    /// The address in front of `/chat/completions`, `https://api.openai.com/v1` say; on Azure that of the resource.
    pub url: String,
    /// Name of the model; on Azure of the deployment.
    pub model: String,
    /// Azure's `api-version`; only there, and needed there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// The environment variable that holds the key; without it and `key_file` the usual one, if it is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_env: Option<String>,
    /// A file that holds the key and nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// Always refused: a run file is no place for a key. Here so that an error does not print it.
    #[serde(default, alias = "api_key", skip_serializing)]
    pub key: KeyInFile,
    /// Which of the paper's prompts it gets and how replies are read.
    #[serde(default)]
    pub variant: Variant,
    /// Bound on a reply, thinking included; not sent without it. The reference sends 16384.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// Whether a temperature is sent; some models refuse any but their own.
    #[serde(default = "yes")]
    pub send_temperature: bool,
    /// Calls at the same time.
    #[serde(default = "concurrency")]
    pub concurrency: usize,
    /// How long one call may take.
    #[serde(default = "timeout_secs")]
    pub timeout_secs: f64,
    /// Calls that may fail before a question is given up. A rate limit is not a failure.
    #[serde(default = "max_attempts")]
    pub max_attempts: u32,
    /// Wait after the first failure of a question; doubled after each further one.
    #[serde(default = "failure_wait_secs")]
    pub failure_wait_secs: f64,
    /// Wait after the first rate limit of a question where the server names none; doubled likewise.
    #[serde(default = "rate_limit_wait_secs")]
    pub rate_limit_wait_secs: f64,
    /// Where the doubling ends.
    #[serde(default = "max_backoff_secs")]
    pub max_backoff_secs: f64,
    /// How long one question may take in all, calls and waits.
    #[serde(default = "max_wait_secs")]
    pub max_wait_secs: f64,
    /// Calls in a row, over all questions, that may find no server or be refused before the judging stops.
    #[serde(default = "max_unreachable")]
    pub max_unreachable: u32,
    /// For the cost in reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prices: Option<Prices>,
}

fn yes() -> bool {
    true
}

fn concurrency() -> usize {
    16
}

/// The reference's.
fn timeout_secs() -> f64 {
    120.0
}

fn max_attempts() -> u32 {
    RetryPolicy::default().attempts
}

fn failure_wait_secs() -> f64 {
    RetryPolicy::default().failure_wait_secs
}

fn rate_limit_wait_secs() -> f64 {
    RetryPolicy::default().rate_limit_wait_secs
}

fn max_backoff_secs() -> f64 {
    60.0
}

fn max_wait_secs() -> f64 {
    600.0
}

fn max_unreachable() -> u32 {
    10
}

impl JudgeEndpoint {
    /// A judge with the paper's prompts and the usual patience.
    pub fn new(kind: EndpointKind, url: impl Into<String>, model: impl Into<String>) -> Self {
        Self {
            kind,
            url: url.into(),
            model: model.into(),
            api_version: None,
            key_env: None,
            key_file: None,
            key: KeyInFile::default(),
            variant: Variant::default(),
            max_tokens: None,
            send_temperature: yes(),
            concurrency: concurrency(),
            timeout_secs: timeout_secs(),
            max_attempts: max_attempts(),
            failure_wait_secs: failure_wait_secs(),
            rate_limit_wait_secs: rate_limit_wait_secs(),
            max_backoff_secs: max_backoff_secs(),
            max_wait_secs: max_wait_secs(),
            max_unreachable: max_unreachable(),
            prices: None,
        }
    }

    /// All values that no judge can be asked with; `section` is what the run file calls this section.
    pub fn problems(&self, section: &str) -> Vec<String> {
        check::problems(self, section)
    }

    /// What its verdicts depend on.
    pub(crate) fn identity(&self) -> Identity {
        Identity { kind: self.kind.name(), model: self.model.clone(), variant: self.variant }
    }

    /// Where requests go.
    pub(crate) fn address(&self) -> String {
        let base = self.url.trim_end_matches('/');
        match self.kind {
            EndpointKind::OpenAi => format!("{base}/chat/completions"),
            EndpointKind::Azure => {
                let (model, version) = (&self.model, self.api_version.as_deref().unwrap_or_default());
                format!("{base}/openai/deployments/{model}/chat/completions?api-version={version}")
            }
        }
    }

    /// Whether nobody between here and the server can read along: TLS, or the server is this machine.
    pub(crate) fn is_private(&self) -> bool {
        self.url.parse::<Uri>().is_ok_and(|url| url.scheme_str() == Some("https")) || self.is_local()
    }

    /// Whether the server is this machine.
    pub(crate) fn is_local(&self) -> bool {
        let url = self.url.parse::<Uri>().ok();
        let host = url.as_ref().and_then(Uri::host).map(|host| host.trim_matches(['[', ']']));
        host.is_some_and(|host| {
            host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        })
    }

    /// When a question is asked again.
    pub(crate) fn retry_policy(&self) -> RetryPolicy {
        RetryPolicy {
            attempts: self.max_attempts,
            failure_wait_secs: self.failure_wait_secs,
            rate_limit_wait_secs: self.rate_limit_wait_secs,
            ..RetryPolicy::default()
        }
    }

    pub(crate) fn timeout(&self) -> Duration {
        duration(self.timeout_secs)
    }

    pub(crate) fn max_wait(&self) -> Duration {
        duration(self.max_wait_secs)
    }
}

/// Seconds as a time; what is no time, or longer than any, is the longest.
pub(crate) fn duration(secs: f64) -> Duration {
    Duration::try_from_secs_f64(secs.max(0.0)).unwrap_or(Duration::MAX)
}

/// Whether a run file has a key in it. The key itself is dropped while reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeyInFile {
    pub(crate) is_there: bool,
}

impl<'de> Deserialize<'de> for KeyInFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer)?;
        Ok(Self { is_there: true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_needs_three_keys_and_writes_back_what_it_read() {
        let read: JudgeEndpoint =
            toml::from_str("kind = \"openai\"\nurl = \"https://api.openai.com/v1/\"\nmodel = \"gpt-4o-2024-11-20\"")
                .unwrap();
        assert_eq!(read, JudgeEndpoint::new(EndpointKind::OpenAi, "https://api.openai.com/v1/", "gpt-4o-2024-11-20"));
        assert_eq!(read.address(), "https://api.openai.com/v1/chat/completions");
        assert_eq!(read.problems("judge"), Vec::<String>::new());
        let written = toml::to_string(&read).unwrap();
        assert_eq!(toml::from_str::<JudgeEndpoint>(&written).unwrap(), read);
        assert!(toml::from_str::<JudgeEndpoint>(&format!("retries = 3\n{written}")).is_err());
    }

    #[test]
    fn azure_has_the_deployment_in_the_address() {
        let version = Some("2024-10-21".to_owned());
        let azure = JudgeEndpoint::new(EndpointKind::Azure, "https://x.openai.azure.com", "gpt-4o");
        let azure = JudgeEndpoint { api_version: version, ..azure };
        let expected = "https://x.openai.azure.com/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21";
        assert_eq!(azure.address(), expected);
        assert_eq!(azure.problems("judge"), Vec::<String>::new());
    }

    #[test]
    fn seconds_that_are_no_time_are_the_longest_or_none() {
        assert_eq!(duration(0.25), Duration::from_millis(250));
        assert_eq!(duration(-1.0), Duration::ZERO);
        assert_eq!(duration(f64::NAN), Duration::ZERO);
        assert_eq!(duration(f64::INFINITY), Duration::MAX);
        assert_eq!(duration(1e300), Duration::MAX);
    }
}

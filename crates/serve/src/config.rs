//! The run file of the server, `serve.toml`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use visionthink_protocol::{Mode, ProfileName};

use crate::api::RequestLimits;
use crate::error::ServeError;
use crate::images::ImageSettings;
use crate::upstream::{PoolSettings, UpstreamSettings};

/// Everything the server is told. Times are in seconds and may be fractions of one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServeConfig {
    /// The model as clients call it.
    pub model: String,
    /// The prompts that the model was trained with.
    pub profile: ProfileName,
    /// The mode of a request that asks for none.
    pub mode: Mode,
    /// A file of API keys, one a line; without it everybody is served.
    #[serde(default)]
    pub keys: Option<PathBuf>,
    /// A checkpoint folder whose `preprocessor_config.json` says what images cost; without it the server cannot tell.
    #[serde(default)]
    pub processor: Option<PathBuf>,
    /// Connections and times.
    #[serde(default)]
    pub server: ServerSettings,
    /// Bounds of a request.
    #[serde(default)]
    pub limits: RequestLimits,
    /// Images by reference.
    #[serde(default)]
    pub images: ImageSettings,
    /// How the upstream servers are used together.
    #[serde(default)]
    pub pool: PoolSettings,
    /// The upstream servers.
    pub upstream: Vec<UpstreamSettings>,
}

/// Connections and times: section `[server]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerSettings {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Connections at the same time; more wait to be accepted.
    pub max_connections: usize,
    /// Requests for completions that are read, waiting or answered at the same time; more are refused with 429.
    pub max_requests: usize,
    /// Bytes of the bodies of these requests together; what exceeds them is refused with 429. An answer in the making takes
    /// several times the bytes of its request.
    pub max_held_bytes: usize,
    /// Time for the headers of a request, and between two requests of a connection.
    pub header_timeout_secs: f64,
    /// Time for a body.
    pub body_timeout_secs: f64,
    /// Time for a whole answer.
    pub request_timeout_secs: f64,
    /// How long a client may leave its stream unread.
    pub stall_timeout_secs: f64,
    /// How long open requests may go on after the server was told to stop.
    pub drain_timeout_secs: f64,
    /// Whether the page to try the server with is at `/`.
    pub page: bool,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 8080).into(),
            max_connections: 1024,
            max_requests: 256,
            max_held_bytes: 512 << 20,
            header_timeout_secs: 30.0,
            body_timeout_secs: 60.0,
            request_timeout_secs: 600.0,
            stall_timeout_secs: 60.0,
            drain_timeout_secs: 30.0,
            page: true,
        }
    }
}

impl ServeConfig {
    /// Reads a run file.
    ///
    /// # Errors
    /// [`ServeError::Io`], [`ServeError::Toml`], and [`ServeError::Settings`] with all of [`ServeConfig::problems`].
    pub fn from_file(path: &Path) -> Result<Self, ServeError> {
        let text = fs_err::read_to_string(path)?;
        let config: Self = toml::from_str(&text)
            .map_err(|source| ServeError::Toml { path: path.to_owned(), source: Box::new(source) })?;
        let problems = config.problems();
        if problems.is_empty() { Ok(config) } else { Err(ServeError::Settings { problems }) }
    }

    /// All values that no server can be run with, each with its key.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut need = |holds: bool, key: &str, found: &dyn std::fmt::Display, expected: &str| {
            if !holds {
                problems.push(format!("`{key}` is {found}; expected {expected}"));
            }
        };
        need(!self.model.is_empty(), "model", &"empty", "a name");
        need(!self.upstream.is_empty(), "upstream", &"empty", "at least one server");
        let offers = visionthink_protocol::Profile::from(self.profile).tool.is_some();
        let expected = "`full` or `low`: the profile offers no tool";
        need(offers || self.mode != Mode::Adaptive, "mode", &self.mode, expected);
        let counts = [
            ("server.max_connections", self.server.max_connections),
            ("server.max_requests", self.server.max_requests),
            ("limits.max_body_bytes", self.limits.max_body_bytes),
            ("limits.max_messages", self.limits.max_messages),
            ("limits.max_samples", self.limits.max_samples),
            ("limits.max_tokens", self.limits.max_tokens),
            ("limits.max_turns", self.limits.max_turns),
            ("images.decoders", self.images.decoders),
            ("pool.failures", self.pool.failures as usize),
        ];
        for (key, count) in counts {
            need(count > 0, key, &count, "at least 1");
        }
        let held = self.server.max_held_bytes;
        need(held >= self.limits.max_body_bytes, "server.max_held_bytes", &held, "`limits.max_body_bytes` or more");
        let times = [
            ("server.header_timeout_secs", self.server.header_timeout_secs),
            ("server.body_timeout_secs", self.server.body_timeout_secs),
            ("server.request_timeout_secs", self.server.request_timeout_secs),
            ("server.stall_timeout_secs", self.server.stall_timeout_secs),
            ("images.fetch_timeout_secs", self.images.fetch_timeout_secs),
            ("pool.connect_timeout_secs", self.pool.connect_timeout_secs),
            ("pool.idle_timeout_secs", self.pool.idle_timeout_secs),
            ("pool.health_interval_secs", self.pool.health_interval_secs),
        ];
        for (key, secs) in times {
            need(secs > 0.0 && secs.is_finite(), key, &secs, "a number of seconds above 0");
        }
        for (index, upstream) in self.upstream.iter().enumerate() {
            let address = upstream.url.parse::<reqwest::Url>().ok();
            let is_http = address.is_some_and(|url| matches!(url.scheme(), "http" | "https"));
            let expected = "an address such as `http://127.0.0.1:8000/v1`";
            need(is_http, &format!("upstream[{index}].url"), &format!("`{}`", upstream.url), expected);
            let key = format!("upstream[{index}].max_requests");
            need(upstream.max_requests > 0, &key, &upstream.max_requests, "at least 1");
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: &str = "model = \"m\"\nprofile = \"visionthink\"\nmode = \"adaptive\"\n[[upstream]]\nurl = \"http://127.0.0.1:8000/v1\"\n";

    #[test]
    fn a_short_file_is_whole_and_writes_back_what_it_read() {
        let read: ServeConfig = toml::from_str(SHORT).unwrap();
        assert_eq!(read.problems(), Vec::<String>::new());
        assert_eq!(toml::from_str::<ServeConfig>(&toml::to_string(&read).unwrap()).unwrap(), read);
        assert!(toml::from_str::<ServeConfig>(&format!("modle = 1\n{SHORT}")).is_err());
        assert!(toml::from_str::<ServeConfig>(&SHORT.replace("mode", "#")).is_err());
    }

    #[test]
    fn the_faults_of_a_run_file_name_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("serve.toml");
        let read = |text: &str| {
            fs_err::write(&path, text).unwrap();
            ServeConfig::from_file(&path)
        };
        assert_eq!(read(SHORT).unwrap(), toml::from_str(SHORT).unwrap());
        let error = read("model = 3").unwrap_err();
        assert!(error.to_string().contains("serve.toml"), "{error}");
        assert!(matches!(read(&SHORT.replace("visionthink", "general")), Err(ServeError::Settings { .. })));
    }

    #[test]
    fn the_example_is_whole() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/serve.toml");
        let config = ServeConfig::from_file(&path).unwrap();
        // What it spells out of the server and the pool is what holds without it.
        assert_eq!(config.server, ServerSettings::default());
        assert_eq!(config.pool, PoolSettings::default());
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let mut config: ServeConfig = toml::from_str(SHORT).unwrap();
        config.profile = ProfileName::General;
        config.limits.max_samples = 0;
        config.server.body_timeout_secs = f64::NAN;
        config.upstream[0].url = "localhost:8000".to_owned();
        let problems = config.problems().join("\n");
        for key in ["`mode`", "`limits.max_samples`", "`server.body_timeout_secs`", "`upstream[0].url`"] {
            assert!(problems.contains(key), "{problems}");
        }
        assert_eq!(config.problems().len(), 4, "{problems}");
    }
}

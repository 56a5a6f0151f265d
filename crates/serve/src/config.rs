//! The run file of the server, `serve.toml`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use visionthink_protocol::{Mode, ProfileName};

use crate::api::RequestLimits;
use crate::embedded::{EngineSettings, ScheduleSettings};
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
    /// The model in this process; or else `upstream`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<EngineSettings>,
    /// How requests share the model in this process.
    #[serde(default)]
    pub schedule: ScheduleSettings,
    /// How the upstream servers are used together.
    #[serde(default)]
    pub pool: PoolSettings,
    /// The upstream servers; or else `engine`.
    #[serde(default)]
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
    /// A server on a loopback address for a model in this process, which clients call by `model`: the prompts it was
    /// trained with, the most likely token each time, replies of up to 512 tokens, and defaults for everything else.
    pub fn local(model: &str, profile: ProfileName) -> Self {
        let offers = visionthink_protocol::Profile::from(profile).tool.is_some();
        Self {
            model: model.to_owned(),
            profile,
            mode: if offers { Mode::Adaptive } else { Mode::Full },
            keys: None,
            processor: None,
            server: ServerSettings::default(),
            limits: RequestLimits::default(),
            images: ImageSettings::default(),
            engine: Some(EngineSettings {
                model: model.to_owned(),
                device: "auto".to_owned(),
                temperature: 0.0,
                max_tokens: 512,
            }),
            schedule: ScheduleSettings::default(),
            pool: PoolSettings::default(),
            upstream: Vec::new(),
        }
    }

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
            ("schedule.max_rows", self.schedule.max_rows),
            ("schedule.max_prefill_tokens", self.schedule.max_prefill_tokens),
            ("schedule.tokens_before_pause", self.schedule.tokens_before_pause),
            ("schedule.max_held_tokens", self.schedule.max_held_tokens),
            ("schedule.max_picture_bytes", self.schedule.max_picture_bytes),
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
        self.need_one_engine(&mut problems);
        problems
    }

    /// What is wrong with the choice between a model in this process and servers elsewhere.
    fn need_one_engine(&self, problems: &mut Vec<String>) {
        let mut add = |problem: &str| problems.push(problem.to_owned());
        let Some(engine) = &self.engine else {
            if self.upstream.is_empty() {
                add(
                    "neither `engine` nor `upstream` is given; expected `[engine]`, a model in this process, or at least one `[[upstream]]`",
                );
            }
            return;
        };
        if !self.upstream.is_empty() {
            add(
                "`engine` and `upstream` are both given; a server runs a model or stands in front of servers: keep one of them",
            );
        }
        if self.processor.is_some() {
            add("`processor` is given beside `engine`, whose model has its own; leave it out");
        }
        if engine.model.is_empty() {
            add("`engine.model` is empty; expected `micro`, a checkpoint folder, or `hf:ORG/NAME`");
        }
        if !(0.0..=2.0).contains(&engine.temperature) {
            add(&format!("`engine.temperature` is {}; expected 0 to 2", engine.temperature));
        }
        if engine.max_tokens == 0 || engine.max_tokens > self.limits.max_tokens {
            add(&format!("`engine.max_tokens` is {}; expected 1 to `limits.max_tokens`", engine.max_tokens));
        }
        let places = self.schedule.max_rows.saturating_add(self.schedule.max_waiting);
        if places < self.limits.max_samples {
            add(&format!(
                "`schedule.max_rows` and `schedule.max_waiting` are {places} together; expected `limits.max_samples` or more"
            ));
        }
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
    fn the_example_of_a_model_in_this_process_says_what_holds_without_a_file() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/serve-embedded.toml");
        assert_eq!(ServeConfig::from_file(&path).unwrap(), ServeConfig::local("micro", ProfileName::Compact));
    }

    #[test]
    fn a_server_has_a_model_or_servers_and_not_both() {
        let local = ServeConfig::local("micro", ProfileName::Compact);
        assert_eq!(local.problems(), Vec::<String>::new());
        assert_eq!(toml::from_str::<ServeConfig>(&toml::to_string(&local).unwrap()).unwrap(), local);
        let gateway: ServeConfig = toml::from_str(SHORT).unwrap();
        let both = ServeConfig { upstream: gateway.upstream.clone(), ..local.clone() };
        let neither = ServeConfig { engine: None, ..local.clone() };
        let mut foolish = local;
        foolish.processor = Some("here".into());
        foolish.engine = foolish.engine.map(|engine| EngineSettings { temperature: -1.0, max_tokens: 0, ..engine });
        foolish.schedule.max_rows = 0;
        foolish.schedule.max_waiting = 0;
        for (config, words) in [
            (both, &["`engine` and `upstream` are both given"][..]),
            (neither, &["neither `engine` nor `upstream`"]),
            (
                foolish,
                &[
                    "`processor`",
                    "`engine.temperature`",
                    "`engine.max_tokens`",
                    "`schedule.max_rows` is 0",
                    "0 together",
                ],
            ),
        ] {
            let problems = config.problems();
            assert_eq!(problems.len(), words.len(), "{problems:?}");
            let problems = problems.join("\n");
            assert!(words.iter().all(|word| problems.contains(word)), "{problems}");
        }
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

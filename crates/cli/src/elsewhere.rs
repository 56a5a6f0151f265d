//! Another server in place of the engine of this process, reached as the gateway of `serve` reaches it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use visionthink_protocol::{Mode, Profile};
use visionthink_serve::api::{ApiError, ChatRequest, Completion};
use visionthink_serve::gateway::{Gateway, GatewayParts};
use visionthink_serve::images::{ImageSettings, Images};
use visionthink_serve::upstream::{Pool, PoolSettings, UpstreamSettings};

use crate::args::EngineArguments;
use crate::failure::Failure;

/// How long a server may take to say which models it has.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server elsewhere.
pub(crate) struct Elsewhere {
    runtime: Runtime,
    gateway: Arc<Gateway>,
    /// What it calls the model.
    pub(crate) model: String,
    at_once: usize,
}

impl Elsewhere {
    /// Finds out what the server calls its model. Up to `at_once` requests are under way at a time.
    ///
    /// # Errors
    /// The server does not answer, has several models of which none is named, or the key is not in the environment.
    pub(crate) fn connect(url: &str, arguments: &EngineArguments, at_once: usize) -> anyhow::Result<Self> {
        let url = url.trim_end_matches('/').to_owned();
        let model = match &arguments.served_model {
            Some(model) => model.clone(),
            None => only_model(&url, arguments.key_env.as_deref())?,
        };
        let upstream = UpstreamSettings {
            url,
            model: None,
            key_env: arguments.key_env.clone(),
            key_file: None,
            max_requests: at_once,
            token_ids: true,
        };
        let gateway = Gateway::new(GatewayParts {
            pool: Pool::new(&model, &[upstream], &PoolSettings::default())?,
            images: Images::new(ImageSettings::default())?,
            profile: Profile::by_name("general")?,
            mode: Mode::Full,
            processor: None,
        });
        let runtime = Builder::new_multi_thread().enable_all().build().context("threads for requests")?;
        Ok(Self { runtime, gateway: Arc::new(gateway), model, at_once })
    }

    /// Has all requests answered as they are, and gives each to `done` as it comes in.
    ///
    /// # Errors
    /// What `done` says; requests that are under way are given up then.
    pub(crate) fn complete_all<K: Send + 'static>(
        &self,
        requests: impl IntoIterator<Item = (K, ChatRequest)>,
        mut done: impl FnMut(K, Result<Completion, ApiError>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut requests = requests.into_iter();
        self.runtime.block_on(async {
            let mut running = JoinSet::new();
            loop {
                while running.len() < self.at_once {
                    let Some((key, request)) = requests.next() else { break };
                    let gateway = self.gateway.clone();
                    running.spawn(async move { (key, gateway.complete(&request).await) });
                }
                let Some(ended) = running.join_next().await else { return Ok(()) };
                let (key, answered) = ended.context("a request ended early")?;
                done(key, answered)?;
            }
        })
    }
}

/// The one model that a server has.
fn only_model(url: &str, key_env: Option<&str>) -> anyhow::Result<String> {
    let agent: ureq::Agent = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).build().into();
    let address = format!("{url}/models");
    let mut request = agent.get(&address);
    if let Some(name) = key_env {
        let key = std::env::var(name).map_err(|_| {
            Failure::usage(format!("`--engine-key-env` names `{name}`, which is not in the environment"))
        })?;
        request = request.header("authorization", format!("Bearer {}", key.trim()));
    }
    let hint = "start it, or name the model with `--engine-model`";
    let mut reply = request.call().map_err(|error| Failure::failed(format!("asking {address}: {error}")).hint(hint))?;
    let text = reply.body_mut().read_to_string().with_context(|| format!("asking {address}"))?;
    let models: Value = serde_json::from_str(&text).unwrap_or_default();
    let names: Vec<&str> =
        models["data"].as_array().into_iter().flatten().filter_map(|one| one["id"].as_str()).collect();
    match names.as_slice() {
        [name] => Ok((*name).to_owned()),
        [] => Err(Failure::failed(format!("{address} names no model")).hint(hint).into()),
        several => Err(Failure::usage(format!("{url} has several models: {}", several.join(", ")))
            .hint("name one with `--engine-model`")
            .into()),
    }
}

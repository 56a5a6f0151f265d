//! Another server in place of the engine of this process, reached as the gateway of `serve` reaches it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use visionthink_image::Processor;
use visionthink_protocol::{Mode, Profile};
use visionthink_serve::api::{ApiError, ChatRequest, Completion};
use visionthink_serve::engine::Sink;
use visionthink_serve::gateway::{Gateway, GatewayParts};
use visionthink_serve::images::{ImageSettings, Images};
use visionthink_serve::upstream::{Pool, PoolSettings, UpstreamSettings};

use crate::failure::Failure;

/// How long a server may take to say which models it has.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often a request is made while the server has no room or is away, and the longest wait in between: some minutes in all, as long as
/// a server takes to start again.
const TRIES: u32 = 30;
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Which server, and what is known of the model that it runs.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    /// The address in front of `/chat/completions`.
    pub(crate) url: &'a str,
    /// What it calls the model; without it the only one it has.
    pub(crate) model: Option<&'a str>,
    /// The environment variable that holds its key.
    pub(crate) key_env: Option<&'a str>,
    /// The prompts that the model was trained with.
    pub(crate) profile: Profile,
    /// What images cost it, where somebody wants to know.
    pub(crate) processor: Option<Processor>,
    /// Requests that are under way at a time.
    pub(crate) at_once: usize,
}

/// A server elsewhere.
pub(crate) struct Elsewhere {
    runtime: Runtime,
    gateway: Arc<Gateway>,
    /// What it calls the model.
    pub(crate) model: String,
    at_once: usize,
}

impl Elsewhere {
    /// Finds out what the server calls its model.
    ///
    /// # Errors
    /// The server does not answer, has several models of which none is named, or the key is not in the environment.
    pub(crate) fn connect(place: Place<'_>) -> anyhow::Result<Self> {
        let Place { url, model, key_env, profile, processor, at_once } = place;
        let url = url.trim_end_matches('/').to_owned();
        let Served { name, looks } = served(&url, model, key_env)?;
        let upstream = UpstreamSettings {
            url,
            model: None,
            key_env: key_env.map(str::to_owned),
            key_file: None,
            max_requests: at_once,
            token_ids: true,
            looks,
        };
        let gateway = Gateway::new(GatewayParts {
            pool: Pool::new(&name, &[upstream], &PoolSettings::default())?,
            images: Images::new(ImageSettings::default())?,
            profile,
            mode: Mode::Full,
            processor,
        });
        let runtime = Builder::new_multi_thread().enable_all().build().context("threads for requests")?;
        Ok(Self { runtime, gateway: Arc::new(gateway), model: name, at_once })
    }

    /// Has all requests completed as they are, in one turn, and gives each to `done` as it comes in.
    ///
    /// # Errors
    /// What `done` says; requests that are under way are given up then.
    pub(crate) fn complete_all<K: Send + 'static>(
        &self,
        requests: impl IntoIterator<Item = (K, ChatRequest)>,
        mut done: impl FnMut(K, Result<Completion, ApiError>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let complete =
            |gateway: Arc<Gateway>, request: Arc<ChatRequest>| async move { gateway.complete(&request).await };
        self.all(requests, complete, |key, completion, _| done(key, completion))
    }

    /// Has all requests answered as the profile has it, in as many turns as the model takes; `done` is told how long each took.
    ///
    /// # Errors
    /// As [`complete_all`](Self::complete_all).
    pub(crate) fn answer_all<K: Send + 'static>(
        &self,
        requests: impl IntoIterator<Item = (K, ChatRequest)>,
        done: impl FnMut(K, Result<Completion, ApiError>, Duration) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let answer = |gateway: Arc<Gateway>, request: Arc<ChatRequest>| async move {
            gateway.answer(&request, &Sink::silent()).await
        };
        self.all(requests, answer, done)
    }

    fn all<K: Send + 'static, F: Future<Output = Result<Completion, ApiError>> + Send + 'static>(
        &self,
        requests: impl IntoIterator<Item = (K, ChatRequest)>,
        ask: impl Fn(Arc<Gateway>, Arc<ChatRequest>) -> F + Clone + Send + Sync + 'static,
        mut done: impl FnMut(K, Result<Completion, ApiError>, Duration) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut requests = requests.into_iter();
        self.runtime.block_on(async {
            let mut running = JoinSet::new();
            loop {
                while running.len() < self.at_once {
                    let Some((key, request)) = requests.next() else { break };
                    let (gateway, request, ask) = (self.gateway.clone(), Arc::new(request), ask.clone());
                    running.spawn(async move {
                        let (answered, took) = patiently(|| ask(gateway.clone(), request.clone())).await;
                        (key, answered, took)
                    });
                }
                let Some(ended) = running.join_next().await else { return Ok(()) };
                let (key, answered, took) = ended.context("a request ended early")?;
                done(key, answered, took)?;
            }
        })
    }
}

/// Asks again, a bounded number of times, while the server says that it is busy or is not there for the moment. The time is that of the
/// last try.
async fn patiently<F: Future<Output = Result<Completion, ApiError>>>(
    ask: impl Fn() -> F,
) -> (Result<Completion, ApiError>, Duration) {
    let mut tries = 1;
    loop {
        let began = Instant::now();
        let answered = ask().await;
        let wait = answered.as_ref().err().and_then(ApiError::retry_after);
        match wait.filter(|_| tries < TRIES) {
            Some(wait) => tokio::time::sleep(wait.min(LONGEST_WAIT)).await,
            None => return (answered, began.elapsed()),
        }
        tries += 1;
    }
}

/// A model as a server serves it.
struct Served {
    name: String,
    /// The server is one of this program, and has two turns itself.
    looks: bool,
}

/// The model called `wanted`, or the only one of a server.
fn served(url: &str, wanted: Option<&str>, key_env: Option<&str>) -> anyhow::Result<Served> {
    let agent: ureq::Agent = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).build().into();
    let address = format!("{url}/models");
    let mut request = agent.get(&address);
    if let Some(name) = key_env {
        let key = std::env::var(name).map_err(|_| {
            Failure::usage(format!("the key of {url} is to be in `{name}`, which is not in the environment"))
        })?;
        request = request.header("authorization", format!("Bearer {}", key.trim()));
    }
    let failed = |error: String| Failure::failed(format!("asking {address}: {error}")).hint("start the server");
    let mut reply = request.call().map_err(|error| failed(error.to_string()))?;
    let text = reply.body_mut().read_to_string().map_err(|error| failed(error.to_string()))?;
    let reply: Value = serde_json::from_str(&text).unwrap_or_default();
    let rows = reply["data"].as_array().into_iter().flatten();
    let served =
        |one: &Value| Some(Served { name: one["id"].as_str()?.to_owned(), looks: one["owned_by"] == "visionthink" });
    let models: Vec<Served> = rows.filter_map(served).collect();
    let names: Vec<&str> = models.iter().map(|model| model.name.as_str()).collect();
    let names = names.join(", ");
    let mut found = models.into_iter().filter(|model| wanted.is_none_or(|wanted| wanted == model.name));
    match (found.next(), found.next(), wanted) {
        (Some(one), None, _) => Ok(one),
        // Not every server lists its models.
        (None, _, Some(wanted)) if names.is_empty() => Ok(Served { name: wanted.to_owned(), looks: false }),
        (None, _, Some(wanted)) => {
            Err(Failure::usage(format!("{url} has no model `{wanted}`, it has: {names}")).into())
        }
        (None, _, None) => Err(Failure::failed(format!("{address} names no model")).into()),
        _ => Err(Failure::usage(format!("{url} has several models: {names}")).hint("name one of them").into()),
    }
}

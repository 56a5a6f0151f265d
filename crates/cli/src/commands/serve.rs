//! `visionthink serve`: the OpenAI-compatible server.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use visionthink_model::LoadOptions;
use visionthink_serve::embedded::{Embedded, EngineSettings, EngineStatus, LocalModel};
use visionthink_serve::engine::Engine;
use visionthink_serve::gateway::Gateway;
use visionthink_serve::routes::AppState;
use visionthink_serve::{ServeConfig, ServeError, embedded_state, serve, state};

use crate::args::ServeArguments;
use crate::device::DeviceChoice;
use crate::failure::Failure;
use crate::model::{self, ModelSource};
use crate::output;

/// The model that is served without a run file.
const MODEL: &str = "micro";

pub(crate) fn run(arguments: &ServeArguments) -> anyhow::Result<()> {
    let mut config = if let Some(file) = &arguments.config {
        ServeConfig::from_file(file).map_err(|error| refused(file, &error))?
    } else {
        let profile = model::profile(&ModelSource::Micro.folder()?, None)?;
        ServeConfig::local(MODEL, profile.name.parse()?)
    };
    if let Some(address) = arguments.listen {
        config.server.listen = address;
    }
    let runtime = Builder::new_multi_thread().enable_all().build().context("the server's threads")?;
    if arguments.check { check(&config, &runtime) } else { listen(&config, &runtime) }
}

/// The state of the server; what is wrong with the run file, and what it names, is wrong usage.
fn open(config: &ServeConfig) -> anyhow::Result<Arc<AppState>> {
    let wrong = |error: ServeError| Failure::usage(error.to_string());
    match &config.engine {
        None => Ok(state(config).map_err(wrong)?),
        Some(engine) => Ok(embedded_state(config, local_model(engine)?).map_err(wrong)?),
    }
}

fn local_model(engine: &EngineSettings) -> anyhow::Result<LocalModel> {
    let named = |error: String| Failure::usage(format!("`engine.device`: {error}"));
    let (device, _) = engine.device.parse::<DeviceChoice>().map_err(named)?.open()?;
    let Ok(source) = engine.model.parse::<ModelSource>();
    let folder = source.folder().context("`engine.model`")?;
    let opened = folder.clone();
    let load = move |options| opened.engine(&LoadOptions { dtype: model::dtype(&device) }, &device, options);
    Ok(LocalModel { folder, load: Box::new(load) })
}

/// Reads everything that the run file names, loads the model or asks every upstream server once, and says what it found.
fn check(config: &ServeConfig, runtime: &Runtime) -> anyhow::Result<()> {
    match &open(config)?.engine {
        Engine::Gateway(gateway) => check_upstream(gateway, runtime),
        Engine::Embedded(embedded) => check_model(config, embedded, runtime),
    }
}

fn check_model(config: &ServeConfig, embedded: &Embedded, runtime: &Runtime) -> anyhow::Result<()> {
    let mut status = embedded.status();
    let loaded = runtime.block_on(status.wait_for(|status| *status != EngineStatus::Loading))?.clone();
    if let EngineStatus::Failed(reason) = loaded {
        return Err(Failure::failed(reason).into());
    }
    output::line(&format!("{} is loaded", config.model))?;
    Ok(())
}

fn check_upstream(gateway: &Gateway, runtime: &Runtime) -> anyhow::Result<()> {
    let looks = runtime.block_on(gateway.pool().look());
    for look in &looks {
        output::line(&format!("{} {}", look.url, if look.answers { "answers" } else { "does not answer" }))?;
    }
    let gone = looks.iter().filter(|look| !look.answers).count();
    if gone == 0 {
        return Ok(());
    }
    Err(Failure::failed(format!("{gone} of {} upstream servers do not answer", looks.len()))
        .hint("start them, or take them out of the run file")
        .into())
}

fn listen(config: &ServeConfig, runtime: &Runtime) -> anyhow::Result<()> {
    let state = open(config)?;
    let (stop, stopped) = oneshot::channel::<()>();
    let mut stop = Some(stop);
    ctrlc::set_handler(move || match stop.take() {
        // Open requests end; a second signal does not wait for them.
        Some(stop) => drop(stop),
        None => std::process::exit(130),
    })?;
    runtime.block_on(async {
        let listener = TcpListener::bind(config.server.listen).await.with_context(|| taken(config.server.listen))?;
        output::line(&format!("listening on http://{}", listener.local_addr()?))?;
        serve(listener, state, async {
            // Whether it is told or dropped, it is over.
            let _ = stopped.await;
        })
        .await?;
        Ok(())
    })
}

fn taken(address: SocketAddr) -> String {
    format!("`server.listen` is {address}, where nothing can listen")
}

/// Values that no server can be run with are wrong usage.
pub(crate) fn refused(file: &Path, error: &ServeError) -> Failure {
    match error {
        ServeError::Settings { problems } => {
            let lines: Vec<String> = problems.iter().map(|problem| format!("{}: {problem}", file.display())).collect();
            Failure::usage(lines.join("\n"))
        }
        error => Failure::usage(error.to_string()),
    }
}

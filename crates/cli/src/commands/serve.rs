//! `visionthink serve`: the OpenAI-compatible server.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use visionthink_serve::engine::Engine;
use visionthink_serve::{ServeConfig, ServeError, serve, state};

use crate::args::ServeArguments;
use crate::failure::Failure;
use crate::output;

pub(crate) fn run(arguments: &ServeArguments) -> anyhow::Result<()> {
    let config = ServeConfig::from_file(&arguments.config).map_err(|error| refused(&arguments.config, &error))?;
    let runtime = Builder::new_multi_thread().enable_all().build().context("the server's threads")?;
    if arguments.check { check(&config, &runtime) } else { listen(&config, &runtime) }
}

/// Reads everything that the run file names, asks every upstream server once, and says what it found.
fn check(config: &ServeConfig, runtime: &Runtime) -> anyhow::Result<()> {
    let state = state(config).map_err(|error| Failure::usage(error.to_string()))?;
    let Engine::Gateway(gateway) = &state.engine;
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
    let state = state(config)?;
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

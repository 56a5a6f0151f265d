//! Connections: accepted in bounded number, each with time for headers and for being written to, drained at the end.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep};
use visionthink_image::Processor;
use visionthink_protocol::Profile;

use crate::config::ServeConfig;
use crate::embedded::{Embedded, EmbeddedParts, LocalModel};
use crate::engine::Engine;
use crate::error::ServeError;
use crate::gateway::{Gateway, GatewayParts};
use crate::images::Images;
use crate::keys::Keys;
use crate::routes::{AppState, app};
use crate::seconds::seconds;
use crate::upstream::Pool;

/// After a connection could not be accepted, for want of file handles say.
const PAUSE: Duration = Duration::from_millis(50);

/// How long idle connections stay open once the server was told to stop. A request that is on its way to one is answered, and its
/// reply says that the connection ends; closed at once, the connection would take it along unread.
const LAME_DUCK: Duration = Duration::from_millis(500);

/// Makes the state that a run file with `[[upstream]]` describes: keys, folders and the processor are read, nobody is
/// connected to.
///
/// # Errors
/// [`ServeError`]: everything that is wrong with the settings, or what they name.
pub fn state(config: &ServeConfig) -> Result<Arc<AppState>, ServeError> {
    check(config)?;
    if config.engine.is_some() {
        return Err(no_engine("`engine` is given; expected `upstream`, or the model with it"));
    }
    let processor = config.processor.as_deref().map(Processor::from_dir).transpose().map_err(ServeError::Processor)?;
    let gateway = Gateway::new(GatewayParts {
        pool: Pool::new(&config.model, &config.upstream, &config.pool)?,
        images: Images::new(config.images.clone())?,
        profile: Profile::from(config.profile),
        mode: config.mode,
        processor,
    });
    state_of(config, Engine::Gateway(gateway))
}

/// Makes the state that a run file with `[engine]` describes, whose model is `model`. Its weights are read from now on,
/// by a thread of the engine: the state is ready when that is done.
///
/// # Errors
/// As [`state`].
pub fn embedded_state(config: &ServeConfig, model: LocalModel) -> Result<Arc<AppState>, ServeError> {
    check(config)?;
    let Some(settings) = config.engine.clone() else {
        return Err(no_engine("`engine` is missing; expected the section beside the model"));
    };
    let parts = EmbeddedParts {
        images: Images::new(config.images.clone())?,
        profile: Profile::from(config.profile),
        mode: config.mode,
        settings,
        schedule: config.schedule,
    };
    state_of(config, Engine::Embedded(Embedded::start(model, parts)?))
}

fn no_engine(problem: &str) -> ServeError {
    ServeError::Settings { problems: vec![problem.to_owned()] }
}

fn check(config: &ServeConfig) -> Result<(), ServeError> {
    let problems = config.problems();
    if problems.is_empty() { Ok(()) } else { Err(ServeError::Settings { problems }) }
}

fn state_of(config: &ServeConfig, engine: Engine) -> Result<Arc<AppState>, ServeError> {
    let keys = config.keys.as_deref().map(Keys::from_file).transpose()?.unwrap_or_default();
    if config.keys.is_none() && !config.server.listen.ip().is_loopback() {
        tracing::warn!(listen = %config.server.listen, "no `keys`: whoever reaches this address is served");
    }
    Ok(AppState::new(engine, config.model.clone(), keys, config.limits, config.server.clone()))
}

/// Serves until `stop` is over, then lets open requests end, no longer than the drain timeout, and returns.
///
/// # Errors
/// [`ServeError::Engine`] where the engine can do no more; an error of one connection ends that connection alone.
pub async fn serve(
    listener: TcpListener,
    state: Arc<AppState>,
    stop: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let mut background = JoinSet::new();
    let watched = state.clone();
    background.spawn(async move { watched.engine.watch().await });

    let (stopping, stopped) = watch::channel(false);
    let mut connections = JoinSet::new();
    let places = Arc::new(Semaphore::new(state.settings.max_connections.min(Semaphore::MAX_PERMITS)));
    let router = app(state.clone());
    let begin = |connections: &mut JoinSet<()>, stream: TcpStream, place| {
        let service = TowerToHyperService::new(router.clone());
        let (settings, stopped) = (state.settings.clone(), stopped.clone());
        connections.spawn(async move {
            let _place = place;
            let stream = Patient::new(stream, seconds(settings.stall_timeout_secs));
            connection(stream, service, seconds(settings.header_timeout_secs), stopped).await;
        });
    };
    let mut stop = std::pin::pin!(stop);
    let mut failure = None;
    loop {
        let accepted = async {
            let place = places.clone().acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, stream) = tokio::select! {
            () = &mut stop => break,
            Some(ended) = background.join_next() => {
                failure = Some(ended.unwrap_or_else(|_| "the engine is watched no more".to_owned()));
                break;
            }
            (place, stream) = accepted => (place, stream),
            // Ended connections are forgotten as they end.
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
        };
        match stream {
            Ok((stream, _)) => begin(&mut connections, stream, place),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    state.drain();
    // Closed at once, the listener would reset these, their requests unread.
    for stream in waiting(listener) {
        let Ok(place) = places.clone().try_acquire_owned() else { break };
        begin(&mut connections, stream, Ok(place));
    }
    // Nobody is left to listen where all connections have ended.
    let _ = stopping.send(true);
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(seconds(state.settings.drain_timeout_secs), drained).await.is_err() {
        tracing::warn!(open = connections.len(), "requests are still open; they are cut off");
    }
    match failure {
        Some(reason) => Err(ServeError::Engine { reason }),
        None => Ok(()),
    }
}

/// The connections that wait to be accepted, and behind them the end of the listener.
fn waiting(listener: TcpListener) -> impl Iterator<Item = TcpStream> {
    let listener = listener.into_std();
    std::iter::from_fn(move || {
        let (stream, _) = listener.as_ref().ok()?.accept().ok()?;
        stream.set_nonblocking(true).ok()?;
        TcpStream::from_std(stream).ok()
    })
}

async fn connection(
    stream: Patient,
    service: TowerToHyperService<Router>,
    header_timeout: Duration,
    mut stopped: watch::Receiver<bool>,
) {
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .serve_connection(TokioIo::new(stream), service);
    let mut serving = std::pin::pin!(serving);
    let told = async {
        // An error says that the server is gone, which is a stop as well.
        let _ = stopped.wait_for(|stopped| *stopped).await;
        tokio::time::sleep(LAME_DUCK).await;
    };
    let ended = tokio::select! {
        ended = &mut serving => ended,
        () = told => {
            // The request that is open goes on; behind it nothing is read.
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// A stream whose other side may leave what is written unread for a while and no longer.
struct Patient {
    stream: TcpStream,
    patience: Duration,
    /// Set while a write waits.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl Patient {
    fn new(stream: TcpStream, patience: Duration) -> Self {
        // Without it chunks wait for one another; a connection that cannot have it works all the same.
        let _ = stream.set_nodelay(true);
        Self { stream, patience, deadline: None }
    }

    /// `written` where it is done; else waits with it, up to the deadline.
    fn wait<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.deadline = None;
            return written;
        }
        let patience = self.patience;
        let deadline =
            self.deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + patience)));
        ready!(deadline.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client has stopped reading")))
    }
}

impl AsyncRead for Patient {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buf)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, buf);
        self.wait(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, bufs);
        self.wait(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.wait(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(context);
        self.wait(context, shut)
    }
}

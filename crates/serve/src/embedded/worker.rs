//! The thread that owns the engine and steps it.
//!
//! Turns come through a channel and are heard through one each. A turn whose listener is gone is cancelled, and a
//! sequence whose holder is gone is released, so that dropping a request ends all of its work.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use visionthink_engine::{
    Backend, Counters, EmbeddedEngine, EngineError, Event, Load, SequenceId, TurnId, TurnRequest,
};

use super::turn::{Heard, Held, Turn, gone};
use crate::api::ApiError;

/// When a client that came before the model may try again.
const LOADING: Duration = Duration::from_secs(2);

/// What is asked of the thread.
pub(super) enum Command {
    /// A turn for each listener, all from one prompt.
    Submit { request: Box<TurnRequest>, listeners: Vec<mpsc::UnboundedSender<Heard>> },
    /// Nobody goes on from this sequence.
    Release(SequenceId),
}

/// Where the engine stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineStatus {
    /// The weights are being read.
    Loading,
    /// It takes turns.
    Ready,
    /// It has ended, for this reason.
    Failed(String),
}

/// What the engine has done, and what it holds.
#[derive(Debug, Clone, Copy, Default)]
pub struct EngineCounts {
    /// Since it was loaded.
    pub counters: Counters,
    /// Now.
    pub load: Load,
}

/// The thread, seen from outside. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Worker {
    commands: Arc<Sender<Command>>,
    status: watch::Receiver<EngineStatus>,
    counts: Arc<Mutex<EngineCounts>>,
}

impl Worker {
    /// Starts the thread, which loads the engine first.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn start(
        load: impl FnOnce() -> Result<EmbeddedEngine, EngineError> + Send + 'static,
    ) -> std::io::Result<Self> {
        let (commands, taken) = channel();
        let commands = Arc::new(commands);
        let (told, status) = watch::channel(EngineStatus::Loading);
        let counts = Arc::new(Mutex::new(EngineCounts::default()));
        let (back, shared) = (Arc::downgrade(&commands), counts.clone());
        std::thread::Builder::new().name("engine".to_owned()).spawn(move || {
            // Told when the thread ends, also where it ends by a panic.
            let mut end = Ended { told, reason: "the engine has ended by a fault of its own".to_owned() };
            let ended = load().and_then(|engine| {
                end.told.send_replace(EngineStatus::Ready);
                Desk { engine, commands: taken, back, listeners: HashMap::new(), counts: shared }.work()
            });
            end.reason = match ended {
                Ok(()) => "the engine was stopped".to_owned(),
                Err(error) => chain(&error),
            };
        })?;
        Ok(Self { commands, status, counts })
    }

    /// Where it stands, and a way to wait for a change.
    pub(super) fn status(&self) -> watch::Receiver<EngineStatus> {
        self.status.clone()
    }

    /// As of the last step.
    pub(super) fn counts(&self) -> EngineCounts {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// # Errors
    /// [`ApiError::Loading`], [`ApiError::EngineFailed`].
    pub(super) fn check_ready(&self) -> Result<(), ApiError> {
        match &*self.status.borrow() {
            EngineStatus::Ready => Ok(()),
            EngineStatus::Loading => Err(ApiError::Loading { after: LOADING }),
            EngineStatus::Failed(reason) => Err(ApiError::EngineFailed { reason: reason.clone() }),
        }
    }

    /// Queues `samples` turns from one prompt, behind the sequence that is held where the request has one.
    ///
    /// # Errors
    /// [`ApiError::EngineFailed`] where the thread has ended.
    pub(super) fn submit(
        &self,
        request: TurnRequest,
        samples: usize,
        held: Option<Held>,
    ) -> Result<Vec<Turn>, ApiError> {
        let (listeners, turns) = (0..samples)
            .map(|_| {
                let (listener, heard) = mpsc::unbounded_channel();
                (listener, Turn::new(heard))
            })
            .unzip();
        self.commands.send(Command::Submit { request: Box::new(request), listeners }).map_err(|_| gone())?;
        if let Some(held) = held {
            held.hand_over();
        }
        Ok(turns)
    }
}

struct Ended {
    told: watch::Sender<EngineStatus>,
    reason: String,
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.told.send_replace(EngineStatus::Failed(std::mem::take(&mut self.reason)));
    }
}

/// What the thread has before it.
struct Desk {
    engine: EmbeddedEngine,
    commands: Receiver<Command>,
    /// For the sequences that are held outside. Weak: this thread must not keep itself alive.
    back: Weak<Sender<Command>>,
    listeners: HashMap<TurnId, mpsc::UnboundedSender<Heard>>,
    counts: Arc<Mutex<EngineCounts>>,
}

impl Desk {
    /// Until nobody is left to ask anything.
    fn work(mut self) -> Result<(), EngineError> {
        loop {
            if self.listeners.is_empty() {
                self.publish();
                match self.commands.recv() {
                    Ok(command) => self.take(command),
                    Err(_) => return Ok(()),
                }
            }
            while let Ok(command) = self.commands.try_recv() {
                self.take(command);
            }
            for (turn, _) in self.listeners.iter().filter(|(_, listener)| listener.is_closed()) {
                self.engine.cancel(*turn);
            }
            match self.engine.step() {
                Ok(events) => events.into_iter().for_each(|event| self.tell(event)),
                Err(error) => {
                    let reason = chain(&error);
                    for (_, listener) in self.listeners.drain() {
                        // Nobody needs to be told who has left.
                        let _ = listener.send(Heard::Failed(reason.clone()));
                    }
                    return Err(error);
                }
            }
            self.publish();
        }
    }

    fn take(&mut self, command: Command) {
        match command {
            Command::Release(sequence) => self.engine.release(sequence),
            Command::Submit { request, listeners } => self.submit(*request, listeners),
        }
    }

    fn submit(&mut self, request: TurnRequest, listeners: Vec<mpsc::UnboundedSender<Heard>>) {
        let past = request.past;
        let submitted = match listeners.len() {
            1 => self.engine.submit(request).map(|turn| vec![turn]),
            samples => self.engine.submit_group(request, samples),
        };
        match submitted {
            Ok(turns) => self.listeners.extend(turns.into_iter().zip(listeners)),
            Err(error) => {
                if let visionthink_engine::Past::Sequence { id, .. } = past {
                    self.engine.release(id);
                }
                let reason = chain(&error);
                for listener in listeners {
                    // Nobody needs to be told who has left.
                    let _ = listener.send(Heard::Failed(reason.clone()));
                }
            }
        }
    }

    /// A piece of news that nobody hears any more is dropped, and gives back what it holds.
    fn tell(&mut self, event: Event) {
        match event {
            Event::Token { turn, id, .. } => {
                if let Some(listener) = self.listeners.get(&turn) {
                    let _ = listener.send(Heard::Token(id));
                }
            }
            Event::Finished { turn, reply } => {
                let held = Held::new(reply.sequence, self.back.clone());
                if let Some(listener) = self.listeners.remove(&turn) {
                    let _ = listener.send(Heard::Finished(Box::new(reply), held));
                }
            }
            Event::Failed { turn, error } => {
                if let Some(listener) = self.listeners.remove(&turn) {
                    let _ = listener.send(Heard::Failed(chain(&error)));
                }
            }
        }
    }

    fn publish(&self) {
        let counts = EngineCounts { counters: *self.engine.counters(), load: self.engine.load() };
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner) = counts;
    }
}

/// An error with its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

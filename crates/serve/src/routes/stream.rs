//! An answer in chunks.
//!
//! The engine runs in a task of its own and tells what it has; the body of the reply is drawn from that. When the client
//! leaves, the body is dropped and with it the task; when it reads too slowly, the engine waits, and gives up in the end.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tracing::Instrument;

use super::chat::{Open, events};
use super::{AppState, refusal};
use crate::api::{ApiError, ChatRequest, Completion, Delta, Envelope, indexed_call};
use crate::engine::{Sink, Told, ToldPiece};
use crate::metrics::Ended;
use crate::seconds::seconds;

/// Pieces that may wait for the client.
const QUEUE: usize = 64;
/// After so long without a word a comment is sent, so that nobody in between takes the connection for dead.
const QUIET: Duration = Duration::from_secs(15);

/// Ends the task of the engine.
#[derive(Debug)]
struct Working(AbortHandle);

impl Drop for Working {
    fn drop(&mut self) {
        self.0.abort();
    }
}

type Answered = Result<Completion, ApiError>;

/// The first that is heard of an answer.
enum First {
    Piece(Told),
    /// There was nothing to tell before the end.
    End(Completion),
}

/// A reply in the making.
struct Chunks {
    state: Arc<AppState>,
    envelope: Envelope,
    include_usage: bool,
    told: mpsc::Receiver<Told>,
    outcome: oneshot::Receiver<Answered>,
    /// What was learned before the reply began.
    first: Option<First>,
    begun: Vec<bool>,
    open: Open,
    over: bool,
    _working: Working,
}

/// Answers in chunks. What goes wrong before the first piece is an ordinary refusal.
pub(super) async fn answer(state: Arc<AppState>, envelope: Envelope, asked: ChatRequest, mut open: Open) -> Response {
    let (sender, mut told) = mpsc::channel(QUEUE);
    let (done, mut outcome) = oneshot::channel();
    let sink = Sink::new(sender, seconds(state.settings.stall_timeout_secs));
    let limit = seconds(state.settings.request_timeout_secs);
    let (include_usage, samples) = (asked.include_usage, asked.samples);
    let engine = state.clone();
    let work = async move {
        let answered = tokio::time::timeout(limit, engine.engine.answer(&asked, &sink)).await;
        // Nobody listens any more where the client has left.
        let _ = done.send(answered.unwrap_or(Err(ApiError::TimedOut { limit })));
    };
    let working = Working(tokio::spawn(work.in_current_span()).abort_handle());
    let first = match told.recv().await {
        Some(piece) => First::Piece(piece),
        None => match outcome_of(&mut outcome).await {
            Ok(completion) => First::End(completion),
            Err(error) => {
                tracing::warn!(%error, "no answer");
                open.end(Ended::Status(error.status()));
                return refusal(&error);
            }
        },
    };
    let begun = vec![false; samples];
    let over = false;
    let first = Some(first);
    let chunks = Chunks { state, envelope, include_usage, told, outcome, first, begun, open, over, _working: working };
    events(Body::from_stream(stream::unfold(chunks, |mut chunks| async move {
        let bytes = chunks.next().await?;
        Some((Ok::<_, Infallible>(bytes), chunks))
    })))
}

impl Chunks {
    async fn next(&mut self) -> Option<Bytes> {
        if self.over {
            return None;
        }
        let written = match self.first.take() {
            Some(First::Piece(told)) => self.piece(&told),
            Some(First::End(completion)) => self.end(Ok(completion)),
            None => match tokio::time::timeout(QUIET, self.told.recv()).await {
                Ok(Some(told)) => self.piece(&told),
                Ok(None) => {
                    let answered = outcome_of(&mut self.outcome).await;
                    self.end(answered)
                }
                Err(_) => return Some(Bytes::from_static(b": still here\n\n")),
            },
        };
        Some(written.unwrap_or_else(|_| {
            self.over = true;
            failed(&ApiError::Internal { reason: "a chunk could not be written as JSON" })
        }))
    }

    fn piece(&mut self, told: &Told) -> serde_json::Result<Bytes> {
        let mut out = Vec::new();
        self.begin(told.sample, &mut out)?;
        let chunk = match &told.piece {
            ToldPiece::Content(content) => self.envelope.chunk(told.sample, Delta::Content { content }),
            ToldPiece::Reasoning(thought) => {
                self.envelope.chunk(told.sample, Delta::Reasoning { reasoning_content: thought })
            }
            ToldPiece::Turn { turn, views } => self.envelope.turn_chunk(told.sample, *turn, views),
        };
        event(&mut out, &chunk?);
        Ok(out.into())
    }

    fn begin(&mut self, sample: usize, out: &mut Vec<u8>) -> serde_json::Result<()> {
        if let Some(begun) = self.begun.get_mut(sample).filter(|begun| !**begun) {
            *begun = true;
            event(out, &self.envelope.chunk(sample, Delta::Role { role: "assistant", content: "" })?);
        }
        Ok(())
    }

    fn end(&mut self, answered: Answered) -> serde_json::Result<Bytes> {
        self.over = true;
        match answered {
            Ok(completion) => {
                self.state.metrics.answered(&completion);
                self.open.end(Ended::Status(200));
                self.close(&completion)
            }
            Err(error) => {
                tracing::warn!(%error, "the answer broke off");
                self.open.end(Ended::Status(error.status()));
                Ok(failed(&error))
            }
        }
    }

    fn close(&mut self, completion: &Completion) -> serde_json::Result<Bytes> {
        let mut out = Vec::new();
        let last = completion.samples.len().saturating_sub(1);
        for (index, sample) in completion.samples.iter().enumerate() {
            self.begin(index, &mut out)?;
            if !sample.tool_calls.is_empty() {
                let calls = sample.tool_calls.iter().enumerate();
                let tool_calls = calls.map(|(place, call)| indexed_call(place, call)).collect();
                event(&mut out, &self.envelope.chunk(index, Delta::ToolCalls { tool_calls })?);
            }
            let report = (index == last).then_some(completion);
            event(&mut out, &self.envelope.last_chunk(index, sample, report)?);
        }
        if self.include_usage {
            event(&mut out, &self.envelope.usage_chunk(completion.usage())?);
        }
        event(&mut out, b"[DONE]");
        Ok(out.into())
    }
}

/// The status is sent long since: the error stands where the next chunk would.
fn failed(error: &ApiError) -> Bytes {
    let mut out = Vec::new();
    event(&mut out, error.to_json().to_string().as_bytes());
    out.into()
}

async fn outcome_of(outcome: &mut oneshot::Receiver<Answered>) -> Answered {
    let lost = ApiError::Internal { reason: "the engine has ended without an answer" };
    outcome.await.unwrap_or(Err(lost))
}

fn event(out: &mut Vec<u8>, data: &[u8]) {
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(data);
    out.extend_from_slice(b"\n\n");
}

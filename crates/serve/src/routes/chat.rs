//! `POST /v1/chat/completions`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::sync::OwnedSemaphorePermit;
use tracing::Instrument;
use visionthink_protocol::Decision;

use super::{AppState, BODY_UNIT, RequestId, json_reply, now_secs, refusal, stream};
use crate::api::{ApiError, ChatRequest, Completion, Envelope};
use crate::engine::Sink;
use crate::metrics::Ended;
use crate::seconds::seconds;

/// When a client that found no place may try again.
const SHORT_WAIT: Duration = Duration::from_secs(1);

/// A request that is being answered. However it ends, also by being dropped because its client left, it is counted.
#[derive(Debug)]
pub(super) struct Open {
    state: Arc<AppState>,
    began: Instant,
    ended: bool,
    _place: OwnedSemaphorePermit,
    /// Room for the body and what is made of it.
    room: Option<OwnedSemaphorePermit>,
}

impl Open {
    /// Ends it.
    pub(super) fn end(&mut self, how: Ended) {
        if !std::mem::replace(&mut self.ended, true) {
            let took = self.began.elapsed();
            self.state.metrics.ended(how, took);
            tracing::info!(?how, ?took, "completion");
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.end(Ended::ClientLeft);
    }
}

pub(super) async fn completions(
    State(state): State<Arc<AppState>>,
    Extension(id): Extension<RequestId>,
    request: Request,
) -> Response {
    let span = tracing::info_span!("request", id = id.0);
    async move {
        let began = Instant::now();
        match admit(&state) {
            Ok(place) => {
                let mut open = Open { state: state.clone(), began, ended: false, _place: place, room: None };
                match read(&state, request, &mut open).await {
                    Ok(asked) => answer(state, id, asked, open).await,
                    Err(error) => {
                        open.end(Ended::Status(error.status()));
                        refusal(&error)
                    }
                }
            }
            Err(error) => {
                state.metrics.ended(Ended::Status(error.status()), began.elapsed());
                refusal(&error)
            }
        }
    }
    .instrument(span)
    .await
}

fn admit(state: &AppState) -> Result<OwnedSemaphorePermit, ApiError> {
    if state.is_draining() {
        return Err(ApiError::Draining);
    }
    let place = state.places.clone().try_acquire_owned();
    place.map_err(|_| ApiError::Busy { after: SHORT_WAIT })
}

async fn read(state: &AppState, request: Request, open: &mut Open) -> Result<ChatRequest, ApiError> {
    let most = state.limits.max_body_bytes;
    let announced =
        request.headers().get("content-length").and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    let length = announced.unwrap_or(most);
    if length > most {
        return Err(ApiError::BodyTooLarge { limit: most });
    }
    let units = u32::try_from(length.div_ceil(BODY_UNIT)).unwrap_or(u32::MAX);
    let room = state.room.clone().try_acquire_many_owned(units);
    open.room = Some(room.map_err(|_| ApiError::Busy { after: SHORT_WAIT })?);
    let limit = seconds(state.settings.body_timeout_secs);
    let body = tokio::time::timeout(limit, body(request, most)).await;
    let body = body.map_err(|_| ApiError::BodyTooSlow { limit })??;
    let asked = ChatRequest::from_slice(&body, &state.limits)?;
    if asked.model != state.model {
        let found = asked.model.chars().take(100).collect();
        return Err(ApiError::UnknownModel { found, known: state.model.clone() });
    }
    Ok(asked)
}

/// The body, if it is no longer than the limit.
async fn body(request: Request, limit: usize) -> Result<Bytes, ApiError> {
    let mut bytes = BytesMut::new();
    let mut chunks = request.into_body().into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| ApiError::BodyCut)?;
        if bytes.len().saturating_add(chunk.len()) > limit {
            return Err(ApiError::BodyTooLarge { limit });
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}

async fn answer(state: Arc<AppState>, id: RequestId, asked: ChatRequest, mut open: Open) -> Response {
    let envelope = Envelope { id: format!("chatcmpl-{}", id.0), created: now_secs(), model: state.model.clone() };
    if asked.stream {
        return stream::answer(state, envelope, asked, open).await;
    }
    let limit = seconds(state.settings.request_timeout_secs);
    let answered = tokio::time::timeout(limit, state.engine.answer(&asked, &Sink::silent())).await;
    let answered = answered.unwrap_or(Err(ApiError::TimedOut { limit })).and_then(|completion| {
        let unwritten = |_| ApiError::Internal { reason: "a reply could not be written as JSON" };
        Ok((envelope.whole(&completion).map_err(unwritten)?, completion))
    });
    match answered {
        Ok((body, completion)) => {
            state.metrics.answered(&completion);
            open.end(Ended::Status(200));
            let mut response = json_reply(StatusCode::OK, body);
            for (name, value) in headers(&completion) {
                response.headers_mut().insert(name, value);
            }
            response
        }
        Err(error) => {
            tracing::warn!(%error, "no answer");
            open.end(Ended::Status(error.status()));
            refusal(&error)
        }
    }
}

/// `x-visionthink-mode`, `-decision` and `-turns`, the latter two with one entry a sample.
fn headers(completion: &Completion) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    let reports = || completion.samples.iter().map(|sample| &sample.report);
    let decision = |decision| match decision {
        Decision::Direct => "direct",
        Decision::Resize => "resize",
        Decision::Malformed => "malformed",
        Decision::None => "none",
    };
    let decisions: Vec<&str> = reports().map(|report| decision(report.decision)).collect();
    let turns: Vec<String> = reports().map(|report| report.turns.to_string()).collect();
    let headers = [
        ("x-visionthink-mode", completion.mode.map_or_else(|| "none".to_owned(), |mode| mode.to_string())),
        ("x-visionthink-decision", decisions.join(",")),
        ("x-visionthink-turns", turns.join(",")),
    ];
    headers.into_iter().filter_map(|(name, value)| Some((HeaderName::from_static(name), value.parse().ok()?)))
}

/// A body of events.
pub(super) fn events(body: Body) -> Response {
    let mut response = super::reply(StatusCode::OK, "text/event-stream", body);
    response.headers_mut().insert("cache-control", HeaderValue::from_static("no-cache"));
    // nginx would collect the events.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

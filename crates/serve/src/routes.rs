//! The routes: [`app`] makes the router of a server's state, which needs no socket to be called.

mod chat;
mod page;
mod stream;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::json;
use tokio::sync::Semaphore;

use crate::api::{ApiError, RequestLimits};
use crate::config::ServerSettings;
use crate::engine::Engine;
use crate::keys::Keys;
use crate::metrics::{Gauges, Metrics, Work};

/// The header that names a request, in the client's words or ours.
const REQUEST_ID: &str = "x-request-id";

/// The API, described.
const OPENAPI: &str = include_str!("routes/openapi.json");

/// Bytes of bodies are counted by the KiB: a semaphore gives out no more than 2^32 at once.
const BODY_UNIT: usize = 1024;

/// What the routes share.
#[derive(Debug)]
pub struct AppState {
    /// Answers requests.
    pub engine: Engine,
    /// The model as clients call it.
    pub model: String,
    /// Who is served.
    pub keys: Keys,
    /// Bounds of a request.
    pub limits: RequestLimits,
    /// Times and numbers.
    pub settings: ServerSettings,
    /// Counts.
    pub metrics: Metrics,
    places: Arc<Semaphore>,
    /// Room for bodies, in units of [`BODY_UNIT`].
    room: Arc<Semaphore>,
    draining: AtomicBool,
    started: u64,
    /// Makes ids of one run differ from those of another.
    run: u64,
    requests: AtomicU64,
}

impl AppState {
    /// Puts a state together.
    pub fn new(
        engine: Engine,
        model: String,
        keys: Keys,
        limits: RequestLimits,
        settings: ServerSettings,
    ) -> Arc<Self> {
        Arc::new(Self {
            engine,
            model,
            keys,
            limits,
            places: Arc::new(Semaphore::new(settings.max_requests.min(Semaphore::MAX_PERMITS))),
            room: Arc::new(Semaphore::new((settings.max_held_bytes / BODY_UNIT).min(Semaphore::MAX_PERMITS))),
            settings,
            metrics: Metrics::default(),
            draining: AtomicBool::new(false),
            started: now_secs(),
            run: RandomState::new().build_hasher().finish(),
            requests: AtomicU64::new(0),
        })
    }

    /// From now on new requests are refused and `/ready` says no; those that are open go on.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    fn next_id(&self) -> String {
        format!("{:016x}{:08x}", self.run, self.requests.fetch_add(1, Ordering::Relaxed))
    }
}

/// The name of a request.
#[derive(Debug, Clone)]
struct RequestId(String);

/// The router. `/health`, `/ready`, `/metrics` and `/openapi.json` need no key, nor does the page.
pub fn app(state: Arc<AppState>) -> Router {
    let keyed = Router::new()
        .route("/v1/chat/completions", post(chat::completions))
        .route("/v1/models", get(models))
        .route_layer(middleware::from_fn_with_state(state.clone(), key));
    let page = if state.settings.page { page::routes() } else { Router::new() };
    Router::new()
        .route("/health", get(|| async { text(StatusCode::OK, "ok\n".to_owned()) }))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .route("/openapi.json", get(|| async { json_reply(StatusCode::OK, OPENAPI.into()) }))
        .merge(keyed)
        .merge(page)
        .fallback(no_route)
        .method_not_allowed_fallback(no_route)
        .layer(middleware::from_fn_with_state(state.clone(), name))
        .with_state(state)
}

/// Names the request, and its reply.
async fn name(State(state): State<Arc<AppState>>, mut request: Request, next: Next) -> Response {
    const MAX_CHARS: usize = 128;
    let given = request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok());
    let given =
        given.filter(|id| !id.is_empty() && id.len() <= MAX_CHARS && id.bytes().all(|byte| byte.is_ascii_graphic()));
    let id = given.map_or_else(|| state.next_id(), str::to_owned);
    request.extensions_mut().insert(RequestId(id.clone()));
    let mut response = next.run(request).await;
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    if state.is_draining() {
        // The client makes its next request elsewhere, and none is on its way when the connection ends.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

async fn key(State(state): State<Arc<AppState>>, request: Request, next: Next) -> Response {
    match state.keys.check(request.headers().get(AUTHORIZATION).map(HeaderValue::as_bytes)) {
        Ok(()) => next.run(request).await,
        Err(error) => refusal(&error),
    }
}

async fn models(State(state): State<Arc<AppState>>) -> Response {
    let model = json!({"id": state.model, "object": "model", "created": state.started, "owned_by": "visionthink"});
    json_reply(StatusCode::OK, json!({"object": "list", "data": [model]}).to_string().into_bytes())
}

async fn ready(State(state): State<Arc<AppState>>) -> Response {
    if state.is_draining() {
        return text(StatusCode::SERVICE_UNAVAILABLE, "shutting down\n".to_owned());
    }
    match state.engine.unready() {
        None => text(StatusCode::OK, "ready\n".to_owned()),
        Some(why) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}

async fn metrics(State(state): State<Arc<AppState>>) -> Response {
    let most = state.settings.max_requests.min(Semaphore::MAX_PERMITS);
    let gauges = Gauges {
        in_flight: most.saturating_sub(state.places.available_permits()),
        image_cache: state.engine.images().cache_counts(),
        work: match &state.engine {
            Engine::Gateway(gateway) => Work::Upstream(gateway.pool().counts()),
            Engine::Embedded(embedded) => Work::Embedded(embedded.counts()),
        },
    };
    text(StatusCode::OK, state.metrics.text(gauges))
}

async fn no_route(request: Request) -> Response {
    const MAX_CHARS: usize = 100;
    let path = request.uri().path().chars().take(MAX_CHARS).collect();
    refusal(&ApiError::NoRoute { method: request.method().to_string(), path })
}

/// An error in OpenAI's shape.
fn refusal(error: &ApiError) -> Response {
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = json_reply(status, error.to_json().to_string().into_bytes());
    if let Some(after) = error.retry_after() {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(after.as_secs_f64().ceil() as u64));
    }
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert("www-authenticate", HeaderValue::from_static("Bearer"));
    }
    response
}

fn json_reply(status: StatusCode, body: Vec<u8>) -> Response {
    reply(status, "application/json", Body::from(body))
}

fn text(status: StatusCode, body: String) -> Response {
    reply(status, "text/plain; charset=utf-8", Body::from(body))
}

fn reply(status: StatusCode, kind: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn now_secs() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

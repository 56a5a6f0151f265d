//! An OpenAI-compatible server that shows the model the small image first, and the full one when the model asks for it.
//!
//! This crate owns HTTP, in and out: the API, images by reference, the upstream servers, and what stands between a
//! request and the engine that answers it. It knows nothing of rewards or optimizers, and what a reply means it asks
//! `protocol`. Read [`routes::app`] first, then [`Gateway`](gateway::Gateway), then [`Pool`](upstream::Pool); or
//! [`Embedded`](embedded::Embedded), which runs the model itself.
//!
//! Source: OpenAI's chat completions API; the additions of vLLM (`reasoning_content`, `return_token_ids`).

pub mod api;
mod budget;
pub mod config;
pub mod embedded;
pub mod engine;
mod error;
pub mod gateway;
pub mod images;
mod keys;
mod looked;
pub mod metrics;
pub mod routes;
mod seconds;
mod server;
mod tls;
pub mod upstream;
mod voice;

pub use config::ServeConfig;
pub use error::ServeError;
pub use keys::Keys;
pub use server::{embedded_state, serve, state};

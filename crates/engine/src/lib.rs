//! Prefill, decode, sampling, batching and the two-turn rollout.
//!
//! This crate turns ids into more ids. [`Backend`] is what the one rollout loop ([`run`]) asks of something that
//! generates; [`EmbeddedEngine`] is the one that runs the model in this process, with a batch that turns join and leave
//! and sequences whose keys and values wait for the next turn. [`ModelFolder`] opens a checkpoint folder.
//!
//! It must not know gradients, rewards or HTTP.
//!
//! Read [`EmbeddedEngine`] first (its [`step`](Backend::step) is the whole machine), then [`run`].
//!
//! Source: the sampling rules of transformers 5.23, the rollout of arXiv 2507.13348.

mod backend;
mod batch;
mod cancel;
mod engine;
mod entering;
mod error;
mod image_cache;
mod ledger;
mod load;
mod model_folder;
mod picture;
mod prefill;
mod prefix_cache;
mod queue;
mod rollout;
mod row;
mod sampler;
mod sampling;
mod score;
mod sequence;

pub use backend::{Backend, Counters, Event, Past, SequenceId, TurnId, TurnLedger, TurnReply, TurnRequest, TurnTiming};
pub use cancel::CancelToken;
pub use engine::{EmbeddedEngine, EngineOptions};
pub use error::EngineError;
pub use load::Load;
pub use model_folder::{GenerationConfig, ModelFolder};
pub use picture::Picture;
pub use rollout::{Rollout, RolloutEvent, RolloutTiming, Task, Usage, run};
pub use sampling::Sampling;
pub use score::ScoreRequest;

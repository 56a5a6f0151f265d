//! What a run leaves to look at: `metrics.jsonl` and TensorBoard events.

mod metrics;
mod tensorboard;

pub use metrics::{MetricsLog, Record};
pub use tensorboard::EventWriter;

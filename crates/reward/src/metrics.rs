//! The numbers that are logged with every training step, under the reference's names.

mod data;
mod tool_call;

pub use data::{SequenceRow, data_metrics};
pub use tool_call::{MetricRules, ToolOutcome, tool_call_metrics, validation_tool_call_metrics};

/// Names and values, in the order of the log.
pub type Metrics = Vec<(&'static str, f64)>;

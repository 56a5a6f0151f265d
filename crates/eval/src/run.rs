//! A run of an evaluation: its file, and what it has written.
//!
//! Read [`RunFile`] first. What a model answers comes from the caller; see ARCHITECTURE.md, "An evaluation".

mod compare;
mod file;
mod lock;
mod record;
mod result;
mod samples;
mod table;

pub use compare::{Difference, compare};
pub use file::{BenchmarkSection, MethodSection, ModelSection, RunFile, RunSection, SyntheticSection};
pub use lock::RunLock;
pub use record::{Answer, Ledger, Outcome, Record, Seconds, Source};
pub use result::{Coverage, scored};
pub use samples::SampleLog;
pub use table::{Cell, markdown};

//! Writing question rows. Both writers work under a temporary name, so that a file under its own name is always complete.

mod jsonl;
mod parquet;
mod partial;

pub use jsonl::JsonlWriter;
pub use parquet::ParquetWriter;

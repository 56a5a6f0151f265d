//! Question rows in and out, and the synthetic world.
//!
//! Owns: what a question row is ([`Question`]), reading rows from JSONL, Parquet and `datasets.save_to_disk` folders ([`open`]),
//! writing them as JSONL with images beside it ([`JsonlWriter`]) and as Parquet with images inside ([`ParquetWriter`]), and reading
//! tables with columns of a caller's choice ([`open_table`]), and which questions are worth training on ([`selection`]). Must not know: tensors, tokens, what a conversation looks like. Images stay encoded here; `visionthink-image` decodes them.
//!
//! Read [`Question`] first, then [`open_with`].
//!
//! ```no_run
//! for row in visionthink_data::open("VisionThink-Smart-Val")? {
//!     match row {
//!         Ok(question) => println!("{}: {}", question.id, question.question),
//!         Err(bad_row) => eprintln!("{bad_row}"),
//!     }
//! }
//! # Ok::<(), visionthink_data::DataError>(())
//! ```

mod error;
mod question;
mod read;
pub mod selection;
pub mod world;
mod write;

pub use error::{DataError, MissingColumns, Place, RowError, RowProblem};
pub use question::{ImageSource, Question, TargetSize};
pub use read::{Column, ColumnKind, Images, ReadOptions, Rows, Table, TableRow, open, open_table, open_with};
pub use write::{JsonlWriter, ParquetWriter};

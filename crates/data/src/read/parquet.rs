//! Record batches of a Parquet file, row group after row group.

use std::fmt;
use std::fs::File;
use std::ops::Range;

use arrow_schema::{ArrowError, Schema};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};

use crate::error::{DataError, Place, RowProblem};
use crate::read::Shard;
use crate::read::batch::{Batches, Piece, guarded};

/// Few rows at a time: an encoded image may have megabytes.
const BATCH_ROWS: usize = 16;

/// The row groups of one file.
///
/// Each gets a reader of its own, so that a damaged page costs the rest of its row group and not the rest of the file.
pub(super) struct RowGroups {
    file: File,
    metadata: ArrowReaderMetadata,
    columns: ProjectionMask,
    /// The row groups not yet begun.
    groups: Range<usize>,
    reader: Option<ParquetRecordBatchReader>,
    /// The next row, and the first row behind the row group that it is in; both counted from 0 in the file.
    row: u64,
    group_end: u64,
}

impl RowGroups {
    /// `select` checks the schema and says which of its columns to read.
    pub(super) fn open(
        shard: &Shard,
        select: impl FnOnce(&Schema) -> Result<Vec<usize>, DataError>,
    ) -> Result<Self, DataError> {
        let file = fs_err::File::open(&shard.path)?;
        let bytes = file.metadata()?.len();
        let file = file.into_file();
        // Without the embedded Arrow schema every string column comes as plain strings, dictionaries included.
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let metadata = guarded(|| ArrowReaderMetadata::load(&file, options))
            .and_then(|metadata| check(&metadata, bytes).map(|()| metadata))
            .map_err(|source| DataError::Parquet { path: shard.path.clone(), source })?;
        let indices = select(metadata.schema())?;
        let columns = ProjectionMask::roots(metadata.parquet_schema(), indices);
        let groups = 0..metadata.metadata().num_row_groups();
        Ok(Self { file, metadata, columns, groups, reader: None, row: 0, group_end: 0 })
    }

    /// How many rows the footer says there are.
    pub(super) fn rows(&self) -> u64 {
        u64::try_from(self.metadata.metadata().file_metadata().num_rows()).unwrap_or(0)
    }

    /// Begins the next row group; `None` behind the last.
    fn begin(&mut self) -> Option<Result<ParquetRecordBatchReader, ArrowError>> {
        let group = self.groups.next()?;
        let rows = u64::try_from(self.metadata.metadata().row_group(group).num_rows()).unwrap_or(0);
        self.group_end = self.row.saturating_add(rows);
        Some(guarded(|| {
            ParquetRecordBatchReaderBuilder::new_with_metadata(self.file.try_clone()?, self.metadata.clone())
                .with_row_groups(vec![group])
                .with_projection(self.columns.clone())
                .with_batch_size(BATCH_ROWS)
                .build()
        }))
    }

    /// Gives up the current row group.
    fn damaged(&mut self, source: ArrowError) -> Piece {
        let place = Place::Row(self.row);
        let lost = self.group_end.saturating_sub(self.row);
        self.row = self.group_end;
        self.reader = None;
        Err((place, RowProblem::Damaged { lost: Some(lost), source }))
    }
}

impl Iterator for RowGroups {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        loop {
            if let Some(reader) = &mut self.reader {
                match guarded(|| reader.next().transpose()).transpose() {
                    Some(Ok(batch)) => {
                        let first = self.row;
                        self.row += batch.num_rows() as u64;
                        return Some(Ok((first, batch)));
                    }
                    Some(Err(source)) => return Some(self.damaged(source)),
                    None if self.row < self.group_end => {
                        let short = "the row group has fewer rows than the footer says".to_owned();
                        return Some(self.damaged(ArrowError::ParquetError(short)));
                    }
                    None => self.reader = None,
                }
            }
            match self.begin()? {
                Ok(reader) => self.reader = Some(reader),
                Err(source) => return Some(self.damaged(source)),
            }
        }
    }
}

impl Batches for RowGroups {
    fn next_row(&self) -> u64 {
        self.row
    }
}

/// Checks what the footer says about places in the file, before anything is read there.
fn check(metadata: &ArrowReaderMetadata, file_bytes: u64) -> Result<(), ArrowError> {
    for group in metadata.metadata().row_groups() {
        let rows = group.num_rows();
        for chunk in group.columns() {
            let start = chunk.dictionary_page_offset().unwrap_or(chunk.data_page_offset());
            let end = start.checked_add(chunk.compressed_size()).and_then(|end| u64::try_from(end).ok());
            if rows < 0 || start < 0 || chunk.compressed_size() < 0 || end.is_none_or(|end| end > file_bytes) {
                let problem = format!("the footer is damaged: column `{}` lies outside the file", chunk.column_path());
                return Err(ArrowError::ParquetError(problem));
            }
        }
    }
    Ok(())
}

impl fmt::Debug for RowGroups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowGroups").field("groups", &self.groups).field("row", &self.row).finish_non_exhaustive()
    }
}

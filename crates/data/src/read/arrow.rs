//! Record batches of an Arrow IPC stream, the format of `data-*.arrow` in a folder that `datasets.save_to_disk` wrote.
//!
//! `arrow_ipc` decodes the batches. The messages around them are read here, because its own stream reader takes a file that is cut off
//! between two messages for complete, gives up the rest of the file after a damaged batch, and panics on buffers that lie
//! outside of their message.
//!
//! Source: Arrow columnar format, "Encapsulated message format" and "IPC Streaming Format".

use std::collections::HashMap;
use std::io::{BufReader, Read};

use arrow_array::RecordBatch;
use arrow_ipc::reader::RecordBatchDecoder;
use arrow_ipc::{Message, MessageHeader, root_as_message};
use arrow_schema::{ArrowError, Schema, SchemaRef};

use crate::error::{DataError, Place, RowProblem};
use crate::read::Shard;
use crate::read::batch::{Batches, Piece, guarded};

/// What the random-access kind of Arrow file begins with. A stream begins with the length of its schema.
const FILE_MAGIC: [u8; 4] = *b"ARRO";

/// Comes before the length of every message.
const CONTINUATION: [u8; 4] = [0xff; 4];

/// A damaged length must not become an allocation; nothing that a person stores in one batch of one column comes near.
const DECOMPRESSED_LIMIT_BYTES: i64 = 4 << 30;

/// The batches of one stream.
#[derive(Debug)]
pub(super) struct Stream {
    messages: Messages,
    schema: SchemaRef,
    /// The indices of the columns to read.
    columns: Vec<usize>,
    /// The next row, counted from 0 in the file.
    row: u64,
    /// Set behind the end, and behind damage after which the next message cannot be found.
    ended: bool,
}

impl Stream {
    /// `select` checks the schema and says which of its columns to read.
    pub(super) fn open(
        shard: &Shard,
        select: impl FnOnce(&Schema) -> Result<Vec<usize>, DataError>,
    ) -> Result<Self, DataError> {
        let file = fs_err::File::open(&shard.path)?;
        let left = file.metadata()?.len();
        let mut messages = Messages { reader: BufReader::new(file), left };
        let schema = match messages.next() {
            Ok(Some(bytes)) => schema(&bytes),
            Ok(None) => Err(ArrowError::IpcError("the file ends before its schema".to_owned())),
            Err(Broken::File) => return Err(DataError::ArrowFile { path: shard.path.clone() }),
            Err(Broken::Cut) => Err(ArrowError::IpcError("the file ends inside its schema".to_owned())),
            Err(Broken::Message(error)) => Err(error),
        };
        let schema = schema.map_err(|source| DataError::Arrow { path: shard.path.clone(), source })?;
        let columns = select(&schema)?;
        Ok(Self { messages, schema, columns, row: 0, ended: false })
    }

    /// Decodes the batch of a message; `None` if the message is of another kind.
    fn batch(&self, Bytes { header, body }: Bytes) -> Result<Option<Batch>, ArrowError> {
        let header = parse(&header)?;
        let Some(batch) = header.header_as_record_batch() else {
            // Dictionaries belong to columns that are not read.
            return match header.header_type() {
                MessageHeader::DictionaryBatch => Ok(None),
                other => Err(ArrowError::IpcError(format!("a message of the kind {other:?} between batches"))),
            };
        };
        check_buffers(&batch, &body)?;
        // A row takes at least one bit in one of the buffers, so a length beyond that is damage and no count of rows.
        let rows = u64::try_from(batch.length())
            .ok()
            .filter(|rows| *rows <= body.len() as u64 * 8)
            .ok_or_else(|| ArrowError::IpcError(format!("a batch of {} rows", batch.length())))?;
        let (body, no_dictionaries, version) = (body.into(), HashMap::new(), header.version());
        let decode = || {
            RecordBatchDecoder::try_new(&body, batch, self.schema.clone(), &no_dictionaries, &version)?
                .with_projection(Some(&self.columns))
                .read_record_batch()
        };
        Ok(Some(Batch { rows, decoded: guarded(decode) }))
    }

    /// Reports damage and the number of rows that it costs: all the rest where that is not known.
    fn damaged(&mut self, lost: Option<u64>, source: ArrowError) -> Piece {
        let place = Place::Row(self.row);
        self.row += lost.unwrap_or(0);
        self.ended = lost.is_none();
        Err((place, RowProblem::Damaged { lost, source }))
    }
}

/// A batch whose length is known, decoded or not.
struct Batch {
    rows: u64,
    decoded: Result<RecordBatch, ArrowError>,
}

impl Iterator for Stream {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        while !self.ended {
            let message = match self.messages.next() {
                Ok(Some(message)) => message,
                Ok(None) => break,
                Err(Broken::Message(source)) => return Some(self.damaged(None, source)),
                Err(Broken::Cut | Broken::File) => {
                    self.ended = true;
                    return Some(Err((Place::Row(self.row), RowProblem::Cut)));
                }
            };
            match self.batch(message) {
                Ok(None) => {}
                Ok(Some(Batch { decoded: Ok(batch), .. })) => {
                    let first = self.row;
                    self.row += batch.num_rows() as u64;
                    return Some(Ok((first, batch)));
                }
                Ok(Some(Batch { decoded: Err(source), rows })) => return Some(self.damaged(Some(rows), source)),
                Err(source) => return Some(self.damaged(None, source)),
            }
        }
        self.ended = true;
        None
    }
}

impl Batches for Stream {
    fn next_row(&self) -> u64 {
        self.row
    }
}

/// The messages of a stream, undecoded.
#[derive(Debug)]
struct Messages {
    reader: BufReader<fs_err::File>,
    /// Bytes left in the file, the bound for every length that the file states.
    left: u64,
}

/// Why there is no next message.
enum Broken {
    /// The file ends before the end mark.
    Cut,
    /// It is not a stream but a random-access file.
    File,
    /// Not what a message looks like, or not readable.
    Message(ArrowError),
}

/// One message.
struct Bytes {
    header: Vec<u8>,
    body: Vec<u8>,
}

impl Messages {
    /// The next message; `None` at the end mark.
    fn next(&mut self) -> Result<Option<Bytes>, Broken> {
        let mut length = self.four_bytes()?;
        if length == FILE_MAGIC {
            return Err(Broken::File);
        }
        // Streams written before Arrow 0.15 have no continuation mark.
        if length == CONTINUATION {
            length = self.four_bytes()?;
        }
        let length = i32::from_le_bytes(length);
        if length == 0 {
            return Ok(None);
        }
        let header = self.take(length.into())?;
        let body_length = parse(&header).map_err(Broken::Message)?.bodyLength();
        let body = self.take(body_length)?;
        Ok(Some(Bytes { header, body }))
    }

    fn four_bytes(&mut self) -> Result<[u8; 4], Broken> {
        self.take(4)?.try_into().map_err(|_| Broken::Cut)
    }

    /// Reads as many bytes as the file says there are. Memory is asked for only up to what the file has.
    fn take(&mut self, length: i64) -> Result<Vec<u8>, Broken> {
        let length = u64::try_from(length)
            .map_err(|_| Broken::Message(ArrowError::IpcError(format!("a part of {length} bytes"))))?;
        if length > self.left {
            return Err(Broken::Cut);
        }
        let mut bytes = vec![0; length as usize];
        self.reader.read_exact(&mut bytes).map_err(|error| Broken::Message(error.into()))?;
        self.left -= length;
        Ok(bytes)
    }
}

fn parse(header: &[u8]) -> Result<Message<'_>, ArrowError> {
    root_as_message(header).map_err(|error| ArrowError::IpcError(format!("not a message header: {error}")))
}

fn schema(message: &Bytes) -> Result<SchemaRef, ArrowError> {
    let header = parse(&message.header)?;
    let schema = header
        .header_as_schema()
        .ok_or_else(|| ArrowError::IpcError(format!("begins with {:?}, not with a schema", header.header_type())))?;
    guarded(|| arrow_ipc::convert::try_fb_to_schema(schema)).map(Into::into)
}

/// Checks that every buffer of a batch lies inside the body of its message.
fn check_buffers(batch: &arrow_ipc::RecordBatch, body: &[u8]) -> Result<(), ArrowError> {
    for buffer in batch.buffers().into_iter().flatten() {
        let range = usize::try_from(buffer.offset())
            .ok()
            .zip(usize::try_from(buffer.length()).ok())
            .and_then(|(start, length)| body.get(start..start.checked_add(length)?));
        let Some(bytes) = range else {
            let problem =
                format!("a buffer of {} bytes at {} in a body of {}", buffer.length(), buffer.offset(), body.len());
            return Err(ArrowError::IpcError(problem));
        };
        let decompressed = bytes.first_chunk().map_or(0, |length| i64::from_le_bytes(*length));
        if batch.compression().is_some() && decompressed > DECOMPRESSED_LIMIT_BYTES {
            return Err(ArrowError::IpcError(format!("a buffer of {decompressed} bytes when decompressed")));
        }
    }
    Ok(())
}

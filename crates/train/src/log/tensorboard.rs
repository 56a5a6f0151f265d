//! TensorBoard event files with scalars.
//!
//! A file is a sequence of records, each `length (u64) | masked crc32c of the length | bytes | masked crc32c of the bytes`, all little
//! endian; the bytes are a `tensorflow.Event` protocol buffer, of which a scalar needs six fields.
//!
//! Source: tensorflow `core/lib/io/record_writer.cc`, `core/util/event.proto`, `core/framework/summary.proto`.

use std::io::Write;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use fs_err::File;

use crate::error::TrainError;

/// Appends scalars to an event file.
#[derive(Debug)]
pub struct EventWriter {
    file: File,
}

impl EventWriter {
    /// Starts a new event file in `folder`; TensorBoard reads all event files of a folder as one run.
    pub fn create(folder: &Path) -> Result<Self, TrainError> {
        fs_err::create_dir_all(folder)?;
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs());
        // A resumed run may start within the second in which the first one ended.
        let name = (0..).map(|n| folder.join(format!("events.out.tfevents.{seconds:010}.{n}.visionthink")));
        let path = name.into_iter().find(|path| !path.exists()).expect("some number is free");
        let mut writer = Self { file: File::create(path)? };
        let version = Event::new(0).text(3, "brain.Event:2");
        writer.record(&version.0)?;
        Ok(writer)
    }

    /// Writes scalars of one step.
    pub fn scalars<'a>(
        &mut self,
        step: u64,
        scalars: impl IntoIterator<Item = (&'a str, f64)>,
    ) -> Result<(), TrainError> {
        let mut summary = Vec::new();
        for (tag, value) in scalars {
            let mut scalar = Vec::new();
            put_bytes(&mut scalar, 1, tag.as_bytes());
            put_key(&mut scalar, 2, FIXED_32);
            scalar.extend_from_slice(&(value as f32).to_le_bytes());
            put_bytes(&mut summary, 1, &scalar);
        }
        let event = Event::new(step).bytes(5, &summary);
        self.record(&event.0)
    }

    fn record(&mut self, bytes: &[u8]) -> Result<(), TrainError> {
        let length = (bytes.len() as u64).to_le_bytes();
        let mut record = Vec::with_capacity(bytes.len() + 16);
        record.extend_from_slice(&length);
        record.extend_from_slice(&masked_crc32c(&length).to_le_bytes());
        record.extend_from_slice(bytes);
        record.extend_from_slice(&masked_crc32c(bytes).to_le_bytes());
        self.file.write_all(&record)?;
        self.file.flush()?;
        Ok(())
    }
}

const VARINT: u32 = 0;
const FIXED_64: u32 = 1;
const LENGTH_DELIMITED: u32 = 2;
const FIXED_32: u32 = 5;

/// A `tensorflow.Event` in the making.
struct Event(Vec<u8>);

impl Event {
    fn new(step: u64) -> Self {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |elapsed| elapsed.as_secs_f64());
        let mut bytes = Vec::new();
        put_key(&mut bytes, 1, FIXED_64);
        bytes.extend_from_slice(&seconds.to_le_bytes());
        put_key(&mut bytes, 2, VARINT);
        put_varint(&mut bytes, step);
        Self(bytes)
    }

    fn bytes(mut self, field: u32, bytes: &[u8]) -> Self {
        put_bytes(&mut self.0, field, bytes);
        self
    }

    fn text(self, field: u32, text: &str) -> Self {
        self.bytes(field, text.as_bytes())
    }
}

fn put_key(out: &mut Vec<u8>, field: u32, wire: u32) {
    put_varint(out, u64::from(field << 3 | wire));
}

fn put_bytes(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    put_key(out, field, LENGTH_DELIMITED);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// CRC-32C (Castagnoli, reflected polynomial 0x82f63b78), rotated and shifted as record files want it.
fn masked_crc32c(bytes: &[u8]) -> u32 {
    let crc = !bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg()))
    });
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unmasked(masked: u32) -> u32 {
        masked.wrapping_sub(0xa282_ead8).rotate_left(15)
    }

    #[test]
    fn the_checksum_is_crc32c() {
        // The check value of the algorithm, and RFC 3720 B.4 for 32 zero bytes.
        assert_eq!(unmasked(masked_crc32c(b"123456789")), 0xe306_9283);
        assert_eq!(unmasked(masked_crc32c(&[0; 32])), 0x8a91_36aa);
    }

    /// Fields of a message as (number, wire type, payload).
    fn fields(mut bytes: &[u8]) -> Vec<(u64, u64, Vec<u8>)> {
        fn varint(bytes: &mut &[u8]) -> u64 {
            let mut value = 0;
            for shift in (0..).step_by(7) {
                let byte = bytes[0];
                *bytes = &bytes[1..];
                value |= u64::from(byte & 0x7f) << shift;
                if byte < 0x80 {
                    break;
                }
            }
            value
        }
        let mut found = Vec::new();
        while !bytes.is_empty() {
            let key = varint(&mut bytes);
            let length = match key & 7 {
                0 => {
                    found.push((key >> 3, 0, varint(&mut bytes).to_le_bytes().to_vec()));
                    continue;
                }
                1 => 8,
                2 => varint(&mut bytes) as usize,
                5 => 4,
                wire => panic!("wire type {wire}"),
            };
            found.push((key >> 3, key & 7, bytes[..length].to_vec()));
            bytes = &bytes[length..];
        }
        found
    }

    fn records(mut bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        while !bytes.is_empty() {
            let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
            assert_eq!(bytes[8..12], masked_crc32c(&bytes[..8]).to_le_bytes());
            let body = &bytes[12..][..length];
            assert_eq!(bytes[12 + length..][..4], masked_crc32c(body).to_le_bytes());
            found.push(body.to_vec());
            bytes = &bytes[16 + length..];
        }
        found
    }

    #[test]
    fn scalars_read_back_as_they_were_written() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = EventWriter::create(folder.path()).unwrap();
        writer.scalars(300, [("train/loss", 0.5), ("train/lr", 1e-3)]).unwrap();
        let path = fs_err::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
        let records = records(&fs_err::read(path).unwrap());
        assert_eq!(records.len(), 2);
        assert!(fields(&records[0]).contains(&(3, 2, b"brain.Event:2".to_vec())));

        let event = fields(&records[1]);
        assert_eq!(event[1], (2, 0, 300_u64.to_le_bytes().to_vec()));
        let summary = fields(&event[2].2);
        let read: Vec<(String, f32)> = summary
            .iter()
            .map(|(_, _, value)| {
                let value = fields(value);
                let number = f32::from_le_bytes(value[1].2.clone().try_into().unwrap());
                (String::from_utf8(value[0].2.clone()).unwrap(), number)
            })
            .collect();
        assert_eq!(read, [("train/loss".to_string(), 0.5), ("train/lr".to_string(), 1e-3)]);
    }

    #[test]
    fn a_second_writer_starts_a_file_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        EventWriter::create(folder.path()).unwrap();
        EventWriter::create(folder.path()).unwrap();
        assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 2);
    }
}

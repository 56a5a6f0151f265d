//! A data set larger than memory should be is read in the memory of a batch.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, the functions it calls too")]

use image::{DynamicImage, ImageFormat, RgbImage};
use visionthink_data::{ImageSource, ParquetWriter, Question};
use visionthink_eval::{Dataset, DatasetOptions, benchmarks};

const ROWS: u64 = 2_000;

/// A picture that cannot be compressed, of about 30 kB.
fn noise(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    let picture = RgbImage::from_fn(100, 100, |_, _| image::Rgb([next(), next(), next()]));
    let mut bytes = std::io::Cursor::new(Vec::new());
    DynamicImage::ImageRgb8(picture).write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// Memory of this process that is in use now, where the system tells.
fn resident_bytes() -> Option<u64> {
    let statm = fs_err::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * 4096)
}

#[test]
fn two_thousand_rows_with_images_stream_in_the_memory_of_a_batch() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("many.parquet");
    // Ends a row group every 100 rows.
    let mut writer = ParquetWriter::create(&path).unwrap();
    for row in 0..ROWS {
        let image = ImageSource::Bytes(noise(row));
        let (question, answer) = (format!("Which is {row}?"), "this".to_owned());
        writer.write(&Question { id: row.to_string(), image, question, answer, ..Question::default() }).unwrap();
    }
    writer.finish().unwrap();
    let file_bytes = fs_err::metadata(&path).unwrap().len();
    assert!(file_bytes > 50 << 20, "{file_bytes} bytes");

    let dataset = Dataset::open(benchmarks::find("own").unwrap(), &path, &DatasetOptions::default()).unwrap();
    assert_eq!(dataset.count(), Some(ROWS));
    let before = resident_bytes();
    let mut most = before;
    let mut expected = 0;
    for sample in dataset.samples().unwrap() {
        let sample = sample.unwrap();
        assert!(sample.can_be_scored(), "{:?}", sample.defects);
        assert_eq!(sample.id, expected.to_string());
        expected += 1;
        if expected % 10 == 0 {
            most = most.max(resident_bytes());
        }
    }
    assert_eq!(expected, ROWS);
    if let (Some(before), Some(most)) = (before, most) {
        // A batch of 16 rows is half a megabyte, of which the allocator keeps a few; a row group is 3 MB, the file 60 MB.
        assert!(most - before < 4 << 20, "grew by {} bytes", most - before);
    }
}

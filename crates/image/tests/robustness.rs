//! Arbitrary and damaged bytes: an error or a picture, never a panic.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::LazyLock;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use visionthink_image::{Alpha, DecodeOptions, Limits, decode, upright_size};

/// Small, so that a damaged header cannot make the test slow.
const LIMITS: Limits = Limits { max_bytes: 1 << 20, max_pixels: 1 << 18, max_decoded_bytes: 1 << 21 };

/// Beginnings that send the bytes behind them to each decoder.
const BEGINNINGS: [&[u8]; 8] = [
    b"",
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",
    b"GIF89a",
    b"GIF87a",
    b"BM",
    b"RIFF\x40\0\0\0WEBPVP8 ",
    b"RIFF\x40\0\0\0WEBPVP8X",
];

static VALID: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files");
    let entries = fs_err::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> =
        entries.filter(|path| path.is_file() && path.extension().is_some_and(|ext| ext != "py")).collect();
    paths.sort();
    assert!(paths.len() > 30);
    paths.iter().map(|path| fs_err::read(path).unwrap()).collect()
});

/// A picture that comes out fits its announced size and the limits.
fn survives(bytes: &[u8], alpha: Alpha) {
    let options = DecodeOptions { limits: LIMITS, alpha };
    let announced = upright_size(bytes, &options);
    if let Ok(picture) = decode(bytes, &options) {
        assert_eq!(announced.unwrap(), (picture.width, picture.height));
        let pixels = u64::from(picture.width) * u64::from(picture.height);
        assert!(pixels <= LIMITS.max_pixels);
        assert_eq!(picture.pixels.len() as u64, pixels * 3);
    }
}

fn config() -> ProptestConfig {
    ProptestConfig {
        // Fast enough to be raised for a longer hunt: `PROPTEST_CASES=200000 cargo test --test robustness`.
        cases: ProptestConfig::default().cases.max(512),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn arbitrary_bytes_are_survived(
        beginning in select(&BEGINNINGS[..]),
        rest in vec(any::<u8>(), 0..400),
    ) {
        survives(&[beginning, &rest].concat(), Alpha::OnWhite);
    }

    #[test]
    fn damaged_files_are_survived(
        file in any::<Index>(),
        hits in vec((any::<Index>(), any::<u8>()), 1..12),
        cut in proptest::option::of(any::<Index>()),
    ) {
        let mut bytes = file.get(&VALID).clone();
        for (at, byte) in hits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        survives(&bytes, Alpha::Drop);
    }

    #[test]
    fn moved_parts_of_files_are_survived(
        file in any::<Index>(),
        (from, to, length) in (any::<Index>(), any::<Index>(), 1..64_usize),
    ) {
        let mut bytes = file.get(&VALID).clone();
        let from = from.index(bytes.len());
        let part = bytes[from..(from + length).min(bytes.len())].to_vec();
        let at = to.index(bytes.len());
        bytes.splice(at..at, part);
        survives(&bytes, Alpha::OnWhite);
    }
}

//! A header that announces a huge picture costs no memory. Alone in its process, so that nothing else moves the figures.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use visionthink_image::{DecodeOptions, ImageError, decode};

/// Peak of the address space in KiB: it counts memory that was asked for, touched or not.
fn peak_kib() -> u64 {
    let status = fs_err::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmPeak:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn huge_headers_are_refused_before_memory_is_taken() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files/broken");
    let before = peak_kib();
    for (name, width, height) in [
        ("huge.png", 100_000, 100_000),
        ("huge.webp", 60_000, 60_000),
        ("huge.gif", 65_535, 65_535),
        ("huge.jpg", 65_500, 65_500),
        ("large.bmp", 65_000, 65_000),
    ] {
        let bytes = fs_err::read(folder.join(name)).unwrap();
        match decode(&bytes, &DecodeOptions::default()) {
            Err(ImageError::TooManyPixels { width: w, height: h, limit: 89_478_485 }) => {
                assert_eq!((w, h), (width, height), "{name}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
    // The BMP decoder has a limit of its own, 65,535 a side, and says so.
    let bytes = fs_err::read(folder.join("huge.bmp")).unwrap();
    let error = decode(&bytes, &DecodeOptions::default()).unwrap_err();
    let ImageError::Decode { source, .. } = &error else { panic!("{error:?}") };
    assert!(source.to_string().contains("100000"), "{source}");
    let grown = peak_kib() - before;
    assert!(grown < 64 << 10, "the address space grew by {grown} KiB");
}

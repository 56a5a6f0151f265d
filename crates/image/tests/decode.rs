//! Every format, colour type and orientation against what Pillow makes of the same file (`files/make.py`), and what is said of files that
//! cannot be decoded.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use visionthink_image::{Alpha, DecodeOptions, ImageError, Limits, RgbImage, decode, open, upright_size};

/// Levels that lossy formats may differ by: decoders round the inverse transform and the colour conversion differently.
const LOSSY_LEVELS: u8 = 4;

/// In a tiny picture with halved chroma most pixels lie near an edge, where decoders also interpolate differently.
const CHROMA_EDGE_LEVELS: u8 = 12;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files")
}

fn file(name: &str) -> Vec<u8> {
    fs_err::read(folder().join(name)).unwrap()
}

fn names() -> Vec<String> {
    let entries = fs_err::read_dir(folder()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut images: Vec<String> =
        names.filter(|name| folder().join("expected").join(format!("{name}.png")).exists()).collect();
    images.sort();
    assert!(images.len() > 30);
    images
}

fn allowed(name: &str) -> u8 {
    match name {
        "baseline_420.jpg" | "progressive.jpg" | "restart.jpg" => CHROMA_EDGE_LEVELS,
        _ if name.contains(".jpg") || name.starts_with("lossy") => LOSSY_LEVELS,
        _ => 0,
    }
}

#[test]
fn every_kind_of_file_decodes_as_pillow_decodes_it() {
    let options = DecodeOptions::default();
    let mut wrong = Vec::new();
    for name in names() {
        let found = open(&folder().join(&name), &options).unwrap();
        let expected = open(&folder().join(format!("expected/{name}.png")), &options).unwrap();
        assert_eq!((found.width, found.height), (expected.width, expected.height), "{name}");
        let pairs = found.pixels.iter().zip(&expected.pixels);
        let largest = pairs.map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        if largest > allowed(&name) {
            wrong.push(format!("{name}: {largest} levels"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_header_tells_the_size_of_the_decoded_picture() {
    let options = DecodeOptions::default();
    for name in names() {
        let picture = decode(&file(&name), &options).unwrap();
        let size = upright_size(&file(&name), &options).unwrap();
        assert_eq!(size, (picture.width, picture.height), "{name}");
    }
}

#[test]
fn dropping_alpha_shows_the_colour_that_was_hidden() {
    let drop = DecodeOptions { alpha: Alpha::Drop, ..DecodeOptions::default() };
    let opaque = decode(&file("rgb.png"), &drop).unwrap();
    assert_eq!(decode(&file("rgba.png"), &drop).unwrap(), opaque);
    assert_ne!(decode(&file("rgba.png"), &DecodeOptions::default()).unwrap(), opaque);
}

#[test]
fn a_cut_file_is_never_taken_for_a_whole_one() {
    for name in names() {
        let whole = file(&name);
        let picture = decode(&whole, &DecodeOptions::default()).unwrap();
        for length in 1..whole.len() {
            match decode(&whole[..length], &DecodeOptions::default()) {
                // What stands behind the picture may be missing: an end mark, metadata, later frames.
                Ok(found) => assert_eq!(found, picture, "{name} cut to {length}"),
                Err(ImageError::Truncated { .. } | ImageError::NotAnImage | ImageError::Decode { .. }) => {}
                Err(error) => panic!("{name} cut to {length}: {error:?}"),
            }
        }
    }
}

#[test]
fn half_a_file_is_called_truncated() {
    for name in names() {
        let whole = file(&name);
        let error = decode(&whole[..whole.len() / 2], &DecodeOptions::default());
        let cut_between_frames = name.starts_with("animated") && error.is_ok();
        assert!(cut_between_frames || matches!(error, Err(ImageError::Truncated { .. })), "{name}: {error:?}");
    }
}

fn broken(name: &str) -> ImageError {
    decode(&file(&format!("broken/{name}")), &DecodeOptions::default()).unwrap_err()
}

#[test]
fn what_is_no_image_is_named_as_such() {
    assert!(matches!(broken("empty.png"), ImageError::Empty));
    assert!(matches!(broken("text.png"), ImageError::NotAnImage));
    let tiff = broken("tiff.png");
    assert!(tiff.to_string().starts_with("`tiff` images are not read"), "{tiff}");
}

#[test]
fn sizes_above_a_limit_are_refused() {
    let limited = |limits| {
        let options = DecodeOptions { limits, ..DecodeOptions::default() };
        decode(&file("rgb.png"), &options)
    };
    let limits =
        Limits { max_pixels: 24 * 16, max_decoded_bytes: 24 * 16 * 3, max_bytes: file("rgb.png").len() as u64 };
    assert!(limited(limits).is_ok());
    let max_pixels = 24 * 16 - 1;
    assert!(matches!(
        limited(Limits { max_pixels, ..limits }),
        Err(ImageError::TooManyPixels { width: 24, height: 16, limit: 383 })
    ));
    let max_decoded_bytes = 24 * 16 * 3 - 1;
    assert!(matches!(limited(Limits { max_decoded_bytes, ..limits }), Err(ImageError::TooMuchMemory { .. })));
    let max_bytes = limits.max_bytes - 1;
    assert!(matches!(limited(Limits { max_bytes, ..limits }), Err(ImageError::TooManyBytes { .. })));
}

#[test]
fn a_file_that_cannot_be_used_is_named() {
    let options = DecodeOptions::default();
    let chain = |path: &Path, options: &DecodeOptions| {
        let error = open(path, options).unwrap_err();
        let source = std::error::Error::source(&error).map(ToString::to_string);
        (error.to_string(), source.unwrap_or_default())
    };
    let missing = chain(&folder().join("missing.png"), &options);
    assert!(missing.0 == "cannot read the file" && missing.1.contains("missing.png"), "{missing:?}");
    let directory = chain(&folder(), &options);
    assert!(directory.1.contains("tests/files"), "{directory:?}");
    let text = chain(&folder().join("broken/text.png"), &options);
    assert!(text.0.contains("broken/text.png") && text.1.starts_with("not an image"), "{text:?}");
    let limits = Limits { max_bytes: 10, ..Limits::default() };
    let options = DecodeOptions { limits, ..options };
    let long = chain(&folder().join("rgb.png"), &options);
    assert_eq!(long.1, "the image has 125 bytes; the limit `max_bytes` is 10");
}

#[test]
fn png_bytes_of_a_decoded_picture_decode_to_it() {
    let picture: RgbImage = decode(&file("animated.webp"), &DecodeOptions::default()).unwrap();
    let png = picture.encode_png().unwrap();
    assert_eq!(decode(&png, &DecodeOptions::default()).unwrap(), picture);
}

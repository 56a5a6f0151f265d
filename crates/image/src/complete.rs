//! Does a file hold its whole picture? Asked for the formats whose decoders do not notice, or say something else.

use image::ImageFormat;

const START: u8 = 0xd8;
const END: u8 = 0xd9;
const RESTART: std::ops::RangeInclusive<u8> = 0xd0..=0xd7;
const TEMPORARY: u8 = 0x01;
const STUFFED: u8 = 0x00;
const FILL: u8 = 0xff;

/// False if the file is known to end before its picture does.
pub(crate) fn is_complete(format: ImageFormat, bytes: &[u8]) -> bool {
    match format {
        ImageFormat::Jpeg => jpeg_has_end(bytes),
        ImageFormat::WebP => webp_has_its_length(bytes),
        ImageFormat::Gif => gif_first_frame(bytes).is_some(),
        // The decoders of the other formats report the missing bytes.
        _ => true,
    }
}

/// Whether the file is as long as its RIFF header says.
fn webp_has_its_length(bytes: &[u8]) -> bool {
    let length = bytes.get(4..8).and_then(<[u8]>::first_chunk);
    length.is_some_and(|&length| bytes.len() as u64 >= 8 + u64::from(u32::from_le_bytes(length)))
}

/// What stands behind the first frame, if it is all there; what is no GIF block is left to the decoder to complain about.
fn gif_first_frame(bytes: &[u8]) -> Option<&[u8]> {
    const SCREEN: usize = 13;
    const FRAME: usize = 10;
    let mut rest = skip_colours(bytes, SCREEN, 10)?;
    loop {
        match rest.first()? {
            0x21 => rest = skip_blocks(rest.get(2..)?)?,
            0x2c => {
                let data = skip_colours(rest, FRAME, 9)?;
                return skip_blocks(data.get(1..)?);
            }
            _ => return Some(rest),
        }
    }
}

/// Skips a descriptor of `length` bytes and the colour table that its byte `flags` announces.
fn skip_colours(bytes: &[u8], length: usize, flags: usize) -> Option<&[u8]> {
    let flags = *bytes.get(flags)?;
    let colours = if flags & 0x80 == 0 { 0 } else { 2 << (flags & 7) };
    bytes.get(length + 3 * colours..)
}

/// Skips blocks that begin with their length, up to the empty one.
fn skip_blocks(mut bytes: &[u8]) -> Option<&[u8]> {
    loop {
        let (&length, rest) = bytes.split_first()?;
        bytes = rest.get(usize::from(length)..)?;
        if length == 0 {
            return Some(bytes);
        }
    }
}

/// Whether the end-of-image marker follows the scans.
///
/// The decoder paints what is missing grey without a word, where Pillow refuses such a file; so the markers are walked before. Segments are
/// skipped by their length, because a thumbnail inside one has an end marker of its own. Compressed data cannot hold the marker: there 0xff
/// is always followed by 0.
fn jpeg_has_end(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|&byte| byte == 0xff) {
        rest = &rest[at + 1..];
        let Some(&marker) = rest.first() else {
            return false;
        };
        match marker {
            END => return true,
            // A run of 0xff before a marker is padding: look again from the next one.
            FILL => {}
            STUFFED | TEMPORARY | START => rest = &rest[1..],
            marker if RESTART.contains(&marker) => rest = &rest[1..],
            _ => {
                let Some(&[high, low]) = rest.get(1..3).and_then(<[u8]>::first_chunk) else {
                    return false;
                };
                let length = usize::from(u16::from_be_bytes([high, low]));
                let Some(after) = rest.get(1 + length..) else {
                    return false;
                };
                rest = after;
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_marker_inside_a_segment_does_not_count() {
        let with_thumbnail = [0xff, 0xd8, 0xff, 0xe1, 0, 6, 1, 2, 0xff, 0xd9, 0xff, 0xda, 0, 2, 7, 0xff, 0, 7];
        assert!(!jpeg_has_end(&with_thumbnail));
        assert!(jpeg_has_end(&[&with_thumbnail[..], &[0xff, 0xd9]].concat()));
    }

    #[test]
    fn restart_markers_and_padding_are_passed_over() {
        assert!(jpeg_has_end(&[0xff, 0xd8, 0xff, 0xd3, 5, 0xff, 0xff, 0xff, 0xd9]));
        assert!(!jpeg_has_end(&[0xff, 0xd8, 0xff, 0xff]));
        assert!(!jpeg_has_end(&[0xff, 0xd8, 0xff, 0xe0, 0xff]));
        assert!(!jpeg_has_end(&[]));
    }
}

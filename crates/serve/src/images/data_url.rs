//! `data:` URLs.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::error::ImageSourceError;

/// The bytes in a `data:` URL. Its length is checked before memory is taken.
pub(super) fn bytes(url: &str, max_bytes: u64) -> Result<Bytes, ImageSourceError> {
    let wrong = |reason: &str| ImageSourceError::DataUrl { reason: reason.to_owned() };
    let (head, body) = url.split_once(',').ok_or_else(|| wrong("a `data:` URL without a comma"))?;
    if !head.to_ascii_lowercase().ends_with(";base64") {
        return Err(wrong("a `data:` URL that is not base64"));
    }
    let body = body.trim();
    if body.len() as u64 / 4 * 3 > max_bytes.saturating_add(2) {
        return Err(ImageSourceError::TooManyBytes { limit: max_bytes });
    }
    let bytes = STANDARD.decode(body).map_err(|error| wrong(&format!("a `data:` URL with broken base64 ({error})")))?;
    if bytes.len() as u64 > max_bytes {
        return Err(ImageSourceError::TooManyBytes { limit: max_bytes });
    }
    Ok(bytes.into())
}

/// `data:MIME;base64,…`
pub(super) fn write(mime: &str, bytes: &[u8]) -> String {
    let mut url = format!("data:{mime};base64,");
    STANDARD.encode_string(bytes, &mut url);
    url
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn faults_are_named_and_the_data_is_not_shown() {
        for (url, expected) in [
            ("data:", "without a comma"),
            ("data:image/png,secret", "not base64"),
            ("data:image/png;base64,se cret", "broken base64"),
        ] {
            let error = bytes(url, 100).unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_long_one_is_refused_before_it_is_decoded() {
        let url = write("image/png", &[7; 101]);
        assert_eq!(bytes(&url, 101).unwrap().len(), 101);
        assert!(matches!(bytes(&url, 100), Err(ImageSourceError::TooManyBytes { limit: 100 })));
        assert!(matches!(bytes(&url, 3), Err(ImageSourceError::TooManyBytes { limit: 3 })));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(data: Vec<u8>) {
            prop_assert_eq!(&bytes(&write("image/png", &data), u64::MAX).unwrap()[..], &data[..]);
        }

        #[test]
        fn any_text_is_bytes_or_an_error(text: String) {
            let _ = bytes(&text, 10);
        }
    }
}

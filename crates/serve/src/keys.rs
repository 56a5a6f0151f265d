//! API keys: from a file, compared in constant time.

use std::fmt;
use std::path::Path;

use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use crate::api::ApiError;
use crate::error::ServeError;

/// Shorter keys can be guessed.
const MIN_CHARS: usize = 16;

/// The keys of a server; none: everybody is served. They cannot be printed, for only their hashes are kept.
#[derive(Clone, Default)]
pub struct Keys {
    digests: Vec<[u8; 32]>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.digests.len())
    }
}

impl Keys {
    /// Reads a file with one key a line; empty lines and those that begin with `#` are skipped.
    ///
    /// # Errors
    /// [`ServeError::Io`], [`ServeError::NoKeys`], [`ServeError::BadKey`].
    pub fn from_file(path: &Path) -> Result<Self, ServeError> {
        let text = fs_err::read_to_string(path)?;
        let mut digests = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if line.len() < MIN_CHARS || !line.chars().all(|letter| letter.is_ascii_graphic()) {
                return Err(ServeError::BadKey { path: path.to_owned(), line: index + 1 });
            }
            digests.push(Sha256::digest(line).into());
        }
        if digests.is_empty() {
            return Err(ServeError::NoKeys { path: path.to_owned() });
        }
        Ok(Self { digests })
    }

    /// Whether the value of an `authorization` header holds one of the keys. Hashes are compared, all of them and to the
    /// end, so that the time it takes tells nothing of any key.
    ///
    /// # Errors
    /// [`ApiError::NoKey`], [`ApiError::WrongKey`].
    pub fn check(&self, authorization: Option<&[u8]>) -> Result<(), ApiError> {
        if self.digests.is_empty() {
            return Ok(());
        }
        let given = authorization.and_then(bearer).ok_or(ApiError::NoKey)?;
        let given: [u8; 32] = Sha256::digest(given).into();
        let equal = self.digests.iter().fold(Choice::from(0), |found, digest| found | digest.ct_eq(&given));
        if bool::from(equal) { Ok(()) } else { Err(ApiError::WrongKey) }
    }
}

fn bearer(header: &[u8]) -> Option<&[u8]> {
    const SCHEME: &[u8] = b"bearer ";
    let (scheme, key) = header.split_at_checked(SCHEME.len())?;
    scheme.eq_ignore_ascii_case(SCHEME).then(|| key.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(text: &str) -> Result<Keys, ServeError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs_err::write(file.path(), text).unwrap();
        Keys::from_file(file.path())
    }

    #[test]
    fn any_of_the_keys_opens_and_nothing_else_does() {
        let keys = keys("# team a\nsk-aaaaaaaaaaaaaaaa\n\nsk-bbbbbbbbbbbbbbbb \n").unwrap();
        for header in ["Bearer sk-aaaaaaaaaaaaaaaa", "bearer  sk-bbbbbbbbbbbbbbbb"] {
            assert!(keys.check(Some(header.as_bytes())).is_ok(), "{header}");
        }
        for header in ["Bearer sk-aaaaaaaaaaaaaaab", "Bearer sk-aaaaaaaaaaaaaaaaa", "Bearer "] {
            assert!(matches!(keys.check(Some(header.as_bytes())), Err(ApiError::WrongKey)), "{header}");
        }
        for header in [None, Some("sk-aaaaaaaaaaaaaaaa"), Some("Basic sk-aaaaaaaaaaaaaaaa"), Some("")] {
            assert!(matches!(keys.check(header.map(str::as_bytes)), Err(ApiError::NoKey)), "{header:?}");
        }
        assert_eq!(format!("{keys:?}"), "Keys(2)");
    }

    #[test]
    fn a_file_without_a_key_closes_the_server_instead_of_opening_it() {
        assert!(matches!(keys("# none\n"), Err(ServeError::NoKeys { .. })));
        assert!(matches!(keys("\nshort\n"), Err(ServeError::BadKey { line: 2, .. })));
        assert!(Keys::default().check(None).is_ok());
    }
}

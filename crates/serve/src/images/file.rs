//! `file:` URLs, below the folders that the operator allows.

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::error::{ImageSourceError, short};

/// The allowed folders, every symbolic link in their paths resolved.
#[derive(Debug, Clone)]
pub(super) struct Folders(Vec<PathBuf>);

impl Folders {
    pub(super) fn new(folders: &[PathBuf]) -> Result<Self, ImageSourceError> {
        let real = |path: &PathBuf| {
            fs_err::canonicalize(path).map_err(|source| ImageSourceError::Folder { path: path.clone(), source })
        };
        folders.iter().map(real).collect::<Result<_, _>>().map(Self)
    }

    /// Whatever is wrong with a path, the client hears the same: it does not learn what exists.
    pub(super) async fn read(&self, url: &str, max_bytes: u64) -> Result<Bytes, ImageSourceError> {
        let refused = ImageSourceError::FileRefused { url: short(url) };
        let Some(path) = path_of(url).filter(|_| !self.0.is_empty()) else { return Err(refused) };
        let folders = self.clone();
        let read = tokio::task::spawn_blocking(move || folders.read_path(&path, max_bytes)).await;
        match read {
            Ok(Some(bytes)) if bytes.len() as u64 > max_bytes => {
                Err(ImageSourceError::TooManyBytes { limit: max_bytes })
            }
            Ok(Some(bytes)) => Ok(bytes.into()),
            Ok(None) | Err(_) => Err(refused),
        }
    }

    /// Up to one byte more than the limit. The path is resolved again after the file was opened: a link that was changed
    /// in between leads elsewhere, or to another file.
    fn read_path(&self, path: &Path, max_bytes: u64) -> Option<Vec<u8>> {
        let real = self.allowed(path)?;
        // Opening a pipe would wait for somebody to write.
        fs_err::metadata(&real).ok().filter(std::fs::Metadata::is_file)?;
        let file = fs_err::File::open(&real).ok()?;
        let opened = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
        let there = fs_err::metadata(self.allowed(path)?).ok()?;
        if (opened.dev(), opened.ino()) != (there.dev(), there.ino()) {
            return None;
        }
        let mut bytes = Vec::new();
        file.take(max_bytes.saturating_add(1)).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }

    /// The file itself, where it is below one of the folders.
    fn allowed(&self, path: &Path) -> Option<PathBuf> {
        let real = fs_err::canonicalize(path).ok()?;
        self.0.iter().any(|folder| real.starts_with(folder)).then_some(real)
    }
}

/// The absolute path in a `file:` URL; nothing where it names another machine or is not absolute.
fn path_of(url: &str) -> Option<PathBuf> {
    let (_, rest) = url.split_once(':')?;
    let path = match rest.strip_prefix("//") {
        Some(after) => after.strip_prefix("localhost").unwrap_or(after),
        None => rest,
    };
    let path = unescape(path)?;
    (path.starts_with('/') && !path.contains('\0')).then(|| PathBuf::from(path))
}

fn unescape(path: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [first, after @ ..] = rest {
        if *first != b'%' {
            bytes.push(*first);
            rest = after;
            continue;
        }
        let (digits, after) = after.split_at_checked(2)?;
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use proptest::prelude::*;

    use super::*;

    fn read(folders: &Folders, path: &Path) -> Option<Vec<u8>> {
        let url = format!("file://{}", path.display());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(folders.read(&url, 10)).ok().map(|bytes| bytes.to_vec())
    }

    #[test]
    fn only_files_below_the_folders_are_read() {
        let outside = tempfile::tempdir().unwrap();
        let inside = outside.path().join("in side");
        fs_err::create_dir(&inside).unwrap();
        fs_err::write(inside.join("a"), "A").unwrap();
        fs_err::write(outside.path().join("b"), "B").unwrap();
        symlink(outside.path().join("b"), inside.join("link")).unwrap();
        symlink(inside.join("a"), inside.join("within")).unwrap();
        symlink(outside.path(), inside.join("up")).unwrap();
        let folders = Folders::new(std::slice::from_ref(&inside)).unwrap();
        assert_eq!(read(&folders, &inside.join("a")).as_deref(), Some(&b"A"[..]));
        assert_eq!(read(&folders, &outside.path().join("in%20side/a")).as_deref(), Some(&b"A"[..]));
        assert_eq!(read(&folders, &inside.join("within")).as_deref(), Some(&b"A"[..]));
        for path in ["link", "up/b", "../b", "%2e%2e/b", "..%2fb", "a%00", "", "nothing", "up/in side/../b"] {
            assert_eq!(read(&folders, &inside.join(path)), None, "{path}");
        }
        assert_eq!(read(&folders, Path::new("/etc/passwd")), None);
        assert_eq!(read(&folders, Path::new("/dev/zero")), None);
        assert_eq!(read(&Folders::new(&[]).unwrap(), &inside.join("a")), None);
    }

    #[test]
    fn a_folder_whose_name_begins_alike_is_another_folder() {
        let parent = tempfile::tempdir().unwrap();
        for name in ["images", "images-private"] {
            fs_err::create_dir(parent.path().join(name)).unwrap();
        }
        fs_err::write(parent.path().join("images-private/a"), "A").unwrap();
        let folders = Folders::new(&[parent.path().join("images")]).unwrap();
        assert_eq!(read(&folders, &parent.path().join("images-private/a")), None);
    }

    #[test]
    fn a_long_file_is_read_no_further_than_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        fs_err::write(folder.path().join("long"), [0; 11]).unwrap();
        let folders = Folders::new(&[folder.path().to_owned()]).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let url = format!("file://{}/long", folder.path().display());
        let error = runtime.block_on(folders.read(&url, 10)).unwrap_err();
        assert!(matches!(error, ImageSourceError::TooManyBytes { limit: 10 }));
    }

    #[test]
    fn a_folder_that_is_not_there_is_named_at_the_start() {
        let error = Folders::new(&[PathBuf::from("/nowhere/at/all")]).unwrap_err().to_string();
        assert!(error.contains("/nowhere/at/all"), "{error}");
    }

    proptest! {
        #[test]
        fn any_url_is_a_path_or_nothing(text: String) {
            let path = path_of(&("file:".to_owned() + &text));
            prop_assert!(path.is_none_or(|path| path.is_absolute()));
        }
    }
}

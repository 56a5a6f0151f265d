//! Files that are replaced whole or not at all, whenever the program ends.

use std::path::Path;

/// Writes `text` to a temporary name beside `path`, flushes it to the disk, and renames it.
///
/// # Errors
/// A file cannot be written; the old one stands.
pub(crate) fn replace_file(path: &Path, text: &str) -> Result<(), std::io::Error> {
    let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let temporary = path.with_file_name(format!(".{name}.tmp"));
    fs_err::write(&temporary, text)?;
    fs_err::OpenOptions::new().append(true).open(&temporary)?.sync_all()?;
    fs_err::rename(&temporary, path)
}

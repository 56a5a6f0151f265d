//! A file or folder that is not there until it is complete.

use std::path::{Path, PathBuf};

use crate::error::DataError;

/// The temporary name of a file or folder; removed on drop unless [`Partial::finish`] was called.
#[derive(Debug)]
pub(super) struct Partial {
    target: PathBuf,
    temporary: PathBuf,
    finished: bool,
}

impl Partial {
    /// Makes sure that nothing is in the way and that the folder of `target` is there.
    pub(super) fn new(target: &Path) -> Result<Self, DataError> {
        if target.symlink_metadata().is_ok() {
            return Err(DataError::Exists { path: target.to_owned() });
        }
        if let Some(folder) = target.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs_err::create_dir_all(folder)?;
        }
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        // The process id keeps two writers of one target apart; the leading dot keeps readers of the folder away.
        let temporary = target.with_file_name(format!(".{name}.{}.partial", std::process::id()));
        let partial = Self { target: target.to_owned(), temporary, finished: false };
        partial.remove();
        Ok(partial)
    }

    /// Where to write.
    pub(super) fn path(&self) -> &Path {
        &self.temporary
    }

    /// What will be there in the end.
    pub(super) fn target(&self) -> &Path {
        &self.target
    }

    /// Gives the complete file or folder its name.
    pub(super) fn finish(mut self) -> Result<(), DataError> {
        fs_err::rename(&self.temporary, &self.target)?;
        self.finished = true;
        Ok(())
    }

    /// Whatever goes wrong here, what goes wrong next says it better.
    fn remove(&self) {
        if self.temporary.is_dir() {
            let _ = fs_err::remove_dir_all(&self.temporary);
        } else if self.temporary.exists() {
            let _ = fs_err::remove_file(&self.temporary);
        }
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.finished {
            self.remove();
        }
    }
}

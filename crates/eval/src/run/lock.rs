//! One writer a run folder.

use std::fs::TryLockError;
use std::io::Write;
use std::path::Path;

use crate::error::{EvalError, Result};

/// Held while a run writes to its folder. The lock is the operating system's, so it ends with the process however that dies, and a
/// file that a dead process left is no obstacle.
#[derive(Debug)]
pub struct RunLock {
    _file: std::fs::File,
}

impl RunLock {
    /// Takes the folder, which must exist.
    ///
    /// # Errors
    /// [`EvalError::Locked`] where another run writes to it; [`EvalError::Io`].
    pub fn take(folder: &Path) -> Result<Self> {
        let path = folder.join("lock");
        let file = fs_err::OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path)?;
        let (mut file, _) = file.into_parts();
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = fs_err::read_to_string(&path).unwrap_or_default().trim().to_owned();
                return Err(EvalError::Locked { folder: folder.to_owned(), holder });
            }
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        file.set_len(0)?;
        writeln!(file, "{}", std::process::id())?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_writer_is_refused_until_the_first_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let held = RunLock::take(folder.path()).unwrap();
        let error = RunLock::take(folder.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
        drop(held);
        RunLock::take(folder.path()).unwrap();
    }

    #[test]
    fn a_file_that_a_dead_process_left_is_no_obstacle() {
        let folder = tempfile::tempdir().unwrap();
        fs_err::write(folder.path().join("lock"), "4194304999\n").unwrap();
        RunLock::take(folder.path()).unwrap();
        let text = fs_err::read_to_string(folder.path().join("lock")).unwrap();
        assert_eq!(text, format!("{}\n", std::process::id()));
    }
}

//! The server, as a process of its own.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// `visionthink serve`; killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// The address in front of `/chat/completions`.
    pub(crate) base: String,
}

impl Server {
    /// Starts `program serve` with these arguments and waits until it listens. Its log goes to the file `log`.
    pub(crate) fn start(program: &Path, arguments: &[&str], log: &Path) -> Result<Self> {
        let mut child = Command::new(program)
            .arg("serve")
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(fs_err::File::create(log)?.into_parts().0)
            .spawn()
            .with_context(|| format!("{} did not start", program.display()))?;
        let stdout = child.stdout.take().context("the server has no stdout")?;
        let mut server = Self { child, base: String::new() };
        let mut first = String::new();
        BufReader::new(stdout).read_line(&mut first)?;
        let Some(address) = first.trim().strip_prefix("listening on ") else {
            bail!("the server said `{}`, expected `listening on …`; see {}", first.trim(), log.display());
        };
        server.base = format!("{address}/v1");
        Ok(server)
    }

    /// Resident memory in bytes; `None` where there is no `/proc`.
    pub(crate) fn resident_bytes(&self) -> Option<u64> {
        let status = fs_err::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
    }

    /// Open file descriptors; `None` where there is no `/proc`.
    pub(crate) fn descriptors(&self) -> Option<usize> {
        Some(fs_err::read_dir(format!("/proc/{}/fd", self.child.id())).ok()?.count())
    }

    /// Tells it to stop, and gives the exit status once it has, within `patience`.
    pub(crate) fn terminate(&mut self, patience: Duration) -> Result<Option<i32>> {
        let told = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status()?;
        if !told.success() {
            bail!("`kill -TERM` ended with {told}");
        }
        let until = Instant::now() + patience;
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status.code());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("the server did not stop within {} s", patience.as_secs());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

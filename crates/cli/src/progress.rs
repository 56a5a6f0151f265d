//! What a person watches on stderr: bars and rows drawn again in place, silent where stderr is no terminal, and lines above them.

use std::io::{self, Write};
use std::sync::LazyLock;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// Everything that is drawn again in place. One for the program, so that lines and logs come above it.
static SCREEN: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Whether stderr is a terminal.
pub(crate) fn has_terminal() -> bool {
    !SCREEN.is_hidden()
}

/// Whether colours are wanted: <https://no-color.org>.
pub(crate) fn colours() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// A bar over `total` things with a word for what is being done.
pub(crate) fn bar(total: u64, doing: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg:12} {bar:32} {pos}/{len} {elapsed} (left {eta})")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = SCREEN.add(ProgressBar::new(total)).with_style(style).with_message(doing);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// A bar over the bytes of a file; its message names the file.
pub(crate) fn download() -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {bar:32} {bytes}/{total_bytes} {bytes_per_sec} (left {eta})")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = SCREEN.add(ProgressBar::new(0)).with_style(style);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// A row below those that are there.
pub(crate) fn row() -> ProgressBar {
    SCREEN.add(ProgressBar::new(1))
}

/// A line above everything that is drawn again, or a plain line where there is no terminal.
#[expect(clippy::print_stderr, reason = "progress goes to stderr")]
pub(crate) fn tell(line: &str) {
    SCREEN.suspend(|| eprintln!("{line}"));
}

/// Where logs go: above everything that is drawn again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogLines;

impl Write for LogLines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        SCREEN.suspend(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

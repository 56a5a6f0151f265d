//! Progress bars on stderr; silent where stderr is no terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar over `total` things with a word for what is being done.
pub(crate) fn bar(total: u64, doing: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg:12} {bar:32} {pos}/{len} {elapsed} (left {eta})")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(total).with_style(style).with_message(doing);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// A bar over the bytes of a file; its message names the file.
pub(crate) fn download() -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {bar:32} {bytes}/{total_bytes} {bytes_per_sec} (left {eta})")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(0).with_style(style);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// A line above the bar, or a plain line where there is no terminal.
#[expect(clippy::print_stderr, reason = "progress goes to stderr")]
pub(crate) fn say(bar: &ProgressBar, line: &str) {
    if bar.is_hidden() {
        eprintln!("{line}");
    } else {
        bar.println(line);
    }
}

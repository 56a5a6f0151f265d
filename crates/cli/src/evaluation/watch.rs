//! How far an evaluation is: a bar on a terminal, now and then a line elsewhere.

use std::time::{Duration, Instant};

use indicatif::ProgressBar;

use crate::progress;

/// Where there is no terminal a line is told this often.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// How far a run is.
pub(crate) struct Watch {
    bar: ProgressBar,
    began: Instant,
    told: Instant,
    /// Questions through in this session.
    done: u64,
    left: u64,
    label: String,
}

impl Watch {
    /// Over `total` questions, of which an earlier session has answered `done`.
    pub(crate) fn new(total: u64, done: u64) -> Self {
        let bar = progress::bar(total, "asking");
        bar.set_position(done);
        // What an earlier session has asked took this one no time.
        bar.reset_eta();
        progress::tell(&format!("{total} questions, {done} answered already"));
        let now = Instant::now();
        Self { bar, began: now, told: now, done: 0, left: total.saturating_sub(done), label: String::new() }
    }

    /// What is asked from now on.
    pub(crate) fn enter(&mut self, label: String) {
        progress::tell(&label);
        self.label = label;
    }

    /// A question is through.
    pub(crate) fn step(&mut self) {
        self.done += 1;
        self.left = self.left.saturating_sub(1);
        self.bar.inc(1);
        if !progress::has_terminal() && self.told.elapsed() >= TELL_EVERY {
            self.told = Instant::now();
            progress::tell(&self.line(self.began.elapsed().as_secs_f64()));
        }
    }

    /// The bar goes.
    pub(crate) fn finish(self) {
        self.bar.finish_and_clear();
    }

    fn line(&self, seconds: f64) -> String {
        let rate = self.done as f64 / seconds.max(1e-9);
        let left = self.left as f64 / rate.max(1e-9);
        format!("{}: {} through, {rate:.1} questions/s, about {left:.0} s left", self.label, self.done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_fast_it_goes_and_how_long_it_will_take() {
        let mut watch = Watch::new(110, 10);
        watch.enter("micro, full, charts".to_owned());
        (0..20).for_each(|_| watch.step());
        assert_eq!(watch.line(4.0), "micro, full, charts: 20 through, 5.0 questions/s, about 16 s left");
    }
}

//! When a server that keeps failing is left alone, and when it is tried again.

use std::time::{Duration, Instant};

/// Counts failures in a row. Past a number of them the server is left alone for a while, then one request may try it; its
/// success closes the breaker, its failure opens it for twice as long, up to a bound.
#[derive(Debug, Clone)]
pub(crate) struct Breaker {
    threshold: u32,
    cool_down: Duration,
    failures: u32,
    /// Openings in a row.
    openings: u32,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed,
    Open {
        until: Instant,
    },
    /// One request is trying.
    Trying,
}

/// Doubling ends here: 2^5 cool-downs.
const MAX_DOUBLINGS: u32 = 5;

impl Breaker {
    pub(crate) fn new(threshold: u32, cool_down: Duration) -> Self {
        Self { threshold: threshold.max(1), cool_down, failures: 0, openings: 0, state: State::Closed }
    }

    /// Whether a request may be sent. Does not send it: see [`Breaker::begin`].
    pub(crate) fn permits(&self, now: Instant) -> bool {
        match self.state {
            State::Closed => true,
            State::Open { until } => now >= until,
            State::Trying => false,
        }
    }

    /// A request is sent.
    pub(crate) fn begin(&mut self) {
        if matches!(self.state, State::Open { .. }) {
            self.state = State::Trying;
        }
    }

    /// A request went well, or a health check did.
    pub(crate) fn succeeded(&mut self) {
        self.failures = 0;
        self.openings = 0;
        self.state = State::Closed;
    }

    /// A request failed by the server's fault.
    pub(crate) fn failed(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        if self.state == State::Trying || self.failures >= self.threshold {
            let wait = self.cool_down.saturating_mul(1 << self.openings.min(MAX_DOUBLINGS));
            self.openings = self.openings.saturating_add(1);
            self.failures = 0;
            self.state = State::Open { until: now.checked_add(wait).unwrap_or(now) };
        }
    }

    /// A request ended without telling anything of the server: the client left. Another one may try.
    pub(crate) fn abandoned(&mut self, now: Instant) {
        if self.state == State::Trying {
            self.state = State::Open { until: now };
        }
    }

    /// How long until the server is tried again; nothing where it is not left alone.
    pub(crate) fn wait(&self, now: Instant) -> Option<Duration> {
        match self.state {
            State::Closed => None,
            State::Open { until } => Some(until.saturating_duration_since(now)),
            State::Trying => Some(self.cool_down),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COOL_DOWN: Duration = Duration::from_secs(10);

    #[test]
    fn failures_in_a_row_open_it_and_one_success_between_them_does_not() {
        let now = Instant::now();
        let mut breaker = Breaker::new(3, COOL_DOWN);
        for _ in 0..2 {
            breaker.failed(now);
        }
        breaker.succeeded();
        for _ in 0..2 {
            breaker.failed(now);
        }
        assert!(breaker.permits(now));
        breaker.failed(now);
        assert!(!breaker.permits(now));
        assert_eq!(breaker.wait(now), Some(COOL_DOWN));
    }

    #[test]
    fn after_the_cool_down_one_request_tries_and_decides() {
        let now = Instant::now();
        let mut breaker = Breaker::new(1, COOL_DOWN);
        breaker.failed(now);
        let later = now + COOL_DOWN;
        assert!(breaker.permits(later));
        breaker.begin();
        assert!(!breaker.permits(later));
        breaker.failed(later);
        assert_eq!(breaker.wait(later), Some(2 * COOL_DOWN));
        breaker.begin();
        breaker.abandoned(later);
        assert!(breaker.permits(later));
        breaker.begin();
        breaker.succeeded();
        assert!(breaker.permits(later) && breaker.wait(later).is_none());
    }

    #[test]
    fn waits_double_up_to_their_bound() {
        let now = Instant::now();
        let mut breaker = Breaker::new(1, COOL_DOWN);
        for _ in 0..100 {
            breaker.failed(now);
        }
        assert_eq!(breaker.wait(now), Some(32 * COOL_DOWN));
    }
}

//! A place at a server, from the choice of the server to the end of its reply.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::pool::{Pool, Standing};

/// A place at a server; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    pool: Arc<Pool>,
    pub(super) index: usize,
    settled: bool,
}

impl Place {
    /// A place that was taken in the pool.
    pub(super) fn new(pool: Arc<Pool>, index: usize) -> Self {
        Self { pool, index, settled: false }
    }

    /// The server did what it should.
    pub(super) fn succeeded(&mut self) {
        self.settle(|standing, _| standing.breaker.succeeded());
    }

    /// The server failed.
    pub(super) fn failed(&mut self) {
        self.pool.counts.failures.fetch_add(1, Ordering::Relaxed);
        self.settle(|standing, now| standing.breaker.failed(now));
    }

    /// The server is there and has no time.
    pub(super) fn busy(&mut self, after: Duration) {
        self.settle(|standing, now| {
            standing.breaker.succeeded();
            standing.busy_until = now.checked_add(after);
        });
    }

    fn settle(&mut self, outcome: impl FnOnce(&mut Standing, Instant)) {
        if !self.settled {
            self.settled = true;
            if let Some(standing) = self.pool.lock().get_mut(self.index) {
                outcome(standing, Instant::now());
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.settle(|standing, now| standing.breaker.abandoned(now));
        if let Some(standing) = self.pool.lock().get_mut(self.index) {
            standing.in_flight = standing.in_flight.saturating_sub(1);
        }
        self.pool.freed.notify_waiters();
    }
}

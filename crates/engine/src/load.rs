//! What an engine holds, and who makes room for whom.

use std::time::Instant;

use crate::engine::EmbeddedEngine;
use crate::queue::Paused;
use crate::sequence::Sequence;

/// What an engine holds at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// Turns that are being decoded.
    pub running: usize,
    /// Turns that wait for their prompt to be run, or for a free row.
    pub waiting: usize,
    /// Sequences without a turn in flight.
    pub parked: usize,
    /// Tokens with keys and values, of all of these.
    pub tokens: usize,
    /// Tokens with keys and values that are kept for prompts that begin alike.
    pub prefix_tokens: usize,
}

impl EmbeddedEngine {
    /// What it holds now.
    pub fn load(&self) -> Load {
        let paused = self.queue.paused.iter().flat_map(|paused| &paused.batch.rows);
        let rows = self.batch.rows.iter().chain(paused).map(|row| &row.sequence);
        let forks = self.queue.forks.iter().map(|fork| &fork.stem.sequence);
        let prompts = self.queue.prompts.iter().map(|prompt| &prompt.past);
        let sequences = rows.chain(forks).chain(prompts).chain(self.parked.values());
        Load {
            running: self.batch.rows.len(),
            waiting: self.queue.waiting(),
            parked: self.parked.len(),
            tokens: sequences.map(Sequence::cached).sum(),
            prefix_tokens: self.prefixes.tokens(),
        }
    }

    /// Makes rows free for turns that wait: those that have been decoded for long enough go to the end of the queue.
    pub(crate) fn pause(&mut self) {
        let free = self.options.max_rows.saturating_sub(self.batch.rows.len());
        let wanted = self.queue.waiting().saturating_sub(free);
        let after = self.options.tokens_before_pause;
        let tired = self.batch.rows.iter().enumerate().filter(|(_, row)| row.tokens_since_join >= after);
        let rows: Vec<usize> = tired.map(|(index, _)| index).take(wanted).collect();
        let since = Instant::now();
        self.queue.paused.extend(self.batch.take_running(&rows).into_iter().map(|batch| Paused { batch, since }));
    }
}

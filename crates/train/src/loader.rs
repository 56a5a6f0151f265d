//! Batches drawn and tokenised ahead of the steps that need them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use crate::batch::MicroBatch;
use crate::error::TrainError;

/// Batches each thread may be ahead.
const AHEAD: usize = 2;

type Made = Result<Vec<MicroBatch>, TrainError>;

/// Threads that make the batches of steps in order. Thread `i` of `n` makes every n-th step from the i-th on, and what a step gets
/// depends on its number alone, so the number of threads changes nothing. Dropping the loader ends the threads.
#[derive(Debug)]
pub struct Loader {
    /// One a thread, the one with the next step in front.
    receivers: VecDeque<Receiver<Made>>,
}

impl Loader {
    /// Starts `threads` threads that call `make` for the steps `from..to`.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn start(
        from: u64,
        to: u64,
        threads: usize,
        make: impl Fn(u64) -> Made + Send + Sync + 'static,
    ) -> Result<Self, std::io::Error> {
        let make = Arc::new(make);
        let mut receivers = VecDeque::new();
        for thread in 0..threads {
            let (sender, receiver) = sync_channel(AHEAD);
            let make = make.clone();
            let mut steps = (from..to).skip(thread).step_by(threads);
            // A failed send means that the loader was dropped.
            let work = move || while steps.next().is_some_and(|step| sender.send(make(step)).is_ok()) {};
            std::thread::Builder::new().name(format!("loader-{thread}")).spawn(work)?;
            receivers.push_back(receiver);
        }
        Ok(Self { receivers })
    }

    /// The batch of the next step.
    ///
    /// # Errors
    /// What making it gave.
    ///
    /// # Panics
    /// Behind the last step, or when a thread panicked.
    pub fn next_step(&mut self) -> Made {
        let batch = self.receivers[0].recv().expect("asked for no more steps than were announced");
        self.receivers.rotate_left(1);
        batch
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn batches_come_in_the_order_of_the_steps_from_any_number_of_threads() {
        for threads in [1, 2, 3] {
            // The error carries the number of the step that was made.
            let make = |step: u64| Err(TrainError::NoQuestions { path: PathBuf::from(step.to_string()) });
            let mut loader = Loader::start(5, 12, threads, make).unwrap();
            for step in 5..12_u64 {
                let Err(TrainError::NoQuestions { path }) = loader.next_step() else { panic!("an error was made") };
                assert_eq!(path, PathBuf::from(step.to_string()));
            }
        }
    }
}

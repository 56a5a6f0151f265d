//! How long the engine works, and with that how much of a run is spent around it.

use std::time::{Duration, Instant};

use visionthink_engine::{Backend, Counters, EmbeddedEngine, EngineError, Event, SequenceId, TurnId, TurnRequest};

/// The embedded engine with a clock that runs while it takes a step.
pub(crate) struct Clocked<'a> {
    engine: &'a mut EmbeddedEngine,
    /// In steps so far.
    pub(crate) busy: Duration,
}

impl<'a> Clocked<'a> {
    pub(crate) fn new(engine: &'a mut EmbeddedEngine) -> Self {
        Self { engine, busy: Duration::ZERO }
    }
}

impl Backend for Clocked<'_> {
    fn submit(&mut self, request: TurnRequest) -> Result<TurnId, EngineError> {
        self.engine.submit(request)
    }

    fn submit_group(&mut self, request: TurnRequest, samples: usize) -> Result<Vec<TurnId>, EngineError> {
        self.engine.submit_group(request, samples)
    }

    fn step(&mut self) -> Result<Vec<Event>, EngineError> {
        let began = Instant::now();
        let events = self.engine.step();
        self.busy += began.elapsed();
        events
    }

    fn cancel(&mut self, turn: TurnId) {
        self.engine.cancel(turn);
    }

    fn release(&mut self, sequence: SequenceId) {
        self.engine.release(sequence);
    }

    fn capacity(&self) -> usize {
        self.engine.capacity()
    }

    fn counters(&self) -> &Counters {
        self.engine.counters()
    }
}

//! Each pruning method against its algorithm written down slowly: whole sequences, whole attention matrices, plain loops.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod chunks;
mod decoder;
mod slow;
mod slow_decoder;
mod tower;

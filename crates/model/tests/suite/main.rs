//! The behaviour of the crate on a tiny model with random weights.

#![expect(clippy::unwrap_used, reason = "what a test cannot prepare fails it")]

mod checkpoints;
mod consistency;
mod tiny;

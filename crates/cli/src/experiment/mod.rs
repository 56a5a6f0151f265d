//! Experiments: variants of one training run, each with several seeds, trained, measured and written up.

pub(crate) mod curves;
pub(crate) mod definition;
pub(crate) mod page;
pub(crate) mod trial;

//! One file per command.

pub(crate) mod ask;
pub(crate) mod bench;
pub(crate) mod check;
pub(crate) mod curate;
pub(crate) mod demo;
pub(crate) mod eval;
pub(crate) mod experiment;
pub(crate) mod export;
pub(crate) mod generate;
pub(crate) mod grpo;
pub(crate) mod inspect;
pub(crate) mod judge;
pub(crate) mod report;
pub(crate) mod reward;
pub(crate) mod score;
pub(crate) mod serve;
pub(crate) mod sft;
pub(crate) mod synth;

//! From a transcript to a number: answer, format, judge, control penalty, advantages.
//!
//! Read [`RewardBreakdown`] first: it says what a response was (correct, well-formed, from which image), and only its
//! [`scores`](RewardBreakdown::scores) turn that into numbers. [`FormatRules`] and [`AnswerReading`] read transcripts,
//! [`judge`] writes to the judge and reads what it replies, a [`PenaltyRule`] looks at a whole group, [`advantages`] and
//! [`BatchFilter`] prepare what training uses.
//!
//! Everything is a pure function or a state machine without I/O: whoever talks to a judge owns the connection and the
//! clock. This crate knows nothing of tensors, the model or HTTP.
//!
//! Source: arXiv 2507.13348 and its repository (VisionThink, commit 42afd8c). Where the two differ, or where the
//! repository has defects, our own rule is the default and the repository's is there by name, for parity.

mod answer;
mod breakdown;
mod control;
mod error;
mod filter;
mod format;
mod group;
pub mod judge;
pub mod metrics;
mod overlong;
mod python;
mod turns;

pub use answer::{AnswerReading, INVALID_ANSWER};
pub use breakdown::{Accuracy, Control, FirstTurn, Penalty, RewardBreakdown, Scores, Weights};
pub use control::reference::{CallLabel, ReferencePenalty, Supervision};
pub use control::{CallPenalty, DirectRatio, Eq5, GroupControl, PenaltyRule, Scope};
pub use error::{Result, RewardError};
pub use filter::{BatchFilter, FilterConfig, FilterCounts, FilterStep, ScoredGroup, ScoredSample};
pub use format::{Format, FormatCheck, FormatFault, FormatRules};
pub use group::{
    AdvantageRule, GroupStats, MIN_STD, Precision, TokenRewards, advantages, has_spread, token_advantages,
};
pub use overlong::{LengthPenalty, Overlong};
pub use turns::{Credit, TurnAdvantages, TurnRewards, turn_advantages};

//! Judges that need no language model: is this answer the right one?
//!
//! Read [`Rule`] first: the closed list of judges that a run file can name. Behind it stand two groups:
//!
//! - general rules with a definition of our own: [`exact`], [`numeric`], [`choice`];
//! - the rules of the reference: [`boxed_content`], [`grade_answer`], [`math_verify`] and their composition
//!   [`rule_based`], on top of a reader of LaTeX and plain mathematics that makes an [`Expression`].
//!
//! Everything here is a pure function of strings. Any string is a legal input: what cannot be read is "not equal", never
//! a panic; recursion and the size of numbers are bounded.
//!
//! This crate knows nothing of turns, tokens, tensors or HTTP.
//!
//! Source: VisionThink, commit 42afd8c, `rule_based_tool.py`, which calls math-verify 0.9.0 and mathruler 0.1.0. Those
//! decide with a computer-algebra system; here equality is decided by exact rational arithmetic at sample points, with
//! a numeric fallback.

mod answer;
mod boxed;
mod compare;
mod equivalence;
mod error;
mod evaluate;
mod expression;
mod extract;
mod grade;
mod judge;
mod latex;
mod normalize;
mod number;
mod plain;
mod rule;
mod rule_based;
mod sets;
mod text;
mod verify;

pub use answer::AnswerTags;
pub use boxed::boxed_content;
pub use equivalence::{Decimals, equivalent};
pub use error::{Result, RulesError};
pub use expression::{Comparison, Constant, Expression, Function, Interval, Relation};
pub use grade::grade_answer;
pub use judge::choice::choice;
pub use judge::exact::{exact, normalized};
pub use judge::numeric::{Quantity, Tolerance, numeric};
pub use judge::{Truth, Verdict};
pub use latex::parse_latex;
pub use number::Number;
pub use rule::Rule;
pub use rule_based::{Outcome, Stage, rule_based};
pub use verify::{Side, math_verify, read};

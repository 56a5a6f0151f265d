//! Multi-turn GRPO: the model is asked, judged, and made to do more of what went better than its own average.
//!
//! Read [`train_policy`] first: generate ([`Questioner`]), score ([`score_group`]), update ([`fn@update`]). The rollouts go through the same loop
//! as everything else (`visionthink_engine::run`), so what is trained is what is served; only sampled tokens of any turn are learned from.
//!
//! Source: arXiv 2507.13348, section 3; departures from the released code are in `docs/paper.md`.

mod config;
mod experience;
mod frozen;
mod generation;
mod measure;
mod pass;
mod run;
mod samples;
mod scoring;
mod update;

pub use config::{AdvantageSection, GrpoConfig, GrpoLogSection, QuestionSection, RewardSection, RolloutSection};
pub use experience::{Experience, PolicyBatch, policy_batches};
pub(crate) use generation::by_task;
pub use generation::{Asked, Generation, Questioner};
pub use measure::{PolicyEvaluation, Tally};
pub use pass::{PolicyPass, SampledTokens, policy_pass, target_log_probs};
pub use run::{GrpoEvent, GrpoReport, train_policy};
pub use samples::{SampledImage, SampledReward, SampledRollout, read_samples};
pub use scoring::{Group, judge_rollouts, score, score_group};
pub use update::{Learner, PolicyOutcome, UpdateSettings, update};

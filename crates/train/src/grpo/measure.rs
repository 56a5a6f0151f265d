//! What rollouts amount to: sums for the logs.

use visionthink_engine::Rollout;
use visionthink_protocol::Decision;
use visionthink_reward::Accuracy;

use crate::evaluate::Share;
use crate::grpo::generation::Asked;
use crate::grpo::scoring::Group;
use crate::log::Record;

/// Sums over rollouts. Easy and hard are told apart for the reader alone; nothing that learns sees it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Tally {
    /// Right answers to questions that do not and that do need the full image; of what was judged.
    pub correct: [Share; 2],
    /// First turns that asked for the full image, likewise.
    pub calls: [Share; 2],
    /// First turns that were meant as a call and were none.
    pub malformed: usize,
    /// Transcripts laid out as asked.
    pub well_formed: usize,
    /// Sum of rewards, of what was judged.
    pub reward: f64,
    /// Rollouts without a verdict.
    pub unjudged: usize,
    /// Rollouts.
    pub rollouts: usize,
    /// Sampled tokens.
    pub completion_tokens: usize,
    /// Image tokens shown.
    pub image_tokens: usize,
    /// Image tokens of the full images.
    pub full_image_tokens: usize,
}

impl Tally {
    /// Counts the rollouts of a group.
    pub fn add_group(&mut self, asked: &Asked, rollouts: &[Rollout], group: &Group) {
        for ((rollout, response), reward) in rollouts.iter().zip(&group.responses).zip(&group.rewards) {
            self.add(asked, rollout, response.accuracy);
            // Without a verdict nobody knows what it is worth, whatever its length takes off.
            if response.accuracy != Accuracy::Unjudged {
                self.reward += reward;
            }
            self.well_formed += usize::from(response.format == visionthink_reward::Format::Ok);
        }
    }

    /// The mean reward of what was judged; not a number where nothing was.
    pub fn mean_reward(&self) -> f64 {
        self.reward / (self.rollouts - self.unjudged) as f64
    }

    fn add(&mut self, asked: &Asked, rollout: &Rollout, accuracy: Accuracy) {
        let need = usize::from(asked.question.needs_full);
        let decision = rollout.conversation.decision();
        match accuracy {
            Accuracy::Unjudged => self.unjudged += 1,
            judged => self.correct[need].add(judged == Accuracy::Correct),
        }
        self.calls[need].add(decision == Decision::Resize);
        self.malformed += usize::from(decision == Decision::Malformed);
        self.rollouts += 1;
        self.completion_tokens += rollout.usage.completion_tokens;
        self.image_tokens += rollout.usage.image_tokens;
        self.full_image_tokens += rollout.usage.full_image_tokens;
    }

    /// Adds the numbers to a record, below `prefix`.
    pub fn put(&self, record: &mut Record, prefix: &str) {
        let mean = |sum: f64| sum / self.rollouts as f64;
        for (name, shares) in [("accuracy", self.correct), ("calls", self.calls)] {
            let [easy, hard] = shares;
            record.put(format!("{prefix}/{name}/easy"), easy.value());
            record.put(format!("{prefix}/{name}/hard"), hard.value());
            let all = Share { right: easy.right + hard.right, of: easy.of + hard.of };
            record.put(format!("{prefix}/{name}"), all.value());
        }
        record.put(format!("{prefix}/malformed"), mean(self.malformed as f64));
        record.put(format!("{prefix}/completion_tokens"), mean(self.completion_tokens as f64));
        record.put(format!("{prefix}/visual_tokens"), self.image_tokens as f64 / self.full_image_tokens as f64);
    }
}

/// Held-out questions, answered greedily.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct PolicyEvaluation {
    /// Steps done.
    pub step: u64,
    /// As the policy is used: choosing for itself. Empty where it learns from full images alone.
    pub adaptive: Tally,
    /// Forced to the full image.
    pub full: Tally,
}

impl PolicyEvaluation {
    /// Counts the rollouts of one mode.
    pub(crate) fn tally(asked: &[Asked], rollouts: &[Rollout], verdicts: &[Accuracy]) -> Tally {
        let mut tally = Tally::default();
        for (rollout, verdict) in rollouts.iter().zip(verdicts) {
            tally.add(&asked[rollout.task], rollout, *verdict);
        }
        tally
    }

    /// The numbers for the logs, below `eval/`.
    pub fn record(&self) -> Record {
        let mut record = Record::new(self.step);
        if self.adaptive.rollouts > 0 {
            self.adaptive.put(&mut record, "eval/adaptive");
        }
        if self.full.rollouts > 0 {
            self.full.put(&mut record, "eval/full");
        }
        record
    }
}

//! From the rollouts of one question to rewards and advantages.

use serde::{Deserialize, Serialize};
use visionthink_engine::Rollout;
use visionthink_reward::{
    Accuracy, GroupControl, RewardBreakdown, ScoredGroup, ScoredSample, TurnAdvantages, TurnRewards,
};

use crate::grpo::config::{AdvantageSection, RewardSection};
use crate::source::Question;

/// Who says whether an answer is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Judge {
    /// The answer is the expected text, but for case and white space around it.
    Exact,
}

impl Judge {
    /// Judges one answer; none at all is wrong.
    pub fn accuracy(self, answer: Option<&str>, question: &Question) -> Accuracy {
        match self {
            Self::Exact => {
                let right = answer.is_some_and(|answer| answer.trim().eq_ignore_ascii_case(question.answer.trim()));
                if right { Accuracy::Correct } else { Accuracy::Wrong }
            }
        }
    }
}

/// The scored rollouts of one question.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// What each response was.
    pub responses: Vec<RewardBreakdown>,
    /// What the penalty rule found.
    pub control: GroupControl,
    /// The reward of each response.
    pub rewards: Vec<f64>,
    /// How much better each was than the group, turn by turn.
    pub advantages: Vec<TurnAdvantages>,
}

/// Scores the rollouts of one question. A rollout that failed is unjudged: nobody knows what it would have been worth.
pub fn score_group(
    rollouts: &[Rollout],
    question: &Question,
    section: &RewardSection,
    advantage: &AdvantageSection,
) -> Group {
    let mut responses: Vec<RewardBreakdown> =
        rollouts.iter().map(|rollout| breakdown(rollout, question, section)).collect();
    let control = section.control.apply(&mut responses, &section.weights);
    let lengths = rollouts.iter().map(|rollout| advantage.overlong.reward(rollout.usage.completion_tokens));
    let scored = || responses.iter().zip(lengths.clone());
    let rewards: Vec<f64> = scored().map(|(response, length)| response.reward(&section.weights) + length).collect();
    let part = |(response, length): (&RewardBreakdown, f64)| {
        let parts = TurnRewards::of(response, &section.weights);
        TurnRewards { outcome: parts.outcome + length, ..parts }
    };
    let parts: Vec<TurnRewards> = scored().map(part).collect();
    let advantages = advantage.credit.advantages(&rewards, &parts, advantage.rule());
    Group { responses, control, rewards, advantages }
}

fn breakdown(rollout: &Rollout, question: &Question, section: &RewardSection) -> RewardBreakdown {
    let conversation = &rollout.conversation;
    let turns: Vec<&str> = conversation.turns().iter().map(|turn| turn.text.as_str()).collect();
    let check = section.format.check(&turns);
    let accuracy = match rollout.error {
        Some(_) => Accuracy::Unjudged,
        None => section.judge.accuracy(conversation.answer(), question),
    };
    RewardBreakdown::new(accuracy, check, conversation.decision().into())
}

impl Group {
    /// As the filter wants it.
    pub(crate) fn scored(&self, id: usize, section: &RewardSection) -> ScoredGroup {
        let sample = |(response, reward): (&RewardBreakdown, &f64)| ScoredSample {
            reward: *reward,
            ..ScoredSample::new(response, &section.weights)
        };
        let samples = self.responses.iter().zip(&self.rewards).map(sample).collect();
        ScoredGroup { id: id.to_string(), samples }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exact_judge_ignores_case_and_white_space_and_nothing_else() {
        let question =
            Question { text: "?".into(), answer: "top left".into(), topic: "place".into(), needs_full: false };
        let judged = |answer| Judge::Exact.accuracy(answer, &question);
        assert_eq!(judged(Some(" Top left\n")), Accuracy::Correct);
        assert_eq!(judged(Some("top left corner")), Accuracy::Wrong);
        assert_eq!(judged(None), Accuracy::Wrong);
    }
}

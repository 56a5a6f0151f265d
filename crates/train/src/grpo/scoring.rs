//! From the rollouts of one question to rewards and advantages.

use std::sync::atomic::AtomicBool;

use visionthink_engine::Rollout;
use visionthink_reward::{
    Accuracy, GroupControl, RewardBreakdown, ScoredGroup, ScoredSample, TurnAdvantages, TurnRewards,
};
use visionthink_rules::Truth;

use crate::answer_judge::{AnswerJudge, Given};
use crate::error::TrainError;
use crate::grpo::config::{AdvantageSection, RewardSection};
use crate::source::Question;

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

/// The verdict on each rollout beside its question. One that failed is unjudged: nobody knows what it would have been worth.
///
/// # Errors
/// [`TrainError::Judge`], with the step that needs the verdicts.
pub fn judge_rollouts<'a>(
    judge: &mut AnswerJudge,
    rollouts: impl Iterator<Item = (&'a Rollout, &'a Question)>,
    step: u64,
    stop: &AtomicBool,
) -> Result<Vec<Accuracy>, TrainError> {
    let rollouts: Vec<(&Rollout, [&str; 1], &Question)> =
        rollouts.map(|(rollout, question)| (rollout, [question.answer.as_str()], question)).collect();
    let whole = || rollouts.iter().enumerate().filter(|(_, (rollout, ..))| rollout.error.is_none());
    let given: Vec<Given<'_>> = whole()
        .map(|(_, (rollout, truth, question))| Given {
            question: &question.text,
            truth: Truth { answers: truth, options: &[] },
            answer: rollout.conversation.answer(),
        })
        .collect();
    let mut verdicts = vec![Accuracy::Unjudged; rollouts.len()];
    let judged = judge.judge(&given, stop).map_err(|source| TrainError::Judge { step, source })?;
    for ((index, _), verdict) in whole().zip(judged) {
        verdicts[index] = verdict;
    }
    Ok(verdicts)
}

/// Scores the rollouts of one question from the verdicts on them.
pub fn score_group(
    rollouts: &[Rollout],
    verdicts: &[Accuracy],
    section: &RewardSection,
    advantage: &AdvantageSection,
) -> Group {
    let each = rollouts.iter().zip(verdicts);
    let responses = each.map(|(rollout, verdict)| breakdown(rollout, *verdict, section)).collect();
    let tokens: Vec<usize> = rollouts.iter().map(|rollout| rollout.usage.completion_tokens).collect();
    score(responses, &tokens, section, advantage)
}

/// Puts the penalties on the responses to one question, and makes rewards and advantages of them; `tokens` are how many of each were
/// sampled.
pub fn score(
    mut responses: Vec<RewardBreakdown>,
    tokens: &[usize],
    section: &RewardSection,
    advantage: &AdvantageSection,
) -> Group {
    let control = section.control.apply(&mut responses, &section.weights);
    let lengths = tokens.iter().map(|tokens| advantage.overlong.reward(*tokens));
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

fn breakdown(rollout: &Rollout, verdict: Accuracy, section: &RewardSection) -> RewardBreakdown {
    let conversation = &rollout.conversation;
    let turns: Vec<&str> = conversation.turns().iter().map(|turn| turn.text.as_str()).collect();
    RewardBreakdown::new(verdict, section.format.check(&turns), conversation.decision().into())
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

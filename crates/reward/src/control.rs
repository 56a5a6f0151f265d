//! What calling for the full image, or not calling for it, costs: penalty rules over one group.
//!
//! Without a penalty the model always calls, with one on every call it never does; Eq. 5 of the paper penalises
//! whichever way of reaching a right answer the group should use less.

pub(crate) mod reference;

use serde::{Deserialize, Serialize};

use crate::breakdown::{Accuracy, FirstTurn, Penalty, RewardBreakdown, Weights};
use reference::ReferencePenalty;

/// Which responses of the penalised kind pay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// All of them, as the formula is printed.
    Every,
    /// The right answers only, as the paper's prose suggests.
    CorrectOnly,
}

/// How the penalties of a group come about.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "rule", rename_all = "snake_case", deny_unknown_fields)]
pub enum PenaltyRule {
    /// The paper's Eq. 4-5. The default.
    Eq5(Eq5),
    /// What the reference's code does instead.
    Reference(ReferencePenalty),
    /// On every request for the full image, whatever the group does.
    Always(CallPenalty),
    /// On nothing.
    Never {},
}

/// P = penalty · (1_direct · I(r < threshold) + 1_resized · I(r ≥ threshold)).
///
/// r = C_direct / (C_direct + C_resized), over the right answers of the group. Where nothing is right there is no r and
/// no penalty. A malformed first turn is neither direct nor resized: its penalty is the broken format.
///
/// Source: arXiv 2507.13348, Eq. 4-5.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Eq5 {
    /// θ: the least share of direct answers among the right ones at which calls are what is penalised.
    pub threshold: f64,
    /// The penalty, in units of reward.
    pub penalty: f64,
    /// Who pays.
    pub scope: Scope,
}

/// P = penalty · 1_resized.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallPenalty {
    /// The penalty, in units of reward.
    pub penalty: f64,
    /// Who pays.
    pub scope: Scope,
}

/// The share of direct answers among the right ones of a group.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct DirectRatio {
    /// Right answers that count as direct.
    pub direct: usize,
    /// Right answers that count at all.
    pub correct: usize,
    /// direct / correct, by the arithmetic of the rule.
    pub value: f64,
}

/// What a rule found in a group.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct GroupControl {
    /// What it decided by; `None` where it looks at no ratio or there is none.
    pub ratio: Option<DirectRatio>,
    /// Whether direct answers of this group pay.
    pub direct_penalised: bool,
    /// Whether calls of this group pay.
    pub resize_penalised: bool,
}

impl Default for PenaltyRule {
    fn default() -> Self {
        Self::Eq5(Eq5::paper())
    }
}

impl PenaltyRule {
    /// Puts the penalties on the responses of one group, in place of those that are there.
    pub fn apply(&self, group: &mut [RewardBreakdown], weights: &Weights) -> GroupControl {
        for response in &mut *group {
            response.control.penalty = Penalty::None;
        }
        match self {
            Self::Eq5(rule) => rule.apply(group),
            Self::Reference(rule) => rule.apply(group, weights),
            Self::Always(rule) => {
                penalise(group, FirstTurn::Resized, rule.scope, Penalty::Resize { amount: rule.penalty });
                GroupControl { ratio: None, direct_penalised: false, resize_penalised: true }
            }
            Self::Never {} => GroupControl { ratio: None, direct_penalised: false, resize_penalised: false },
        }
    }
}

impl Eq5 {
    /// θ = 0.2, penalty 0.1, on every response of the penalised kind.
    pub fn paper() -> Self {
        Self { threshold: 0.2, penalty: 0.1, scope: Scope::Every }
    }

    fn apply(&self, group: &mut [RewardBreakdown]) -> GroupControl {
        let ratio = direct_ratio(group);
        let direct_penalised = ratio.is_some_and(|ratio| ratio.value < self.threshold);
        let resize_penalised = ratio.is_some() && !direct_penalised;
        let amount = self.penalty;
        if direct_penalised {
            penalise(group, FirstTurn::Direct, self.scope, Penalty::Direct { amount });
        }
        if resize_penalised {
            penalise(group, FirstTurn::Resized, self.scope, Penalty::Resize { amount });
        }
        GroupControl { ratio, direct_penalised, resize_penalised }
    }
}

fn direct_ratio(group: &[RewardBreakdown]) -> Option<DirectRatio> {
    let count = |kind| group.iter().filter(|r| r.is_correct() && r.control.first_turn == kind).count();
    let direct = count(FirstTurn::Direct);
    let correct = direct + count(FirstTurn::Resized);
    (correct > 0).then(|| DirectRatio { direct, correct, value: direct as f64 / correct as f64 })
}

/// Puts a penalty on the judged responses of one kind.
fn penalise(group: &mut [RewardBreakdown], kind: FirstTurn, scope: Scope, penalty: Penalty) {
    for response in group.iter_mut().filter(|response| response.control.first_turn == kind) {
        let pays = match scope {
            Scope::Every => response.accuracy != Accuracy::Unjudged,
            Scope::CorrectOnly => response.is_correct(),
        };
        if pays {
            response.control.penalty = penalty;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::format::{Format, FormatCheck};

    fn response(accuracy: Accuracy, first_turn: FirstTurn) -> RewardBreakdown {
        RewardBreakdown::new(accuracy, FormatCheck { format: Format::Ok, tool_calls: 0 }, first_turn)
    }

    fn group(direct: usize, resized: usize, wrong: usize) -> Vec<RewardBreakdown> {
        let right = |kind, count| std::iter::repeat_n(response(Accuracy::Correct, kind), count);
        let wrong = std::iter::repeat_n(response(Accuracy::Wrong, FirstTurn::Resized), wrong);
        right(FirstTurn::Direct, direct).chain(right(FirstTurn::Resized, resized)).chain(wrong).collect()
    }

    fn rewards(rule: PenaltyRule, group: &mut [RewardBreakdown]) -> Vec<f64> {
        rule.apply(group, &Weights::paper());
        group.iter().map(|response| response.reward(&Weights::paper())).collect()
    }

    #[test]
    fn few_lucky_direct_answers_pay_and_calls_do_not() {
        assert_eq!(rewards(PenaltyRule::default(), &mut group(1, 5, 1)), [1.4, 1.5, 1.5, 1.5, 1.5, 1.5, 0.5]);
    }

    #[test]
    fn where_direct_answers_do_every_call_pays_even_a_wrong_one() {
        let expected = [1.5, 1.4, 1.4, 1.4, 1.4, 0.4];
        assert_eq!(rewards(PenaltyRule::default(), &mut group(1, 4, 1)), expected, "r is exactly the threshold");
        let rule = PenaltyRule::Eq5(Eq5 { scope: Scope::CorrectOnly, ..Eq5::paper() });
        assert_eq!(rewards(rule, &mut group(1, 4, 1)), [1.5, 1.4, 1.4, 1.4, 1.4, 0.5]);
    }

    #[test]
    fn a_group_without_a_right_answer_pays_nothing() {
        let mut group = group(0, 0, 3);
        let found = PenaltyRule::default().apply(&mut group, &Weights::paper());
        assert_eq!(found, GroupControl { ratio: None, direct_penalised: false, resize_penalised: false });
    }

    #[test]
    fn malformed_and_unjudged_responses_neither_count_nor_pay() {
        let mut group = vec![
            response(Accuracy::Correct, FirstTurn::Direct),
            response(Accuracy::Correct, FirstTurn::Malformed),
            response(Accuracy::Unjudged, FirstTurn::Resized),
        ];
        let found = PenaltyRule::default().apply(&mut group, &Weights::paper());
        assert_eq!(found.ratio, Some(DirectRatio { direct: 1, correct: 1, value: 1.0 }));
        assert!(group.iter().all(|response| response.control.penalty == Penalty::None));
    }

    #[test]
    fn always_makes_calls_pay_and_never_nobody() {
        let rule = PenaltyRule::Always(CallPenalty { penalty: 0.25, scope: Scope::Every });
        assert_eq!(rewards(rule, &mut group(1, 1, 1)), [1.5, 1.25, 0.25]);
        assert_eq!(rewards(PenaltyRule::Never {}, &mut group(1, 1, 1)), [1.5, 1.5, 0.5]);
    }

    #[test]
    fn a_run_file_names_the_rule_and_may_say_nothing_else() {
        let read = |text: &str| serde_json::from_str::<PenaltyRule>(text);
        let eq5 = read(r#"{"rule": "eq5", "threshold": 0.2, "penalty": 0.1, "scope": "every"}"#).unwrap();
        assert_eq!(eq5, PenaltyRule::default());
        assert_eq!(read(r#"{"rule": "never"}"#).unwrap(), PenaltyRule::Never {});
        assert!(read(r#"{"rule": "never", "penalty": 0.1}"#).is_err());
        assert!(read(r#"{"rule": "always", "penalty": 0.1, "scope": "every", "threshold": 0.2}"#).is_err());
    }

    proptest! {
        #[test]
        fn eq5_never_penalises_both_kinds(direct in 0usize..9, resized in 0usize..9, wrong in 0usize..9) {
            let mut group = group(direct, resized, wrong);
            let found = PenaltyRule::default().apply(&mut group, &Weights::paper());
            prop_assert!(!(found.direct_penalised && found.resize_penalised));
            for response in &group {
                let allowed = match response.control.first_turn {
                    FirstTurn::Direct => found.direct_penalised,
                    FirstTurn::Resized => found.resize_penalised,
                    FirstTurn::Malformed => false,
                };
                prop_assert_eq!(response.control.penalty != Penalty::None, allowed);
            }
        }
    }
}

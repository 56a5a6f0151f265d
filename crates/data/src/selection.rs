//! Which questions are worth training on: what rollouts at both resolutions showed, and how many of each kind are taken.
//!
//! Source: arXiv 2507.13348, section 3.5 and appendix B.5; no code was released.

mod balance;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use balance::{Balance, PerNeed};

/// Which image a question needs, as the rollouts of a model showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Need {
    /// The low-resolution image is enough.
    SolvableLow,
    /// The full image makes the difference.
    NeedsFull,
    /// Neither can be said: too hard at both resolutions, or right now and then.
    Neither,
}

impl Need {
    /// All of them, in the order of reports.
    pub const ALL: [Self; 3] = [Self::SolvableLow, Self::NeedsFull, Self::Neither];

    /// The name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::SolvableLow => "solvable_low",
            Self::NeedsFull => "needs_full",
            Self::Neither => "neither",
        }
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Need {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|need| need.name() == name)
            .ok_or_else(|| format!("unknown class `{name}`; expected `solvable_low`, `needs_full` or `neither`"))
    }
}

/// How many of the rollouts of one question were right at each resolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tries {
    /// Rollouts at each resolution, n.
    pub rollouts: u32,
    /// Right answers from the low-resolution image.
    pub right_low: u32,
    /// Right answers from the full image.
    pub right_full: u32,
}

/// What a row says of its selection: the tries, and the class they came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// The class.
    pub class: Need,
    /// What it was concluded from.
    pub tries: Tries,
}

/// Where the classes begin, in right answers of n.
///
/// The two classes exclude each other where `low_right + gain` is more than n.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Thresholds {
    /// [`Need::SolvableLow`]: at least this many are right from the low-resolution image …
    pub low_right: u32,
    /// … and at least this many from the full one.
    pub full_right: u32,
    /// [`Need::NeedsFull`]: at least this many more are right from the full image than from the low-resolution one.
    pub gain: u32,
}

impl Thresholds {
    /// All values that make no sense with `rollouts` rollouts; each says which key, what was found and what was expected.
    pub fn problems(&self, rollouts: u32) -> Vec<String> {
        let mut problems = Vec::new();
        for (key, value) in [("low_right", self.low_right), ("full_right", self.full_right), ("gain", self.gain)] {
            if value == 0 || value > rollouts {
                problems.push(format!("`classes.{key}` is {value}, expected 1 to the number of rollouts, {rollouts}"));
            }
        }
        if problems.is_empty() && self.low_right + self.gain <= rollouts {
            problems.push(format!(
                "`classes.low_right` and `classes.gain` are {} together, expected more than the number of rollouts, \
                 {rollouts}: a question could be in both classes",
                self.low_right + self.gain
            ));
        }
        problems
    }

    /// The class of a question.
    ///
    /// - right_low ≥ low_right and right_full ≥ full_right: [`Need::SolvableLow`]
    /// - right_full − right_low ≥ gain: [`Need::NeedsFull`]
    /// - otherwise [`Need::Neither`]
    pub fn class(&self, tries: Tries) -> Need {
        if tries.right_low >= self.low_right && tries.right_full >= self.full_right {
            Need::SolvableLow
        } else if tries.right_full >= tries.right_low.saturating_add(self.gain) {
            Need::NeedsFull
        } else {
            Need::Neither
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The paper's, for 8 rollouts.
    const PAPER: Thresholds = Thresholds { low_right: 8, full_right: 8, gain: 6 };

    fn class(right_low: u32, right_full: u32) -> Need {
        PAPER.class(Tries { rollouts: 8, right_low, right_full })
    }

    #[test]
    fn only_questions_that_are_always_right_at_both_resolutions_are_solvable_low() {
        assert_eq!(class(8, 8), Need::SolvableLow);
        assert_eq!(class(8, 7), Need::Neither);
        assert_eq!(class(7, 8), Need::Neither);
    }

    #[test]
    fn the_full_image_is_needed_where_it_makes_six_more_answers_right() {
        assert_eq!(class(2, 8), Need::NeedsFull);
        assert_eq!(class(0, 6), Need::NeedsFull);
        assert_eq!(class(3, 8), Need::Neither);
        assert_eq!(class(8, 0), Need::Neither, "a gain is not a loss");
        assert_eq!(class(0, 0), Need::Neither);
    }

    #[test]
    fn every_pair_of_counts_is_in_one_class_and_thresholds_that_overlap_are_refused() {
        assert_eq!(PAPER.problems(8), Vec::<String>::new());
        let overlapping = Thresholds { low_right: 2, full_right: 8, gain: 6 };
        assert!(overlapping.problems(8)[0].contains("8 together"), "{:?}", overlapping.problems(8));
        assert_eq!(PAPER.problems(4).len(), 3);
        assert_eq!(Thresholds { low_right: 0, ..PAPER }.problems(8).len(), 1);
    }

    #[test]
    fn names_read_back() {
        for need in Need::ALL {
            assert_eq!(need.to_string().parse(), Ok(need));
            assert_eq!(serde_json::to_value(need).unwrap(), need.name());
        }
        assert!("easy".parse::<Need>().is_err());
    }
}

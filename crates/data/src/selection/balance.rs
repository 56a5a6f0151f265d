//! How many questions of each class are taken, and which.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::selection::Need;

/// A number for each class.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PerNeed<T> {
    /// [`Need::SolvableLow`].
    pub solvable_low: T,
    /// [`Need::NeedsFull`].
    pub needs_full: T,
    /// [`Need::Neither`].
    pub neither: T,
}

impl<T: Copy> PerNeed<T> {
    /// The number of a class.
    pub fn of(&self, need: Need) -> T {
        match need {
            Need::SolvableLow => self.solvable_low,
            Need::NeedsFull => self.needs_full,
            Need::Neither => self.neither,
        }
    }

    /// A number for each class, computed.
    pub fn from_fn(number: impl Fn(Need) -> T) -> Self {
        Self {
            solvable_low: number(Need::SolvableLow),
            needs_full: number(Need::NeedsFull),
            neither: number(Need::Neither),
        }
    }
}

/// How many questions of each class are taken.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// This many of each class; all there are where there are fewer.
    Counts(PerNeed<usize>),
    /// As many as can be taken in these proportions, whose scale does not matter.
    Shares(PerNeed<f64>),
}

impl Balance {
    /// All values that make no sense.
    pub fn problems(&self) -> Vec<String> {
        match self {
            Self::Counts(counts) if Need::ALL.iter().all(|need| counts.of(*need) == 0) => {
                vec!["`balance.counts` are all 0, expected at least one question of some class".to_owned()]
            }
            Self::Counts(_) => Vec::new(),
            Self::Shares(shares) => {
                let bad = |need: &&Need| !(shares.of(**need).is_finite() && shares.of(**need) >= 0.0);
                let problem =
                    |need: &Need| format!("`balance.shares.{need}` is {}, expected zero or more", shares.of(*need));
                let mut problems: Vec<String> = Need::ALL.iter().filter(bad).map(problem).collect();
                if problems.is_empty() && Need::ALL.iter().all(|need| shares.of(*need) == 0.0) {
                    problems.push("`balance.shares` are all 0, expected at least one class to take".to_owned());
                }
                problems
            }
        }
    }

    /// How many of each class are wanted where `there` are that many.
    ///
    /// Counts are wanted as they are, whatever there is. Of shares s and questions c the scale is min over the classes
    /// with s > 0 of c / s, and ⌊scale · s⌋ of each class are wanted.
    pub fn wanted(&self, there: PerNeed<usize>) -> PerNeed<usize> {
        match self {
            Self::Counts(counts) => *counts,
            Self::Shares(shares) => {
                let scale = Need::ALL
                    .into_iter()
                    .filter(|need| shares.of(*need) > 0.0)
                    .map(|need| there.of(need) as f64 / shares.of(need))
                    .fold(f64::INFINITY, f64::min);
                // A share of a scale that came from the same share may fall short of a whole number by rounding.
                PerNeed::from_fn(|need| match shares.of(need) {
                    0.0 => 0,
                    share => ((scale * share + 1e-9) as usize).min(there.of(need)),
                })
            }
        }
    }

    /// Picks from `classes` by chance, which depends on the seed and the classes alone; gives indices in ascending order.
    pub fn pick(&self, classes: &[Need], seed: u64) -> Vec<usize> {
        let of = |need: Need| (0..classes.len()).filter(move |&at| classes[at] == need);
        let wanted = self.wanted(PerNeed::from_fn(|need| of(need).count()));
        let mut picked = Vec::new();
        for (nth, need) in Need::ALL.into_iter().enumerate() {
            let mut indices: Vec<usize> = of(need).collect();
            // A stream of its own for each class: how many of one are wanted does not change which of another are taken.
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            random.set_stream(nth as u64);
            indices.shuffle(&mut random);
            indices.truncate(wanted.of(need));
            picked.extend(indices);
        }
        picked.sort_unstable();
        picked
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn classes(low: usize, full: usize, neither: usize) -> Vec<Need> {
        let mut classes = vec![Need::SolvableLow; low];
        classes.extend(vec![Need::NeedsFull; full]);
        classes.extend(vec![Need::Neither; neither]);
        classes
    }

    fn counted(picked: &[usize], classes: &[Need]) -> PerNeed<usize> {
        PerNeed::from_fn(|need| picked.iter().filter(|at| classes[**at] == need).count())
    }

    #[test]
    fn counts_are_taken_as_far_as_there_are_questions() {
        let classes = classes(50, 3, 20);
        let balance = Balance::Counts(PerNeed { solvable_low: 10, needs_full: 10, neither: 0 });
        let picked = balance.pick(&classes, 1);
        assert_eq!(counted(&picked, &classes), PerNeed { solvable_low: 10, needs_full: 3, neither: 0 });
        assert_eq!(balance.pick(&classes, 1), picked, "the same seed takes the same");
        assert_ne!(balance.pick(&classes, 2), picked, "another seed takes others");
    }

    #[test]
    fn shares_take_as_many_as_the_scarcest_class_allows() {
        let classes = classes(100, 12, 7);
        let shares = |solvable_low, needs_full, neither| {
            let balance = Balance::Shares(PerNeed { solvable_low, needs_full, neither });
            counted(&balance.pick(&classes, 5), &classes)
        };
        assert_eq!(shares(0.5, 0.5, 0.0), PerNeed { solvable_low: 12, needs_full: 12, neither: 0 });
        assert_eq!(shares(3.0, 1.0, 0.0), PerNeed { solvable_low: 36, needs_full: 12, neither: 0 });
        assert_eq!(shares(0.7, 0.3, 0.0), PerNeed { solvable_low: 28, needs_full: 12, neither: 0 });
        assert_eq!(shares(0.0, 0.0, 1.0), PerNeed { solvable_low: 0, needs_full: 0, neither: 7 });
    }

    #[test]
    fn a_class_that_is_wanted_and_not_there_leaves_nothing_to_take_in_shares() {
        let classes = classes(10, 0, 0);
        let balance = Balance::Shares(PerNeed { solvable_low: 1.0, needs_full: 1.0, neither: 0.0 });
        assert!(balance.pick(&classes, 1).is_empty());
    }

    #[test]
    fn numbers_that_make_no_sense_are_named() {
        let none = Balance::Counts(PerNeed::default());
        assert_eq!(none.problems().len(), 1);
        let shares = Balance::Shares(PerNeed { solvable_low: -1.0, needs_full: f64::NAN, neither: 0.0 });
        assert_eq!(shares.problems().len(), 2);
        assert!(shares.problems()[0].contains("`balance.shares.solvable_low` is -1"), "{:?}", shares.problems());
    }

    proptest! {
        #[test]
        fn what_is_picked_is_there_once_and_no_more_than_wanted(
            low in 0_usize..40, full in 0_usize..40, neither in 0_usize..40,
            shares in (0.0_f64..3.0, 0.0_f64..3.0, 0.0_f64..3.0), seed: u64,
        ) {
            let classes = classes(low, full, neither);
            let balance = Balance::Shares(PerNeed { solvable_low: shares.0, needs_full: shares.1, neither: shares.2 });
            let picked = balance.pick(&classes, seed);
            prop_assert!(picked.is_sorted_by(|a, b| a < b));
            prop_assert!(picked.iter().all(|at| *at < classes.len()));
            let there = PerNeed { solvable_low: low, needs_full: full, neither };
            prop_assert_eq!(counted(&picked, &classes), balance.wanted(there));
        }
    }
}

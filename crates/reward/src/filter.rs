//! Dynamic sampling: generation goes on until enough groups are held that teach something.

use serde::{Deserialize, Serialize};

use crate::breakdown::{Accuracy, RewardBreakdown, Weights};
use crate::format::Format;
use crate::group::has_spread;

/// A reward counts as full where it is this close to the sum of both weights.
const FULL_TOLERANCE: f64 = 1e-6;

/// One response as the filter sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScoredSample {
    /// The reward after all penalties.
    pub reward: f64,
    /// Whether the answer is right.
    pub accuracy: Accuracy,
    /// Whether the format holds.
    pub well_formed: bool,
}

impl ScoredSample {
    /// Of a breakdown.
    pub fn new(response: &RewardBreakdown, weights: &Weights) -> Self {
        Self {
            reward: response.reward(weights),
            accuracy: response.accuracy,
            well_formed: response.format == Format::Ok,
        }
    }
}

/// The responses of one prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoredGroup {
    /// Names the group to the caller.
    pub id: String,
    /// One per response.
    pub samples: Vec<ScoredSample>,
}

impl ScoredGroup {
    fn rewards(&self) -> Vec<f64> {
        self.samples.iter().map(|sample| sample.reward).collect()
    }

    fn unjudged(&self) -> usize {
        self.samples.iter().filter(|sample| sample.accuracy == Accuracy::Unjudged).count()
    }

    /// Whether there is something to learn from it: everything judged, and rewards that differ.
    fn is_effective(&self) -> bool {
        !self.samples.is_empty() && self.unjudged() == 0 && has_spread(&self.rewards())
    }
}

/// What the filter aims at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilterConfig {
    /// Groups of a training batch (`train_batch_size`).
    pub groups_per_batch: usize,
    /// Generations after which an unfilled batch is given up (`max_num_gen_batches`); `None` for no limit.
    pub max_generations: Option<usize>,
    /// Whether groups are rejected at all (`rejection_sample`); without it every generation is a batch.
    pub reject: bool,
    /// Whether the limit is also looked at after a generation without a single effective group. The reference does not,
    /// and generates for ever on data that is too easy or too hard.
    pub limit_empty_generations: bool,
}

/// Counts since the last batch; groups, unless said otherwise. The first six leave out groups with an unjudged response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct FilterCounts {
    /// Every reward is 0.
    pub solve_none: usize,
    /// Every reward is the sum of both weights.
    pub solve_all: usize,
    /// No answer is right.
    pub solve_acc_none: usize,
    /// Every answer is right.
    pub solve_acc_all: usize,
    /// No format holds.
    pub solve_format_none: usize,
    /// Every format holds.
    pub solve_format_all: usize,
    /// Groups without an unjudged response.
    pub judged: usize,
    /// Unjudged responses.
    pub unjudged_responses: usize,
    /// Groups that are judged and have a spread.
    pub effective: usize,
}

/// What to do after a generation.
#[derive(Debug, Clone, PartialEq)]
pub enum FilterStep {
    /// Generate more.
    Generate,
    /// Train on these groups, in this order. Surplus groups are dropped: they would be of an older policy next time.
    Ready(Vec<ScoredGroup>),
    /// The limit is reached and the batch is not full.
    LimitReached,
}

/// Collects groups over generations until a batch is full. The counts and generations are those of the batch that is
/// being filled, or of the last one until the next generation is pushed.
///
/// Source: VisionThink, `fit` in `verl/trainer/ppo/ray_trainer.py`, commit 42afd8c; the idea is DAPO's dynamic sampling
/// (arXiv 2503.14476).
#[derive(Debug, Clone)]
pub struct BatchFilter {
    config: FilterConfig,
    weights: Weights,
    held: Vec<ScoredGroup>,
    generations: usize,
    counts: FilterCounts,
    /// Whether the next generation begins a batch.
    fresh: bool,
}

impl BatchFilter {
    /// An empty batch.
    pub fn new(config: FilterConfig, weights: Weights) -> Self {
        let counts = FilterCounts::default();
        Self { config, weights, held: Vec::new(), generations: 0, counts, fresh: true }
    }

    /// Generations of this batch so far.
    pub fn generations(&self) -> usize {
        self.generations
    }

    /// Counts over this batch so far, rejected groups included.
    pub fn counts(&self) -> FilterCounts {
        self.counts
    }

    /// Effective groups held for this batch.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// Takes the effective groups held so far, fewer than a batch: what a caller does who would rather train on less than give up.
    pub fn take_held(&mut self) -> Vec<ScoredGroup> {
        self.fresh = true;
        std::mem::take(&mut self.held)
    }

    /// Takes the groups of one generation and says what to do.
    pub fn push(&mut self, generation: Vec<ScoredGroup>) -> FilterStep {
        if std::mem::take(&mut self.fresh) {
            self.generations = 0;
            self.counts = FilterCounts::default();
        }
        self.generations += 1;
        for group in &generation {
            self.counts.add(group, &self.weights);
        }
        if !self.config.reject {
            return self.ready(generation);
        }
        let before = self.held.len();
        self.held.extend(generation.into_iter().filter(ScoredGroup::is_effective));
        let empty = self.held.len() == before;
        let limited = !empty || self.config.limit_empty_generations;
        if !empty && self.held.len() >= self.config.groups_per_batch {
            let mut groups = std::mem::take(&mut self.held);
            groups.truncate(self.config.groups_per_batch);
            return self.ready(groups);
        }
        if limited && self.config.max_generations.is_some_and(|most| self.generations >= most) {
            return FilterStep::LimitReached;
        }
        FilterStep::Generate
    }

    fn ready(&mut self, groups: Vec<ScoredGroup>) -> FilterStep {
        self.fresh = true;
        FilterStep::Ready(groups)
    }
}

impl FilterCounts {
    fn add(&mut self, group: &ScoredGroup, weights: &Weights) {
        let unjudged = group.unjudged();
        self.unjudged_responses += unjudged;
        if unjudged > 0 {
            return;
        }
        self.judged += 1;
        self.effective += usize::from(group.is_effective());
        let samples = &group.samples;
        let full = weights.accuracy + weights.format;
        let none = samples.iter().all(|sample| sample.reward == 0.0);
        let all = samples.iter().all(|sample| (sample.reward - full).abs() < FULL_TOLERANCE);
        count(none, all, &mut self.solve_none, &mut self.solve_all);
        let none = samples.iter().all(|sample| sample.accuracy != Accuracy::Correct);
        let all = samples.iter().all(|sample| sample.accuracy == Accuracy::Correct);
        count(none, all, &mut self.solve_acc_none, &mut self.solve_acc_all);
        let none = samples.iter().all(|sample| !sample.well_formed);
        let all = samples.iter().all(|sample| sample.well_formed);
        count(none, all, &mut self.solve_format_none, &mut self.solve_format_all);
    }
}

fn count(none: bool, all: bool, nones: &mut usize, alls: &mut usize) {
    if none {
        *nones += 1;
    } else if all {
        *alls += 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn group(id: &str, rewards: &[f64]) -> ScoredGroup {
        let sample = |&reward: &f64| {
            let accuracy = if reward > 0.5 { Accuracy::Correct } else { Accuracy::Wrong };
            ScoredSample { reward, accuracy, well_formed: reward == 0.5 || reward == 1.5 }
        };
        ScoredGroup { id: id.to_owned(), samples: rewards.iter().map(sample).collect() }
    }

    fn filter(groups_per_batch: usize, max_generations: Option<usize>) -> BatchFilter {
        let config = FilterConfig { groups_per_batch, max_generations, reject: true, limit_empty_generations: true };
        BatchFilter::new(config, Weights::paper())
    }

    fn ids(step: FilterStep) -> Vec<String> {
        match step {
            FilterStep::Ready(groups) => groups.into_iter().map(|group| group.id).collect(),
            other => panic!("not ready: {other:?}"),
        }
    }

    #[test]
    fn groups_without_spread_are_rejected_until_the_batch_is_full() {
        let mut filter = filter(2, None);
        let step = filter.push(vec![group("a", &[1.5, 1.5]), group("b", &[1.5, 0.5])]);
        assert_eq!(step, FilterStep::Generate);
        let step = filter.push(vec![group("c", &[0.0, 0.5]), group("d", &[0.0, 1.0])]);
        assert_eq!(ids(step), ["b", "c"]);
        let counts = filter.counts();
        assert_eq!((filter.generations(), counts.judged, counts.effective, counts.solve_all), (2, 4, 3, 1));
    }

    #[test]
    fn the_surplus_is_dropped_and_the_counts_begin_again() {
        let mut filter = filter(1, None);
        assert_eq!(ids(filter.push(vec![group("a", &[1.5, 0.5]), group("b", &[1.5, 0.5])])), ["a"]);
        assert_eq!(filter.held(), 0);
        assert_eq!(ids(filter.push(vec![group("c", &[1.5, 0.5])])), ["c"]);
        assert_eq!((filter.generations(), filter.counts().judged), (1, 1));
    }

    #[test]
    fn one_unjudged_response_rejects_its_group() {
        let mut doubtful = group("a", &[1.5, 0.5]);
        doubtful.samples[0].accuracy = Accuracy::Unjudged;
        let mut filter = filter(1, None);
        assert_eq!(filter.push(vec![]), FilterStep::Generate);
        assert_eq!(filter.push(vec![doubtful]), FilterStep::Generate);
        assert_eq!((filter.counts().unjudged_responses, filter.counts().judged), (1, 0));
    }

    #[test]
    fn hopeless_data_reaches_the_limit_here_and_not_in_the_reference() {
        let hopeless = || vec![group("a", &[0.5, 0.5])];
        let mut ours = filter(1, Some(2));
        let mut reference = filter(1, Some(2));
        reference.config.limit_empty_generations = false;
        assert_eq!([ours.push(hopeless()), ours.push(hopeless())], [FilterStep::Generate, FilterStep::LimitReached]);
        assert_eq!([(); 5].map(|()| reference.push(hopeless())), [const { FilterStep::Generate }; 5]);
    }

    proptest! {
        #[test]
        fn a_batch_never_holds_more_or_less_than_it_should(
            sizes in prop::collection::vec(0usize..6, 1..12), groups_per_batch in 1usize..6,
        ) {
            let mut filter = filter(groups_per_batch, None);
            for size in sizes {
                let generation = (0..size).map(|index| group("g", &[0.0, f64::from(index as u32 % 2)])).collect();
                if let FilterStep::Ready(groups) = filter.push(generation) {
                    prop_assert_eq!(groups.len(), groups_per_batch);
                }
                prop_assert!(filter.held() < groups_per_batch);
            }
        }
    }
}

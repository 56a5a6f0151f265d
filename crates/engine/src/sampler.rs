//! The sampling state of one turn.

use std::sync::Arc;

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::sampling::{Sampling, argmax, log_normaliser, penalise, suppress};

/// A token and, where asked for, its log-probability.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Choice {
    pub(crate) id: u32,
    pub(crate) logprob: Option<f32>,
}

/// Why no token could be chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum NoChoice {
    /// A logit is NaN or infinite.
    NonFinite { id: usize, value: f32 },
    /// Every id is suppressed.
    Nothing,
}

/// Chooses the tokens of one turn: the settings, the random stream, and the ids so far where a penalty needs them.
#[derive(Debug, Clone)]
pub(crate) struct Sampler {
    sampling: Sampling,
    suppressed: Arc<[u32]>,
    logprobs: bool,
    stream: ChaCha12Rng,
    /// Only with a repetition penalty.
    seen: Option<Seen>,
}

/// Distinct ids so far.
#[derive(Debug, Clone, Default)]
struct Seen {
    ids: Vec<u32>,
    /// Indexed by id.
    marks: Vec<bool>,
}

impl Seen {
    fn add(&mut self, id: u32) {
        let index = id as usize;
        if index >= self.marks.len() {
            self.marks.resize(index + 1, false);
        }
        if !std::mem::replace(&mut self.marks[index], true) {
            self.ids.push(id);
        }
    }
}

impl Sampler {
    /// For turn number `turn` of sample number `sample`, behind the ids `past`.
    pub(crate) fn new(
        sampling: Sampling,
        suppressed: Arc<[u32]>,
        logprobs: bool,
        [sample, turn]: [u32; 2],
        past: &[u32],
    ) -> Self {
        let mut stream = ChaCha12Rng::seed_from_u64(sampling.seed);
        stream.set_stream(u64::from(sample) << 32 | u64::from(turn));
        let seen = (sampling.repetition_penalty != 1.0).then(|| {
            let mut seen = Seen::default();
            for id in past {
                seen.add(*id);
            }
            seen
        });
        Self { sampling, suppressed, logprobs, stream, seen }
    }

    /// Chooses from the logits [V], which are used up.
    pub(crate) fn choose(&mut self, logits: &mut [f32]) -> Result<Choice, NoChoice> {
        // Without an early exit this vectorises; where it fails is looked up afterwards.
        if !logits.iter().fold(true, |finite, logit| finite & logit.is_finite()) {
            let (id, value) = logits.iter().enumerate().find(|(_, logit)| !logit.is_finite()).unwrap_or((0, &f32::NAN));
            return Err(NoChoice::NonFinite { id, value: *value });
        }
        if let Some(seen) = &self.seen {
            penalise(logits, &seen.ids, self.sampling.repetition_penalty);
        }
        let temperature = if self.sampling.is_greedy() { 1.0 } else { self.sampling.temperature };
        let normaliser = self.logprobs.then(|| log_normaliser(logits, temperature));
        suppress(logits, &self.suppressed);
        let chosen = if self.sampling.is_greedy() { argmax(logits) } else { self.draw(logits) };
        let id = chosen.ok_or(NoChoice::Nothing)?;
        if let Some(seen) = &mut self.seen {
            seen.add(id);
        }
        let logit = f64::from(logits[id as usize]);
        let logprob = normaliser.map(|normaliser| (logit / temperature - normaliser) as f32);
        Ok(Choice { id, logprob })
    }

    /// Exactly one random number per token.
    fn draw(&mut self, logits: &[f32]) -> Option<u32> {
        // 53 bits: every f64 in [0, 1) of that grid is equally likely.
        let uniform = (self.stream.next_u64() >> 11) as f64 * (0.5_f64).powi(53);
        let candidates = self.sampling.candidates(logits);
        let total: f64 = candidates.iter().map(|(_, weight)| weight).sum();
        let mut rest = uniform * total;
        for (id, weight) in &candidates {
            rest -= weight;
            if rest < 0.0 {
                return Some(*id);
            }
        }
        // Rounding can leave a crumb behind the last one.
        candidates.last().map(|(id, _)| *id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [f32; 4] = [1.0, 2.0, 0.0, -1.0];

    fn sampler(sampling: Sampling, lane: [u32; 2]) -> Sampler {
        Sampler::new(sampling, Arc::default(), true, lane, &[])
    }

    fn draws(seed: u64, lane: [u32; 2], count: usize) -> Vec<u32> {
        let mut sampler = sampler(Sampling::at_temperature(1.0, seed), lane);
        (0..count).map(|_| sampler.choose(&mut LOGITS.clone()).unwrap().id).collect()
    }

    #[test]
    fn draws_have_the_frequencies_of_the_distribution() {
        let count = 40_000;
        let draws = draws(3, [0, 0], count);
        for (id, p) in Sampling::at_temperature(1.0, 0).distribution(&LOGITS, &[], &[]) {
            let share = draws.iter().filter(|drawn| **drawn == id).count() as f64 / count as f64;
            // Five standard deviations of a share.
            let bound = 5.0 * (p * (1.0 - p) / count as f64).sqrt();
            assert!((share - p).abs() < bound, "id {id}: {share} drawn, {p} expected");
        }
    }

    #[test]
    fn a_seed_gives_the_same_draws_and_every_sample_and_turn_its_own() {
        let first = draws(7, [0, 0], 64);
        assert_eq!(first, draws(7, [0, 0], 64));
        assert_ne!(first, draws(8, [0, 0], 64));
        assert_ne!(first, draws(7, [1, 0], 64));
        assert_ne!(first, draws(7, [0, 1], 64));
    }

    #[test]
    fn log_probabilities_ignore_what_only_limits_the_draw() {
        let sampling = Sampling { top_k: 1, ..Sampling::at_temperature(2.0, 0) };
        let mut sampler = Sampler::new(sampling, Arc::from([1]), true, [0, 0], &[]);
        let choice = sampler.choose(&mut LOGITS.clone()).unwrap();
        assert_eq!(choice.id, 0);
        let total: f64 = LOGITS.iter().map(|logit| f64::from(*logit / 2.0).exp()).sum();
        assert!((f64::from(choice.logprob.unwrap()) - (0.5 - total.ln())).abs() < 1e-6);
    }

    #[test]
    fn the_penalty_counts_prompt_and_reply() {
        let sampling = Sampling { repetition_penalty: 4.0, ..Sampling::greedy() };
        let mut sampler = Sampler::new(sampling, Arc::default(), false, [0, 0], &[1, 1]);
        let ids: Vec<u32> = (0..3).map(|_| sampler.choose(&mut LOGITS.clone()).unwrap().id).collect();
        // 2/4 loses against 1, then 1/4 against 2/4, then 1/4 and 0 against 2/4 again.
        assert_eq!(ids, [0, 1, 1]);
    }

    #[test]
    fn logits_that_are_no_numbers_are_found() {
        let mut sampler = sampler(Sampling::greedy(), [0, 0]);
        let mut logits = [0.0, 1.0, f32::INFINITY];
        assert_eq!(sampler.choose(&mut logits), Err(NoChoice::NonFinite { id: 2, value: f32::INFINITY }));
        let mut logits = [0.0, f32::NAN, 1.0];
        assert!(matches!(sampler.choose(&mut logits), Err(NoChoice::NonFinite { id: 1, .. })));
    }

    #[test]
    fn suppressing_everything_is_an_error() {
        let mut sampler = Sampler::new(Sampling::greedy(), Arc::from([0, 1]), false, [0, 0], &[]);
        assert_eq!(sampler.choose(&mut [0.0, 1.0]), Err(NoChoice::Nothing));
    }
}

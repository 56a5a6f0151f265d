//! How the next token is chosen: the settings and the distribution they give.

use serde::{Deserialize, Serialize};

use crate::error::EngineError;

/// How tokens are chosen from the logits.
///
/// In this order: repetition penalty, temperature, top-k, top-p, min-p. At temperature 0 the largest penalised logit
/// wins, the smaller id among equals, and nothing else is applied.
///
/// The log-probability that is recorded for a token is that of `softmax(penalised logits / temperature)` over the whole
/// vocabulary (temperature 1 where it is 0). Suppression, top-k, top-p and min-p decide which tokens may be drawn but do
/// not enter it, so that a later pass over the same ids, which knows nothing of them, finds the same number.
///
/// Random numbers come from one ChaCha stream per sample and turn; what else is in the batch does not touch them.
///
/// Source: the logits processors of transformers 5.23.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sampling {
    /// 0 is greedy.
    pub temperature: f64,
    /// The smallest set of most likely tokens with at least this share is kept; 1 keeps all.
    pub top_p: f64,
    /// This many most likely tokens are kept, and those equal to the last of them; 0 keeps all.
    pub top_k: usize,
    /// Tokens with less than this share of the most likely one are dropped; 0 keeps all.
    pub min_p: f64,
    /// Logits of all ids so far, prompt and image placeholders included, are divided by this where positive and
    /// multiplied where negative; 1 changes nothing.
    pub repetition_penalty: f64,
    /// Seed of the random streams.
    pub seed: u64,
}

impl Sampling {
    /// The most likely token each time.
    pub fn greedy() -> Self {
        Self::at_temperature(0.0, 0)
    }

    /// Drawn from the whole distribution at a temperature.
    pub fn at_temperature(temperature: f64, seed: u64) -> Self {
        Self { temperature, top_p: 1.0, top_k: 0, min_p: 0.0, repetition_penalty: 1.0, seed }
    }

    /// Whether no random number is drawn.
    pub fn is_greedy(&self) -> bool {
        self.temperature == 0.0
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// [`EngineError::Sampling`] naming the first setting that is out of range.
    pub fn check(&self) -> Result<(), EngineError> {
        let checks = [
            ("temperature", self.temperature, self.temperature.is_finite() && self.temperature >= 0.0, "0 or more"),
            ("top_p", self.top_p, self.top_p > 0.0 && self.top_p <= 1.0, "above 0, at most 1"),
            ("min_p", self.min_p, (0.0..=1.0).contains(&self.min_p), "0 to 1"),
            (
                "repetition_penalty",
                self.repetition_penalty,
                self.repetition_penalty.is_finite() && self.repetition_penalty > 0.0,
                "above 0",
            ),
        ];
        match checks.into_iter().find(|(_, _, holds, _)| !holds) {
            Some((field, found, _, expected)) => Err(EngineError::Sampling { field, found, expected }),
            None => Ok(()),
        }
    }

    /// The distribution the next token is drawn from: ids in ascending order with probabilities that sum to 1. At
    /// temperature 0 it is one id.
    ///
    /// `logits` `[V]` as the model gives them, `seen` the ids so far (read only with a penalty), `suppressed` the ids
    /// that are never drawn. Empty where all of them are suppressed.
    pub fn distribution(&self, logits: &[f32], seen: &[u32], suppressed: &[u32]) -> Vec<(u32, f64)> {
        let mut logits = logits.to_vec();
        if self.repetition_penalty != 1.0 {
            let mut seen = seen.to_vec();
            seen.sort_unstable();
            seen.dedup();
            penalise(&mut logits, &seen, self.repetition_penalty);
        }
        suppress(&mut logits, suppressed);
        if self.is_greedy() {
            return argmax(&logits).map(|id| (id, 1.0)).into_iter().collect();
        }
        let mut candidates = self.candidates(&logits);
        let total: f64 = candidates.iter().map(|(_, weight)| weight).sum();
        for (_, weight) in &mut candidates {
            *weight /= total;
        }
        candidates
    }

    /// What may be drawn from penalised logits without the suppressed: ids in ascending order with weights that are not
    /// normalised yet.
    pub(crate) fn candidates(&self, logits: &[f32]) -> Vec<(u32, f64)> {
        let Some(largest) = argmax(logits).map(|id| logits[id as usize]) else {
            return Vec::new();
        };
        let floor = if self.top_k > 0 { kth_largest(logits, self.top_k) } else { f32::MIN };
        let weight = |logit: f32| ((f64::from(logit) - f64::from(largest)) / self.temperature).exp();
        let mut kept: Vec<(u32, f64)> = logits
            .iter()
            .enumerate()
            .filter(|(_, logit)| **logit >= floor)
            .map(|(id, logit)| (id as u32, weight(*logit)))
            .filter(|(_, weight)| *weight > 0.0)
            .collect();
        if self.top_p < 1.0 {
            keep_top_p(&mut kept, self.top_p);
        }
        if self.min_p > 0.0 {
            kept.retain(|(_, weight)| *weight >= self.min_p);
        }
        kept
    }
}

/// Divides positive and multiplies negative logits of the ids by `penalty`. Each id once: the caller dedups.
pub(crate) fn penalise(logits: &mut [f32], ids: &[u32], penalty: f64) {
    let penalty = penalty as f32;
    for id in ids {
        if let Some(logit) = logits.get_mut(*id as usize) {
            *logit = if *logit < 0.0 { *logit * penalty } else { *logit / penalty };
        }
    }
}

/// Puts the ids out of reach.
pub(crate) fn suppress(logits: &mut [f32], ids: &[u32]) {
    for id in ids {
        if let Some(logit) = logits.get_mut(*id as usize) {
            *logit = f32::NEG_INFINITY;
        }
    }
}

/// The id of the largest logit, the smallest id among equals; `None` where all are suppressed.
pub(crate) fn argmax(logits: &[f32]) -> Option<u32> {
    // Two passes that vectorise beat one that tracks the index.
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if largest == f32::NEG_INFINITY {
        return None;
    }
    logits.iter().position(|logit| *logit == largest).map(|id| id as u32)
}

/// `ln(sum(exp(logits / temperature)))`, the sum in f64.
pub(crate) fn log_normaliser(logits: &[f32], temperature: f64) -> f64 {
    let largest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = logits.iter().map(|logit| ((f64::from(*logit) - largest) / temperature).exp()).sum();
    largest / temperature + sum.ln()
}

fn kth_largest(logits: &[f32], k: usize) -> f32 {
    if k >= logits.len() {
        return f32::MIN;
    }
    let mut logits = logits.to_vec();
    let (_, kth, _) = logits.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a));
    // Suppressed ids stay out of reach where fewer than k others are left.
    kth.max(f32::MIN)
}

/// In ascending order of weight, drops the head while its share is at most `1 - top_p`; the last always stays.
fn keep_top_p(kept: &mut Vec<(u32, f64)>, top_p: f64) {
    let total: f64 = kept.iter().map(|(_, weight)| weight).sum();
    let droppable = (1.0 - top_p) * total;
    // All weights below the average share of what is dropped are dropped: they cannot sum to more. Setting them aside
    // leaves few to sort.
    let certain = droppable / kept.len() as f64;
    let mut dropped = 0.0;
    kept.retain(|(_, weight)| {
        let stays = *weight >= certain;
        dropped += if stays { 0.0 } else { *weight };
        stays
    });
    kept.sort_unstable_by(|(a_id, a), (b_id, b)| a.total_cmp(b).then(a_id.cmp(b_id)));
    let head = kept
        .iter()
        .take_while(|(_, weight)| {
            dropped += weight;
            dropped <= droppable
        })
        .count();
    kept.drain(..head.min(kept.len() - 1));
    kept.sort_unstable_by_key(|(id, _)| *id);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(distribution: &[(u32, f64)]) -> Vec<u32> {
        distribution.iter().map(|(id, _)| *id).collect()
    }

    fn sampling(change: impl FnOnce(&mut Sampling)) -> Sampling {
        let mut sampling = Sampling::at_temperature(1.0, 0);
        change(&mut sampling);
        sampling
    }

    #[test]
    fn probabilities_follow_the_logits_and_sum_to_one() {
        let logits = [0.0, 1.0, -2.0, 0.5];
        let distribution = sampling(|s| s.temperature = 2.0).distribution(&logits, &[], &[]);
        let total: f64 = logits.iter().map(|x| (f64::from(*x) / 2.0).exp()).sum();
        for ((_, p), logit) in distribution.iter().zip(logits) {
            assert!((p - (f64::from(logit) / 2.0).exp() / total).abs() < 1e-12);
        }
    }

    #[test]
    fn the_smaller_id_wins_among_equals() {
        assert_eq!(Sampling::greedy().distribution(&[1.0, 3.0, 3.0], &[], &[]), [(1, 1.0)]);
        assert_eq!(Sampling::greedy().distribution(&[1.0, 3.0, 3.0], &[], &[1]), [(2, 1.0)]);
    }

    #[test]
    fn top_k_keeps_ties_at_the_last_place() {
        let kept = sampling(|s| s.top_k = 2).distribution(&[2.0, 5.0, 2.0, 1.0], &[], &[]);
        assert_eq!(ids(&kept), [0, 1, 2]);
    }

    #[test]
    fn top_k_never_reaches_suppressed_ids() {
        let kept = sampling(|s| s.top_k = 3).distribution(&[2.0, 5.0, 2.0, 1.0], &[], &[0, 1]);
        assert_eq!(ids(&kept), [2, 3]);
    }

    #[test]
    fn top_p_drops_the_tail_whose_share_is_small_enough() {
        let logits = [0.5_f32, 0.25, 0.15, 0.1].map(f32::ln);
        let kept = |top_p| ids(&sampling(|s| s.top_p = top_p).distribution(&logits, &[], &[]));
        assert_eq!(kept(0.95), [0, 1, 2, 3]);
        assert_eq!(kept(0.89), [0, 1, 2]);
        assert_eq!(kept(0.7), [0, 1]);
        assert_eq!(kept(0.4), [0]);
        assert_eq!(kept(1e-9), [0], "one token always stays");
    }

    #[test]
    fn top_p_drops_the_smaller_id_first_among_equals() {
        let kept = sampling(|s| s.top_p = 0.4).distribution(&[0.0; 4], &[], &[]);
        assert_eq!(ids(&kept), [2, 3]);
    }

    #[test]
    fn min_p_is_relative_to_the_most_likely_token() {
        let logits = [0.5_f32, 0.25, 0.15, 0.1].map(f32::ln);
        let kept = sampling(|s| s.min_p = 0.4).distribution(&logits, &[], &[]);
        assert_eq!(ids(&kept), [0, 1]);
    }

    #[test]
    fn the_penalty_is_applied_once_per_id_and_pushes_down_either_sign() {
        let sampling = sampling(|s| s.repetition_penalty = 2.0);
        let distribution = sampling.distribution(&[2.0, -1.0, 0.0], &[0, 0, 1], &[]);
        let expected = [1.0_f64, -2.0, 0.0].map(f64::exp);
        let total: f64 = expected.iter().sum();
        for ((_, p), weight) in distribution.iter().zip(expected) {
            assert!((p - weight / total).abs() < 1e-7);
        }
    }

    #[test]
    fn a_tiny_temperature_is_nearly_greedy_and_stays_finite() {
        let kept = sampling(|s| s.temperature = 1e-6).distribution(&[30.0, 29.0, -40.0], &[], &[]);
        assert_eq!(kept, [(0, 1.0)]);
        assert!(log_normaliser(&[30.0, 29.0, -40.0], 1e-6).is_finite());
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let message = |sampling: Sampling| sampling.check().unwrap_err().to_string();
        assert_eq!(message(sampling(|s| s.top_p = 0.0)), "`top_p` is 0, expected above 0, at most 1");
        assert_eq!(message(sampling(|s| s.temperature = f64::NAN)), "`temperature` is NaN, expected 0 or more");
        assert_eq!(message(sampling(|s| s.repetition_penalty = -1.0)), "`repetition_penalty` is -1, expected above 0");
        assert!(Sampling::greedy().check().is_ok());
    }
}

//! Selections from scores.

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Indices of the `count` largest scores, ascending. Of equal scores the first counts for more; NaN counts for most, so that
/// a broken network is not hidden.
pub fn top(scores: &[f32], count: usize) -> Vec<usize> {
    let mut order = ranked(scores);
    order.truncate(count);
    order.sort_unstable();
    order
}

/// All indices, largest score first; equal scores in their order.
pub(crate) fn ranked(scores: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
    order
}

/// SparseVLM's raters: the words whose relevance is above the mean of all; all of them where none is, as with equal ones.
///
/// Source: arXiv 2410.04417, section 3.2.
pub fn raters(relevance: &[f32]) -> Vec<usize> {
    let mean = relevance.iter().map(|value| f64::from(*value)).sum::<f64>() / relevance.len().max(1) as f64;
    let above: Vec<usize> = (0..relevance.len()).filter(|word| f64::from(relevance[*word]) > mean).collect();
    if above.is_empty() { (0..relevance.len()).collect() } else { above }
}

/// `count` of `total` indices, evenly spaced: the middle of each of `count` equal parts.
pub fn uniform(total: usize, count: usize) -> Vec<usize> {
    (0..count.min(total)).map(|part| (2 * part + 1) * total / (2 * count.min(total))).collect()
}

/// `count` of `total` indices drawn without replacement, ascending; the same for one seed.
pub fn random(total: usize, count: usize, seed: u64) -> Vec<usize> {
    let mut stream = ChaCha12Rng::seed_from_u64(seed);
    let mut order: Vec<usize> = (0..total).collect();
    for place in 0..count.min(total) {
        let left = (total - place) as u128;
        // The high half of the product is below `left`, and as good as evenly spread over it.
        let ahead = (u128::from(stream.next_u64()) * left) >> 64;
        order.swap(place, place + ahead as usize);
    }
    order.truncate(count);
    order.sort_unstable();
    order
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_best_come_in_their_own_order_and_of_equals_the_first() {
        assert_eq!(top(&[0.1, 0.4, 0.2, 0.4, 0.3], 3), [1, 3, 4]);
        assert_eq!(top(&[1.0, 1.0, 1.0, 1.0], 2), [0, 1]);
        assert_eq!(top(&[1.0, 2.0], 5), [0, 1]);
        assert!(top(&[], 2).is_empty());
    }

    #[test]
    fn raters_are_above_the_mean() {
        assert_eq!(raters(&[0.1, 0.5, 0.1, 0.3]), [1, 3]);
        assert_eq!(raters(&[0.25, 0.25]), [0, 1]);
        assert_eq!(raters(&[1.0]), [0]);
        assert!(raters(&[]).is_empty());
    }

    #[test]
    fn even_spacing_takes_the_middle_of_each_part() {
        assert_eq!(uniform(8, 2), [2, 6]);
        assert_eq!(uniform(5, 5), [0, 1, 2, 3, 4]);
        assert_eq!(uniform(7, 1), [3]);
        assert_eq!(uniform(3, 9), [0, 1, 2]);
        assert!(uniform(0, 3).is_empty());
    }

    #[test]
    fn a_seed_draws_the_same_again_and_every_index_has_its_chance() {
        assert_eq!(random(100, 10, 1), random(100, 10, 1));
        assert_ne!(random(100, 10, 1), random(100, 10, 2));
        let mut drawn = [0_u32; 8];
        for index in (0..4000).flat_map(|seed| random(8, 3, seed)) {
            drawn[index] += 1;
        }
        // 1500 expected each; five standard deviations of a share of 3/8 are 153.
        assert!(drawn.iter().all(|count| count.abs_diff(1500) < 153), "{drawn:?}");
    }

    proptest! {
        #[test]
        fn selections_are_distinct_ascending_and_as_many_as_asked(
            scores in prop::collection::vec(-1.0_f32..1.0, 0..60), count in 0_usize..70, seed in 0_u64..100,
        ) {
            let total = scores.len();
            for found in [top(&scores, count), uniform(total, count), random(total, count, seed)] {
                prop_assert_eq!(found.len(), count.min(total));
                prop_assert!(found.windows(2).all(|pair| pair[0] < pair[1]));
                prop_assert!(found.iter().all(|index| *index < total));
            }
            let best = top(&scores, count);
            let worst_kept = best.iter().map(|index| scores[*index]).fold(f32::INFINITY, f32::min);
            prop_assert!((0..total).filter(|index| !best.contains(index)).all(|index| scores[index] <= worst_kept));
        }
    }
}

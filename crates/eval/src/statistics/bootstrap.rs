//! Percentile bootstrap, the same numbers for the same seed on every machine.

/// A number with the interval that the bootstrap gives it.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interval {
    /// Of all samples, as they are.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// How an interval is drawn.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bootstrap {
    /// How often all units are drawn again.
    pub resamples: usize,
    /// The same seed draws the same units.
    pub seed: u64,
    /// Share of the resampled numbers inside the interval: 0.95.
    pub level: f64,
}

/// What is drawn together: the samples of a unit are in a resample all or not at all.
///
/// Most benchmarks draw samples. MME's two questions about a picture are one unit, as are the rotations of one question of MMBench
/// and the questions of one figure of HallusionBench: an aggregate over broken groups would be of another kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Units(Vec<Vec<usize>>);

impl Units {
    /// Each of `samples` samples for itself.
    pub fn single(samples: usize) -> Self {
        Self((0..samples).map(|sample| vec![sample]).collect())
    }

    /// Samples with equal names together, in the order in which the names first stand.
    pub fn named<N: Ord>(names: &[N]) -> Self {
        let mut places = std::collections::BTreeMap::new();
        let mut units: Vec<Vec<usize>> = Vec::new();
        for (sample, name) in names.iter().enumerate() {
            let place = *places.entry(name).or_insert(units.len());
            if place == units.len() {
                units.push(Vec::new());
            }
            units[place].push(sample);
        }
        Self(units)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

impl Bootstrap {
    /// The interval of `aggregate` over resampled units.
    ///
    /// `aggregate` is given places of samples, each unit's next to each other, some of them several times and some not; `draw` tells
    /// the copies of a unit apart, for aggregates that would refuse a question that stands twice: a pair (draw, sample). Percentiles
    /// lie between the nearest resampled numbers, linearly, at `(1 - level) / 2` and `(1 + level) / 2` of `resamples - 1`.
    /// Resamples for which there is no number (`None`) are left out.
    ///
    /// `None` where there is no unit, no resample, or no number for the samples as they are.
    ///
    /// Source: Efron and Tibshirani, An Introduction to the Bootstrap, chapter 13.
    pub fn interval(&self, units: &Units, aggregate: impl Fn(&[(usize, usize)]) -> Option<f64>) -> Option<Interval> {
        if units.count() == 0 {
            return None;
        }
        let all = places(units, 0..units.count());
        let value = aggregate(&all)?;
        let mut random = SplitMix(self.seed);
        let mut drawn: Vec<f64> = (0..self.resamples)
            .filter_map(|_| aggregate(&places(units, (0..units.count()).map(|_| random.below(units.count())))))
            .filter(|number| number.is_finite())
            .collect();
        drawn.sort_by(f64::total_cmp);
        let (low, high) =
            (percentile(&drawn, (1.0 - self.level) / 2.0)?, percentile(&drawn, f64::midpoint(1.0, self.level))?);
        Some(Interval { value, low, high })
    }
}

/// The interval of `aggregate(first) - aggregate(second)`, both methods on the same resampled units: what questions have in common
/// cancels, so that a difference is seen which the two intervals alone would hide.
///
/// Each aggregate is given pairs as in [`Bootstrap::interval`]; sample places mean the same question in both.
pub fn paired_difference(
    bootstrap: &Bootstrap,
    units: &Units,
    first: impl Fn(&[(usize, usize)]) -> Option<f64>,
    second: impl Fn(&[(usize, usize)]) -> Option<f64>,
) -> Option<Interval> {
    bootstrap.interval(units, |drawn| Some(first(drawn)? - second(drawn)?))
}

/// Samples of the drawn units, each with the number of its draw.
fn places(units: &Units, drawn: impl Iterator<Item = usize>) -> Vec<(usize, usize)> {
    drawn.enumerate().flat_map(|(draw, unit)| units.0[unit].iter().map(move |sample| (draw, *sample))).collect()
}

/// `None` of nothing.
fn percentile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let at = share.clamp(0.0, 1.0) * last as f64;
    let below = at.floor() as usize;
    let (low, high) = (*sorted.get(below)?, *sorted.get((below + 1).min(last))?);
    Some(low + (high - low) * at.fract())
}

/// SplitMix64. Reports are compared byte for byte, so the stream must not change with a dependency.
///
/// Source: Steele, Lea and Flood, Fast splittable pseudorandom number generators, 2014.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to `count - 1`. Some are likelier by less than `count / 2^64`.
    fn below(&mut self, count: usize) -> usize {
        ((u128::from(self.next()) * count as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOTSTRAP: Bootstrap = Bootstrap { resamples: 4_000, seed: 7, level: 0.95 };

    fn mean(scores: &[f64]) -> impl Fn(&[(usize, usize)]) -> Option<f64> {
        |drawn| Some(drawn.iter().map(|(_, sample)| scores[*sample]).sum::<f64>() / drawn.len() as f64)
    }

    #[test]
    fn the_generator_gives_the_published_numbers() {
        let mut random = SplitMix(1_234_567);
        let first = [random.next(), random.next(), random.next()];
        assert_eq!(first, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn equal_scores_have_no_width() {
        let interval = BOOTSTRAP.interval(&Units::single(20), mean(&[0.25; 20])).unwrap();
        assert_eq!(interval, Interval { value: 0.25, low: 0.25, high: 0.25 });
    }

    #[test]
    fn a_mean_is_as_wide_as_its_standard_error_says() {
        let scores: Vec<f64> = (0..400).map(|sample| f64::from(sample % 4 == 0)).collect();
        let interval = BOOTSTRAP.interval(&Units::single(400), mean(&scores)).unwrap();
        // 1.96 · sqrt(0.25 · 0.75 / 400) = 0.0424; 4,000 resamples and steps of 1/400 leave some 0.003.
        assert_eq!(interval.value, 0.25);
        assert!((interval.low - 0.2076).abs() < 0.005 && (interval.high - 0.2924).abs() < 0.005, "{interval:?}");
    }

    #[test]
    fn two_samples_take_the_three_values_that_they_can() {
        // Resampled means are 0, 1/2 and 1 with chances 1/4, 1/2 and 1/4: the middle half of them ends at both.
        let half = Bootstrap { level: 0.4, ..BOOTSTRAP };
        let interval = half.interval(&Units::single(2), mean(&[0.0, 1.0])).unwrap();
        assert_eq!((interval.low, interval.high), (0.5, 0.5));
        let wide = BOOTSTRAP.interval(&Units::single(2), mean(&[0.0, 1.0])).unwrap();
        assert_eq!((wide.low, wide.high), (0.0, 1.0));
    }

    #[test]
    fn the_same_seed_gives_the_same_interval_and_another_one_another() {
        let scores: Vec<f64> = (0..50).map(|sample| f64::from(sample) / 50.0).collect();
        let of = |seed| Bootstrap { seed, ..BOOTSTRAP }.interval(&Units::single(50), mean(&scores)).unwrap();
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }

    #[test]
    fn what_belongs_together_is_drawn_together() {
        let units = Units::named(&["a", "b", "a", "c", "b"]);
        assert_eq!(units, Units(vec![vec![0, 2], vec![1, 4], vec![3]]));
        let whole = |drawn: &[(usize, usize)]| {
            let count = |sample| drawn.iter().filter(|(_, other)| *other == sample).count();
            assert_eq!((count(0), count(1)), (count(2), count(4)), "a unit was broken");
            let mut once = drawn.to_vec();
            once.dedup();
            assert_eq!(once.len(), drawn.len(), "copies of a unit cannot be told apart");
            Some(0.0)
        };
        assert!(BOOTSTRAP.interval(&units, whole).is_some());
    }

    #[test]
    fn a_steady_difference_is_certain_although_both_scores_vary() {
        let first: Vec<f64> = (0..40).map(|sample| f64::from(sample % 2)).collect();
        let second: Vec<f64> = first.iter().map(|score| score - 0.125).collect();
        let units = Units::single(40);
        let difference = paired_difference(&BOOTSTRAP, &units, mean(&first), mean(&second)).unwrap();
        assert!((difference.low - 0.125).abs() < 1e-12 && (difference.high - 0.125).abs() < 1e-12, "{difference:?}");
        let alone = BOOTSTRAP.interval(&units, mean(&first)).unwrap();
        assert!(alone.high - alone.low > 0.2, "{alone:?}");
    }

    #[test]
    fn nothing_has_no_interval() {
        assert_eq!(BOOTSTRAP.interval(&Units::single(0), |_| Some(1.0)), None);
        assert_eq!(BOOTSTRAP.interval(&Units::single(3), |_| None), None);
        assert_eq!(Bootstrap { resamples: 0, ..BOOTSTRAP }.interval(&Units::single(3), |_| Some(1.0)), None);
    }
}

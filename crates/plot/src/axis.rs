//! Ranges, and ticks at round numbers.

/// An axis that begins and ends where its numbers do.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Axis {
    pub(crate) low: f64,
    pub(crate) high: f64,
    /// Distance of ticks.
    step: f64,
}

impl Axis {
    /// An axis over `values` with about `ticks` ticks, as they are: the first and the last number are its ends.
    pub(crate) fn tight(values: impl IntoIterator<Item = f64>, ticks: usize) -> Self {
        let (low, high) = widened(extent(values));
        Self { low, high, step: round_step((high - low) / ticks as f64) }
    }

    /// An axis over `values` that ends at ticks, and begins at zero where that costs less than half of the height.
    pub(crate) fn rounded(values: impl IntoIterator<Item = f64>, ticks: usize) -> Self {
        let (mut low, mut high) = extent(values);
        if low > 0.0 && low < high / 2.0 {
            low = 0.0;
        }
        (low, high) = widened((low, high));
        let step = round_step((high - low) / ticks as f64);
        // A number that lies on a tick up to rounding is on it.
        let (low, high) = (step * (low / step + 1e-9).floor(), step * (high / step - 1e-9).ceil());
        Self { low, high, step }
    }

    /// An axis with these ends.
    pub(crate) fn fixed((low, high): (f64, f64), ticks: usize) -> Self {
        let (low, high) = widened((low.min(high), high.max(low)));
        Self { low, high, step: round_step((high - low) / ticks as f64) }
    }

    /// Where `value` lies: 0 at the low end, 1 at the high one.
    pub(crate) fn place(&self, value: f64) -> f64 {
        (value - self.low) / (self.high - self.low)
    }

    /// Ticks with their labels.
    pub(crate) fn ticks(&self) -> Vec<(f64, String)> {
        let first = (self.low / self.step - 1e-9).ceil() as i64;
        let last = (self.high / self.step + 1e-9).floor() as i64;
        (first..=last).map(|count| count as f64 * self.step).map(|tick| (tick, self.label(tick))).collect()
    }

    fn label(&self, tick: f64) -> String {
        let largest = self.low.abs().max(self.high.abs());
        if largest > 0.0 && !(1e-3..1e7).contains(&largest) {
            return if tick == 0.0 { "0".to_owned() } else { format!("{tick:.1e}") };
        }
        let (number, unit) = if largest >= 1e4 { (tick / 1e3, "k") } else { (tick, "") };
        let step = if unit.is_empty() { self.step } else { self.step / 1e3 };
        let decimals = (0..6).find(|places| {
            let scaled = step * 10_f64.powi(*places);
            (scaled - scaled.round()).abs() < 1e-6
        });
        format!("{number:.*}{unit}", decimals.unwrap_or(6) as usize)
    }
}

/// The lowest and the highest finite number; (0, 1) where there is none.
fn extent(values: impl IntoIterator<Item = f64>) -> (f64, f64) {
    let finite = values.into_iter().filter(|value| value.is_finite());
    let (low, high) =
        finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    if low > high { (0.0, 1.0) } else { (low, high) }
}

/// The same range, or one of some height where it has none.
fn widened((low, high): (f64, f64)) -> (f64, f64) {
    if high - low > 1e-12 * low.abs().max(high.abs()) {
        return (low, high);
    }
    let half = if low == 0.0 { 0.5 } else { 0.1 * low.abs() };
    (low - half, high + half)
}

/// The next of 1, 2, 2.5, 5 times a power of ten.
fn round_step(step: f64) -> f64 {
    let power = 10_f64.powf(step.log10().floor());
    let factor = [1.0, 2.0, 2.5, 5.0].into_iter().find(|factor| factor * power >= step * (1.0 - 1e-9));
    factor.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<String> {
        axis.ticks().into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn ticks_are_at_round_numbers_and_labels_have_the_digits_they_need() {
        assert_eq!(labels(&Axis::rounded([0.1, 1.37], 4)), ["0.0", "0.5", "1.0", "1.5"]);
        assert_eq!(labels(&Axis::fixed((0.0, 1.0), 4)), ["0.00", "0.25", "0.50", "0.75", "1.00"]);
        assert_eq!(labels(&Axis::tight([1.0, 80.0], 4)), ["20", "40", "60", "80"]);
        assert_eq!(labels(&Axis::rounded([0.0, 25_000.0], 5)), ["0k", "5k", "10k", "15k", "20k", "25k"]);
        assert_eq!(labels(&Axis::rounded([0.0, 4e-5], 4)), ["0", "1.0e-5", "2.0e-5", "3.0e-5", "4.0e-5"]);
    }

    #[test]
    fn numbers_far_from_zero_keep_their_own_range() {
        let axis = Axis::rounded([101.0, 104.0], 4);
        assert!(axis.low >= 100.0 && axis.high <= 105.0, "{axis:?}");
    }

    #[test]
    fn one_number_and_none_still_have_a_range() {
        for values in [vec![], vec![3.0], vec![0.0, 0.0], vec![f64::NAN, f64::INFINITY]] {
            for axis in [Axis::tight(values.clone(), 4), Axis::rounded(values.clone(), 4)] {
                assert!(axis.high > axis.low && axis.step > 0.0, "{values:?}: {axis:?}");
                assert!((2..12).contains(&axis.ticks().len()), "{values:?}: {:?}", axis.ticks());
            }
        }
    }
}

//! Which source samples make an output sample, and with which integer weights.

use std::f64::consts::PI;

use crate::Arithmetic;

/// A resampling kernel. Both widen by the scale when an image shrinks (antialiasing).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// Keys' cubic with a = -0.5, reach 2: the processor's resize to patches.
    Bicubic,
    /// `sinc(x) * sinc(x / 3)`, reach 3: every resize of the VisionThink flow.
    Lanczos3,
}

impl Filter {
    fn reach(self) -> f64 {
        match self {
            Self::Bicubic => 2.0,
            Self::Lanczos3 => 3.0,
        }
    }

    fn weight(self, x: f64) -> f64 {
        match self {
            Self::Bicubic => keys(x.abs()),
            Self::Lanczos3 if (-3.0..3.0).contains(&x) => sinc(x) * sinc(x / 3.0),
            Self::Lanczos3 => 0.0,
        }
    }
}

fn keys(x: f64) -> f64 {
    const A: f64 = -0.5;
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 { 1.0 } else { (PI * x).sin() / (PI * x) }
}

/// The taps of one pass: for each output sample a run of source samples and their weights in fixed point.
pub(crate) struct Taps {
    /// First source sample and number of samples, one pair for each output sample.
    runs: Vec<(usize, usize)>,
    /// `width` weights for each output sample, of which the run uses the first ones.
    weights: Vec<i32>,
    width: usize,
    /// Fractional bits of the weights.
    pub(crate) precision: u32,
}

impl Taps {
    /// Taps from `n_in` to `n_out` samples.
    ///
    /// With `scale = n_in / n_out` and `s = max(scale, 1)`: the centre of output `i` is `c = (i + 0.5) * scale`, source `k` weighs
    /// `kernel((k + 0.5 - c) / s)` over the sum of the run, and the integer weight is `trunc(w * 2^P ± 0.5)`.
    pub(crate) fn new(n_in: u32, n_out: u32, filter: Filter, arithmetic: Arithmetic) -> Self {
        let scale = f64::from(n_in) / f64::from(n_out);
        let stretch = scale.max(1.0);
        let reach = filter.reach() * stretch;
        let width = reach.ceil() as usize * 2 + 1;
        let mut runs = Vec::with_capacity(n_out as usize);
        let mut exact = vec![0.0; n_out as usize * width];
        for (i, weights) in (0..n_out).zip(exact.chunks_exact_mut(width)) {
            let centre = (f64::from(i) + 0.5) * scale;
            let first = (centre - reach + 0.5).max(0.0).trunc();
            let end = (centre + reach + 0.5).trunc().min(f64::from(n_in));
            let run = &mut weights[..(end - first) as usize];
            for (k, weight) in run.iter_mut().enumerate() {
                *weight = filter.weight((first + k as f64 + 0.5 - centre) / stretch);
            }
            let sum: f64 = run.iter().sum();
            if sum != 0.0 {
                for weight in run {
                    *weight /= sum;
                }
            }
            runs.push((first as usize, (end - first) as usize));
        }
        let precision = arithmetic.precision(exact.iter().copied().fold(0.0, f64::max));
        let weights = exact.iter().map(|&weight| fixed(weight, precision)).collect();
        Self { runs, weights, width, precision }
    }

    /// For each output sample the first source sample and the weights from there on.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &[i32])> {
        self.runs
            .iter()
            .zip(self.weights.chunks_exact(self.width))
            .map(|(&(first, count), weights)| (first, &weights[..count]))
    }
}

/// Rounds half away from zero, as a C cast after adding ±0.5 does.
fn fixed(weight: f64, precision: u32) -> i32 {
    let scaled = weight * f64::from(1u32 << precision);
    (scaled + 0.5f64.copysign(scaled)) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_of_every_run_sum_to_one() {
        for filter in [Filter::Bicubic, Filter::Lanczos3] {
            for arithmetic in [Arithmetic::Pillow, Arithmetic::Torchvision] {
                for (n_in, n_out) in [(1, 1), (1, 9), (7, 3), (100, 37), (37, 100), (1000, 1)] {
                    let taps = Taps::new(n_in, n_out, filter, arithmetic);
                    for (first, weights) in taps.iter() {
                        let sum: i32 = weights.iter().sum();
                        let one = 1 << taps.precision;
                        assert!((sum - one).unsigned_abs() as usize <= weights.len());
                        assert!(first + weights.len() <= n_in as usize);
                    }
                }
            }
        }
    }

    #[test]
    fn torchvision_weights_fit_sixteen_bits_and_use_them() {
        for (n_in, n_out) in [(10, 20), (20, 10), (500, 28), (28, 28 * 7)] {
            let taps = Taps::new(n_in, n_out, Filter::Bicubic, Arithmetic::Torchvision);
            let largest = taps.iter().flat_map(|(_, w)| w.to_vec()).max().unwrap();
            assert!(largest < 1 << 15);
            assert!(largest >= 1 << 14 || taps.precision == 22);
        }
    }
}

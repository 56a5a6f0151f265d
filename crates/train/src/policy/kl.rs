//! Estimates of the divergence from the reference policy, from one sampled token.

use serde::{Deserialize, Serialize};

/// Beyond this the third estimator is cut, and has no gradient.
const K3_LIMIT: f64 = 10.0;

/// An estimate from `d = log p_ref - log p` of a token that `p` sampled.
///
/// Source: Schulman 2020, "Approximating KL divergence"; the names of the VisionThink reference stand behind each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KlEstimator {
    /// `-d`: no bias, much variance (`kl`).
    K1,
    /// `|d|` (`abs`).
    Abs,
    /// `d^2 / 2`: little variance, some bias (`mse`).
    K2,
    /// `exp(d) - d - 1`, cut to -10..10: no bias before the cut, never negative (`low_var_kl`).
    K3,
}

/// An estimate with its slope.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KlEstimate {
    /// The estimate.
    pub value: f64,
    /// Its derivative by `log p`.
    pub gradient: f64,
}

impl KlEstimator {
    /// The estimate of one token.
    pub fn estimate(self, log_prob: f64, ref_log_prob: f64) -> KlEstimate {
        let difference = ref_log_prob - log_prob;
        match self {
            Self::K1 => KlEstimate { value: -difference, gradient: 1.0 },
            Self::Abs => KlEstimate {
                value: difference.abs(),
                gradient: if difference == 0.0 { 0.0 } else { -difference.signum() },
            },
            Self::K2 => KlEstimate { value: 0.5 * difference * difference, gradient: -difference },
            Self::K3 => {
                let value = difference.exp() - difference - 1.0;
                if value.abs() > K3_LIMIT {
                    KlEstimate { value: value.clamp(-K3_LIMIT, K3_LIMIT), gradient: 0.0 }
                } else {
                    KlEstimate { value, gradient: 1.0 - difference.exp() }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_policies_do_not_diverge() {
        for estimator in [KlEstimator::K1, KlEstimator::Abs, KlEstimator::K2, KlEstimator::K3] {
            assert_eq!(estimator.estimate(-1.5, -1.5).value, 0.0, "{estimator:?}");
        }
    }

    #[test]
    fn the_third_estimator_is_never_negative_and_stops_at_ten() {
        assert!(KlEstimator::K3.estimate(-1.0, -3.0).value > 0.0);
        let far = KlEstimator::K3.estimate(-9.0, -1.0);
        assert_eq!((far.value, far.gradient), (10.0, 0.0));
    }
}

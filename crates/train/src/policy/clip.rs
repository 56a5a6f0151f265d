//! The clipped surrogate of one token.

/// How far the importance ratio counts: from `1 - low` to `1 + high`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClipRange {
    /// Below 1.
    pub low: f64,
    /// Above 1.
    pub high: f64,
}

/// The loss of one token.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Surrogate {
    /// `max(-A r, -A clamp(r))`.
    pub(super) loss: f64,
    /// Its derivative by the log-probability.
    pub(super) gradient: f64,
    /// Whether the clamped side was the larger one.
    pub(super) clipped: bool,
}

impl ClipRange {
    /// `max(-A r, -A clamp(r, 1 - low, 1 + high))` with `r = exp(log_prob - old_log_prob)`.
    ///
    /// Source: Schulman et al. 2017 (arXiv:1707.06347), equation 7.
    pub(super) fn surrogate(self, log_prob: f64, old_log_prob: f64, advantage: f64) -> Surrogate {
        let ratio = (log_prob - old_log_prob).exp();
        let free = -advantage * ratio;
        let clamped = -advantage * ratio.clamp(1.0 - self.low, 1.0 + self.high);
        // Where the clamp is at work the clamped side does not move with the policy.
        if clamped > free {
            Surrogate { loss: clamped, gradient: 0.0, clipped: true }
        } else {
            Surrogate { loss: free, gradient: free, clipped: false }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGE: ClipRange = ClipRange { low: 0.2, high: 0.3 };

    #[test]
    fn a_good_token_stops_counting_once_it_is_likely_enough() {
        let free = RANGE.surrogate(1.29_f64.ln(), 0.0, 1.0);
        assert!(!free.clipped && (free.gradient + 1.29).abs() < 1e-12);
        let clipped = RANGE.surrogate(1.31_f64.ln(), 0.0, 1.0);
        assert!(clipped.clipped && clipped.gradient == 0.0 && (clipped.loss + 1.3).abs() < 1e-12);
    }

    #[test]
    fn a_bad_token_stops_counting_once_it_is_unlikely_enough() {
        assert!(!RANGE.surrogate(0.81_f64.ln(), 0.0, -1.0).clipped);
        assert!(RANGE.surrogate(0.79_f64.ln(), 0.0, -1.0).clipped);
        assert!(!RANGE.surrogate(2.0_f64.ln(), 0.0, -1.0).clipped, "a bad token that became likely always counts");
    }
}

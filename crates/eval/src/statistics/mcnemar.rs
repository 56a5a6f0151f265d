//! McNemar's exact test: whether two methods that are right or wrong on the same questions differ.

/// Questions on which two methods disagree. The others say nothing about which is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Discordant {
    /// Only the first is right.
    pub only_first: u64,
    /// Only the second is right.
    pub only_second: u64,
}

impl Discordant {
    /// Counts questions by (first right, second right).
    pub fn of(answers: impl IntoIterator<Item = (bool, bool)>) -> Self {
        answers.into_iter().fold(Self::default(), |counts, answer| match answer {
            (true, false) => Self { only_first: counts.only_first + 1, ..counts },
            (false, true) => Self { only_second: counts.only_second + 1, ..counts },
            _ => counts,
        })
    }
}

/// The two-sided p-value: how likely a split at least this uneven is if each disagreement is a fair coin.
///
/// With n = b + c disagreements and k = min(b, c): `p = min(1, 2 · Σ_{i ≤ k} C(n, i) / 2^n)`; 1 where nothing disagrees.
///
/// Source: McNemar 1947, in its exact form by the binomial distribution.
pub fn mcnemar(discordant: Discordant) -> f64 {
    let disagreements = discordant.only_first + discordant.only_second;
    let fewer = discordant.only_first.min(discordant.only_second);
    // Logarithms: 2^n leaves the range of f64 at 1,024 disagreements.
    let mut log_term = -(disagreements as f64) * std::f64::consts::LN_2;
    let mut tail = log_term.exp();
    for i in 0..fewer {
        log_term += ((disagreements - i) as f64).ln() - ((i + 1) as f64).ln();
        tail += log_term.exp();
    }
    (2.0 * tail).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn p(only_first: u64, only_second: u64) -> f64 {
        mcnemar(Discordant { only_first, only_second })
    }

    #[test]
    fn small_cases_are_those_of_the_coin() {
        assert_eq!(p(0, 0), 1.0);
        assert_eq!(p(1, 1), 1.0);
        // 2 · (1 + 6) / 64, 2 · 1 / 1024, 2 · (1 + 10 + 45) / 1024
        for ((b, c), expected) in [((1, 5), 14.0 / 64.0), ((0, 10), 2.0 / 1024.0), ((8, 2), 112.0 / 1024.0)] {
            assert!((p(b, c) - expected).abs() < 1e-12, "{b}, {c}: {}", p(b, c));
            assert_eq!(p(b, c), p(c, b));
        }
    }

    #[test]
    fn many_disagreements_stay_finite() {
        let even = p(5_000, 5_000);
        assert!((even - 1.0).abs() < 1e-9, "{even}");
        // Two standard deviations of a coin thrown 10,000 times: 2 · Φ(-1.99) with the step of the distribution halved.
        let uneven = p(4_900, 5_100);
        assert!((uneven - 0.0466).abs() < 5e-4, "{uneven}");
    }

    #[test]
    fn only_disagreements_count() {
        let answers = [(true, true), (true, false), (false, false), (false, true), (true, false)];
        assert_eq!(Discordant::of(answers), Discordant { only_first: 2, only_second: 1 });
    }
}

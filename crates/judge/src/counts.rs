//! What judging took: calls, tokens, money.

use serde::Serialize;
use visionthink_reward::Accuracy;

use crate::endpoint::Prices;
use crate::judgement::{Judgement, Usage};

/// Sums over questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    /// Questions that are through, judged or not.
    pub questions: u64,
    /// Calls to the server, failed ones included.
    pub requests: u64,
    /// Calls beyond the first of a question.
    pub retries: u64,
    /// Questions whose verdict was known: from the disk, or from the same question beside it.
    pub cache_hits: u64,
    /// Questions without a verdict.
    pub unjudged: u64,
    /// Tokens of all calls.
    pub usage: Usage,
}

impl Counts {
    /// Takes in a question that is through.
    pub(crate) fn record(&mut self, judgement: &Judgement) {
        self.record_calls(judgement);
        self.questions += 1;
        self.cache_hits += u64::from(judgement.cached);
        self.unjudged += u64::from(judgement.accuracy == Accuracy::Unjudged);
    }

    /// Takes in the calls of a question that was called off: they cost all the same.
    pub(crate) fn record_calls(&mut self, judgement: &Judgement) {
        self.requests += u64::from(judgement.calls);
        self.retries += u64::from(judgement.calls.saturating_sub(1));
        self.usage.add(judgement.usage);
    }

    /// What was added since an earlier moment.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        Self {
            questions: self.questions.saturating_sub(before.questions),
            requests: self.requests.saturating_sub(before.requests),
            retries: self.retries.saturating_sub(before.retries),
            cache_hits: self.cache_hits.saturating_sub(before.cache_hits),
            unjudged: self.unjudged.saturating_sub(before.unjudged),
            usage: Usage {
                prompt_tokens: self.usage.prompt_tokens.saturating_sub(before.usage.prompt_tokens),
                completion_tokens: self.usage.completion_tokens.saturating_sub(before.usage.completion_tokens),
            },
        }
    }

    /// What the tokens cost, in the currency of the prices.
    ///
    /// (prompt tokens · prompt price + completion tokens · completion price) / 10⁶.
    pub fn cost(&self, prices: &Prices) -> f64 {
        let part = |tokens: u64, price: f64| tokens as f64 * price / 1e6;
        part(self.usage.prompt_tokens, prices.prompt) + part(self.usage.completion_tokens, prices.completion)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_verdict_costs_nothing_and_retries_cost_tokens() {
        let usage = Usage { prompt_tokens: 1000, completion_tokens: 10 };
        let asked = Judgement { accuracy: Accuracy::Correct, reply: None, fault: None, calls: 3, usage, cached: false };
        let mut counts = Counts::default();
        counts.record(&asked);
        counts.record(&asked.again());
        let expected = Counts { questions: 2, requests: 3, retries: 2, cache_hits: 1, unjudged: 0, usage };
        assert_eq!(counts, expected);
        let cost = counts.cost(&Prices { prompt: 2.5, completion: 10.0 });
        assert!((cost - 0.0026).abs() < 1e-12, "{cost}");
    }

    #[test]
    fn token_counts_that_a_server_makes_up_do_not_overflow() {
        let mut usage = Usage { prompt_tokens: u64::MAX, completion_tokens: 1 };
        usage.add(usage);
        assert_eq!(usage, Usage { prompt_tokens: u64::MAX, completion_tokens: 2 });
    }
}

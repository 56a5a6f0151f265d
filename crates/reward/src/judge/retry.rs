//! When the judge is asked again: a state machine without a clock.

use serde::{Deserialize, Serialize};

use super::verdict::{Verdict, VerdictReading};
use crate::error::{Result, RewardError};

/// How patient the caller is with a judge.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetryPolicy {
    /// Calls that may fail before the sample is given up. A rate limit is not a failure.
    pub attempts: u32,
    /// Temperature added with every failure; the first call has 0.
    pub temperature_step: f64,
    /// Upper bound on the temperature.
    pub max_temperature: f64,
    /// Wait after a failed call.
    pub failure_wait_secs: f64,
    /// Wait after a rate limit.
    pub rate_limit_wait_secs: f64,
    /// Rate limits, counted over all calls, before the sample is given up; `None` for no bound.
    pub max_rate_limits: Option<u32>,
    /// Whether even the last failure is waited for, though no call follows.
    pub wait_before_giving_up: bool,
}

impl RetryPolicy {
    /// The reference's: three attempts at temperatures 0, 0.2 and 0.4, one second apart; three seconds after a rate
    /// limit, without end.
    ///
    /// Source: VisionThink, `GPT4VisionClient.query` in `general_qa_tool.py`, commit 42afd8c.
    pub fn reference() -> Self {
        Self {
            attempts: 3,
            temperature_step: 0.2,
            max_temperature: 1.0,
            failure_wait_secs: 1.0,
            rate_limit_wait_secs: 3.0,
            max_rate_limits: None,
            wait_before_giving_up: true,
        }
    }
}

impl Default for RetryPolicy {
    /// The reference's, except that a judge that only ever says *too many requests* is given up after ten minutes, and
    /// that nothing is waited for where no call follows.
    fn default() -> Self {
        Self { max_rate_limits: Some(200), wait_before_giving_up: false, ..Self::reference() }
    }
}

/// What became of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallOutcome<'a> {
    /// Too many requests.
    RateLimited,
    /// Any other error: connection, time-out, a reply without content.
    Failed,
    /// The judge replied this.
    Reply(&'a str),
    /// The judge replied, and the reply was read elsewhere, as a verifier's is.
    Verdict(Verdict),
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RetryStep {
    /// Ask the judge and [`report`](Retry::report) what became of it.
    Call {
        /// Sampling temperature.
        temperature: f64,
    },
    /// Wait, then ask for the next step.
    Sleep {
        /// How long.
        secs: f64,
    },
    /// There is a verdict.
    Done(Verdict),
    /// The sample cannot be judged.
    GiveUp,
}

/// The judging of one sample, from the first call to a verdict or to giving up.
///
/// ```
/// use visionthink_reward::judge::{CallOutcome, Retry, RetryPolicy, RetryStep, Verdict, VerdictReading};
///
/// let mut retry = Retry::new(RetryPolicy::default(), VerdictReading::Strict);
/// let verdict = loop {
///     match retry.next_step() {
///         RetryStep::Call { .. } => retry.report(CallOutcome::Reply("Score: 1"))?,
///         RetryStep::Sleep { .. } => {}
///         RetryStep::Done(verdict) => break Some(verdict),
///         RetryStep::GiveUp => break None,
///     }
/// };
/// assert_eq!(verdict, Some(Verdict::Correct));
/// # Ok::<(), visionthink_reward::RewardError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Retry {
    policy: RetryPolicy,
    reading: VerdictReading,
    failures: u32,
    rate_limits: u32,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// A call is due.
    Calling,
    /// A wait is due, then what follows it.
    Waiting { secs: f64, then: After },
    /// Nothing is due.
    Over(Option<Verdict>),
}

#[derive(Debug, Clone, Copy)]
enum After {
    Call,
    GiveUp,
}

impl Retry {
    /// Before the first call.
    pub fn new(policy: RetryPolicy, reading: VerdictReading) -> Self {
        let state = if policy.attempts == 0 { State::Over(None) } else { State::Calling };
        Self { policy, reading, failures: 0, rate_limits: 0, state }
    }

    /// What to do next. A wait is said once; a call is due until its outcome is reported.
    pub fn next_step(&mut self) -> RetryStep {
        match self.state {
            State::Calling => RetryStep::Call { temperature: self.temperature() },
            State::Waiting { secs, then } => {
                self.state = match then {
                    After::Call => State::Calling,
                    After::GiveUp => State::Over(None),
                };
                RetryStep::Sleep { secs }
            }
            State::Over(Some(verdict)) => RetryStep::Done(verdict),
            State::Over(None) => RetryStep::GiveUp,
        }
    }

    /// Takes what became of the call that was due.
    ///
    /// # Errors
    /// [`RewardError::NoCallPending`] where none was.
    pub fn report(&mut self, outcome: CallOutcome<'_>) -> Result<()> {
        if !matches!(self.state, State::Calling) {
            return Err(RewardError::NoCallPending);
        }
        let verdict = match outcome {
            CallOutcome::Reply(reply) => self.reading.read(reply),
            CallOutcome::Verdict(verdict) => Some(verdict),
            CallOutcome::Failed | CallOutcome::RateLimited => None,
        };
        self.state = match verdict {
            Some(verdict) => State::Over(Some(verdict)),
            None if outcome == CallOutcome::RateLimited => self.after_rate_limit(),
            None => self.after_failure(),
        };
        Ok(())
    }

    /// min(step · failures, bound).
    fn temperature(&self) -> f64 {
        (self.policy.temperature_step * f64::from(self.failures)).min(self.policy.max_temperature)
    }

    fn after_rate_limit(&mut self) -> State {
        self.rate_limits += 1;
        let patient = self.policy.max_rate_limits.is_none_or(|most| self.rate_limits < most);
        self.wait(self.policy.rate_limit_wait_secs, patient)
    }

    fn after_failure(&mut self) -> State {
        self.failures += 1;
        self.wait(self.policy.failure_wait_secs, self.failures < self.policy.attempts)
    }

    fn wait(&self, secs: f64, call_follows: bool) -> State {
        if call_follows {
            State::Waiting { secs, then: After::Call }
        } else if self.policy.wait_before_giving_up {
            State::Waiting { secs, then: After::GiveUp }
        } else {
            State::Over(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(policy: RetryPolicy, outcome: CallOutcome<'_>) -> Vec<RetryStep> {
        let mut retry = Retry::new(policy, VerdictReading::Strict);
        let mut steps = Vec::new();
        loop {
            let step = retry.next_step();
            steps.push(step);
            match step {
                RetryStep::Call { .. } => retry.report(outcome).unwrap(),
                RetryStep::Sleep { .. } => {}
                RetryStep::Done(_) | RetryStep::GiveUp => return steps,
            }
        }
    }

    #[test]
    fn a_judge_that_never_scores_is_asked_three_times_and_ever_warmer() {
        let call = |temperature| RetryStep::Call { temperature };
        let sleep = RetryStep::Sleep { secs: 1.0 };
        let steps = steps(RetryPolicy::default(), CallOutcome::Reply("correct"));
        assert_eq!(steps, [call(0.0), sleep, call(0.2), sleep, call(0.4), RetryStep::GiveUp]);
    }

    #[test]
    fn rate_limits_alone_end_too() {
        let policy = RetryPolicy { max_rate_limits: Some(4), ..RetryPolicy::default() };
        let steps = steps(policy, CallOutcome::RateLimited);
        assert_eq!(steps.len(), 8, "{steps:?}");
        assert!(steps.contains(&RetryStep::Sleep { secs: 3.0 }));
        assert!(!steps.contains(&RetryStep::Call { temperature: 0.2 }));
    }

    #[test]
    fn the_temperature_stops_at_its_bound() {
        let policy = RetryPolicy { attempts: 9, ..RetryPolicy::default() };
        let steps = steps(policy, CallOutcome::Failed);
        let hottest = steps.iter().filter(|step| **step == RetryStep::Call { temperature: 1.0 }).count();
        assert_eq!(hottest, 4);
    }

    #[test]
    fn a_verdict_read_elsewhere_ends_the_asking() {
        let steps = steps(RetryPolicy::default(), CallOutcome::Verdict(Verdict::Correct));
        assert_eq!(steps, [RetryStep::Call { temperature: 0.0 }, RetryStep::Done(Verdict::Correct)]);
    }

    #[test]
    fn an_outcome_nobody_asked_for_is_an_error() {
        let mut retry = Retry::new(RetryPolicy::default(), VerdictReading::Strict);
        retry.report(CallOutcome::Reply("Score: 0")).unwrap();
        assert!(matches!(retry.report(CallOutcome::Failed), Err(RewardError::NoCallPending)));
        assert_eq!(retry.next_step(), RetryStep::Done(Verdict::Wrong));
    }
}

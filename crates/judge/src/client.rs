//! Asking one question until there is a verdict or no patience left.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use visionthink_reward::Accuracy;
use visionthink_reward::judge::{CallOutcome, Retry, RetryStep};

use crate::chat;
use crate::endpoint::{JudgeEndpoint, duration};
use crate::error::{JudgeError, Result};
use crate::http::Connection;
use crate::judgement::{Fault, Judgement, Usage};
use crate::key::Secret;
use crate::pool;
use crate::prompt::Prompt;
use crate::respondent::{Identity, Respondent};

/// How often a waiting thread looks whether it is still wanted.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The connection and how patiently it is used. Threads share it.
#[derive(Debug)]
pub(crate) struct Client {
    endpoint: JudgeEndpoint,
    connection: Connection,
    hopeless: Mutex<Hopeless>,
}

/// Calls in a row, of all threads, that found no server or were refused.
#[derive(Debug, Default)]
struct Hopeless {
    calls: u32,
    last: Option<Fault>,
}

/// What one call came to.
struct Call {
    text: Result<String, Fault>,
    usage: Usage,
    wait: Option<Duration>,
}

impl Client {
    pub(crate) fn new(endpoint: JudgeEndpoint, secret: Option<Secret>) -> Result<Self> {
        let connection = Connection::new(&endpoint, secret)?;
        Ok(Self { endpoint, connection, hopeless: Mutex::default() })
    }

    pub(crate) fn endpoint(&self) -> &JudgeEndpoint {
        &self.endpoint
    }

    /// Forgets earlier failures: whoever asks again thinks that the server may be back.
    pub(crate) fn take_heart(&self) {
        *self.hopeless() = Hopeless::default();
    }

    /// Whether so many calls in a row were hopeless that no more should be made.
    pub(crate) fn is_lost(&self) -> bool {
        self.hopeless().calls >= self.endpoint.max_unreachable
    }

    /// [`JudgeError::Unreachable`] for a server that [`is_lost`](Self::is_lost).
    pub(crate) fn check_reachable(&self) -> Result<()> {
        let hopeless = self.hopeless();
        match &hopeless.last {
            Some(fault) if hopeless.calls >= self.endpoint.max_unreachable => Err(JudgeError::Unreachable {
                url: self.endpoint.url.clone(),
                calls: hopeless.calls,
                fault: fault.clone(),
            }),
            _ => Ok(()),
        }
    }

    fn lose_heart(&self, fault: &Fault) {
        let mut hopeless = self.hopeless();
        hopeless.calls = hopeless.calls.saturating_add(1);
        hopeless.last = Some(fault.clone());
    }

    /// A count is whole at any moment, whatever became of the thread that held it.
    fn hopeless(&self) -> MutexGuard<'_, Hopeless> {
        self.hopeless.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks until there is a verdict, the attempts or the time are used up, or `stop` says so.
    pub(crate) fn ask(&self, prompt: &Prompt, stop: &dyn Fn() -> bool) -> Judgement {
        let mut asking = Asking::begin(self);
        let mut retry = Retry::new(self.endpoint.retry_policy(), self.endpoint.variant.reading());
        let accuracy = loop {
            match retry.next_step() {
                RetryStep::Call { .. } if stop() => return asking.end_with(Fault::Stopped),
                RetryStep::Call { temperature } => {
                    let Some(left) = asking.time_left() else { break Accuracy::Unjudged };
                    let outcome = asking.call(self, prompt, temperature, left);
                    retry.report(outcome).expect("the step was a call");
                    if matches!(asking.fault, Some(Fault::Refused { .. })) {
                        break Accuracy::Unjudged;
                    }
                }
                RetryStep::Sleep { secs } => {
                    let Some(wait) = asking.next_wait(secs) else { break Accuracy::Unjudged };
                    if !sleep(wait, stop) {
                        return asking.end_with(Fault::Stopped);
                    }
                }
                RetryStep::Done(verdict) => break verdict.into(),
                RetryStep::GiveUp => break Accuracy::Unjudged,
            }
        };
        asking.end(accuracy)
    }

    fn call(&self, prompt: &Prompt, temperature: f64, left: Duration) -> Call {
        let request = chat::request(&self.endpoint, prompt, temperature);
        let call = match self.connection.post(&request, self.endpoint.timeout().min(left)) {
            Ok(response) => {
                let (text, usage) = chat::read(&response, self.endpoint.variant, &self.connection);
                Call { text, usage, wait: response.wait }
            }
            Err(fault) => Call { text: Err(fault), usage: Usage::default(), wait: None },
        };
        match &call.text {
            Err(fault) if fault.is_hopeless() => self.lose_heart(fault),
            _ => self.take_heart(),
        }
        call
    }
}

/// The model and where it is, for messages.
impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` at `{}`", self.endpoint.model, self.endpoint.url)
    }
}

impl Respondent for Client {
    fn identity(&self) -> Identity {
        self.endpoint.identity()
    }

    fn ask(&mut self, prompt: &Prompt) -> Judgement {
        Self::ask(self, prompt, &|| false)
    }

    /// Several prompts at a time.
    ///
    /// # Errors
    /// [`JudgeError::Unreachable`] where too many calls in a row find no server or are refused; what `each` returns.
    fn ask_all(
        &mut self,
        prompts: &[&Prompt],
        cancel: &AtomicBool,
        each: &mut dyn FnMut(usize, Judgement) -> Result<()>,
    ) -> Result<()> {
        let client = &*self;
        client.take_heart();
        let stop = || cancel.load(Ordering::Relaxed) || client.is_lost();
        pool::run(client, prompts, &stop, each)?;
        client.check_reachable()
    }
}

/// One question on its way.
struct Asking<'a> {
    endpoint: &'a JudgeEndpoint,
    begun: Instant,
    calls: u32,
    usage: Usage,
    reply: Option<String>,
    fault: Option<Fault>,
    /// What the server asked for in its last response.
    server_wait: Option<Duration>,
    failures: u32,
    rate_limits: u32,
}

impl<'a> Asking<'a> {
    fn begin(client: &'a Client) -> Self {
        Self {
            endpoint: &client.endpoint,
            begun: Instant::now(),
            calls: 0,
            usage: Usage::default(),
            reply: None,
            fault: None,
            server_wait: None,
            failures: 0,
            rate_limits: 0,
        }
    }

    /// Makes a call and says what the retries should know of it.
    fn call(&mut self, client: &Client, prompt: &Prompt, temperature: f64, left: Duration) -> CallOutcome<'_> {
        let call = client.call(prompt, temperature, left);
        self.calls = self.calls.saturating_add(1);
        self.usage.add(call.usage);
        self.server_wait = call.wait;
        let fault = match call.text {
            Ok(reply) => {
                self.reply = Some(reply);
                // Stands unless the retries read a verdict in it.
                Fault::NoVerdict
            }
            Err(fault) => fault,
        };
        tracing::debug!(calls = self.calls, temperature, %fault, "judge called");
        let limited = fault == Fault::RateLimited;
        *(if limited { &mut self.rate_limits } else { &mut self.failures }) += 1;
        let replied = fault == Fault::NoVerdict;
        self.fault = Some(fault);
        match &self.reply {
            Some(reply) if replied => self.endpoint.variant.outcome(reply),
            _ if limited => CallOutcome::RateLimited,
            _ => CallOutcome::Failed,
        }
    }

    /// `None` where the time for this question is used up.
    fn time_left(&self) -> Option<Duration> {
        self.endpoint.max_wait().checked_sub(self.begun.elapsed()).filter(|left| !left.is_zero())
    }

    /// How long to wait before the next call: what the server asked for, or else `secs` · 2^(failures of this kind − 1),
    /// bounded. `None` where the time for this question ends before that.
    fn next_wait(&self, secs: f64) -> Option<Duration> {
        let times = if self.fault == Some(Fault::RateLimited) { self.rate_limits } else { self.failures };
        let doubled = secs * 2f64.powi(times.saturating_sub(1).min(64) as i32);
        let wait = self.server_wait.unwrap_or_else(|| duration(doubled.min(self.endpoint.max_backoff_secs)));
        self.time_left().is_some_and(|left| wait < left).then_some(wait)
    }

    fn end_with(self, fault: Fault) -> Judgement {
        Self { fault: Some(fault), ..self }.end(Accuracy::Unjudged)
    }

    fn end(self, accuracy: Accuracy) -> Judgement {
        let fault = if accuracy == Accuracy::Unjudged { self.fault.or(Some(Fault::TimedOut)) } else { None };
        Judgement { accuracy, reply: self.reply, fault, calls: self.calls, usage: self.usage, cached: false }
    }
}

/// Sleeps; false where it was called off.
fn sleep(wait: Duration, stop: &dyn Fn() -> bool) -> bool {
    let begun = Instant::now();
    while let Some(left) = wait.checked_sub(begun.elapsed()).filter(|left| !left.is_zero()) {
        if stop() {
            return false;
        }
        thread::sleep(left.min(LOOK_EVERY));
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::EndpointKind;

    fn client() -> Client {
        let endpoint = JudgeEndpoint {
            max_backoff_secs: 5.0,
            max_wait_secs: 60.0,
            ..JudgeEndpoint::new(EndpointKind::OpenAi, "http://127.0.0.1:1", "m")
        };
        Client::new(endpoint, None).unwrap()
    }

    #[test]
    fn waits_double_up_to_their_bound_and_the_server_knows_better() {
        let client = client();
        let secs = |failures, server_wait| {
            let asking = Asking { server_wait, failures, ..Asking::begin(&client) };
            asking.next_wait(1.0).map(|wait| wait.as_secs_f64())
        };
        assert_eq!(
            [1, 2, 3, 4, 4_000_000_000].map(|failures| secs(failures, None)),
            [1.0, 2.0, 4.0, 5.0, 5.0].map(Some)
        );
        assert_eq!(secs(1, Some(Duration::from_secs(30))), Some(30.0));
    }

    #[test]
    fn a_wait_beyond_the_time_for_a_question_is_not_begun() {
        let client = client();
        let asking = Asking { server_wait: Some(Duration::from_secs(61)), failures: 1, ..Asking::begin(&client) };
        assert_eq!(asking.next_wait(1.0), None);
        let asking = Asking { server_wait: Some(Duration::MAX), ..asking };
        assert_eq!(asking.next_wait(1.0), None);
    }

    #[test]
    fn a_sleep_ends_when_it_is_called_off() {
        let begun = Instant::now();
        assert!(!sleep(Duration::from_mins(1), &|| begun.elapsed() > Duration::from_millis(30)));
        assert!(begun.elapsed() < Duration::from_secs(30));
        assert!(sleep(Duration::from_millis(1), &|| false));
    }
}

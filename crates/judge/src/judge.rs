//! The judge as others use it: whoever replies, cache and counts in one.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use serde::Serialize;
use visionthink_reward::judge::Question;

use crate::cache::Cache;
use crate::client::Client;
use crate::counts::Counts;
use crate::endpoint::JudgeEndpoint;
use crate::error::{JudgeError, Result};
use crate::judgement::{Fault, Judgement};
use crate::key::Secret;
use crate::prompt::{Key, Prompt};
use crate::respondent::{Identity, Respondent};

/// A question with a name of the caller's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Task<'a> {
    /// Comes back with the judgement; need not be unique.
    pub id: &'a str,
    /// What is judged.
    pub question: Question<'a>,
}

/// A question that is through.
#[derive(Debug, Clone, Copy)]
pub struct Judged<'a> {
    /// Index of the task.
    pub index: usize,
    /// Its name.
    pub id: &'a str,
    /// What became of it.
    pub judgement: &'a Judgement,
    /// How many tasks are through, this one included.
    pub done: usize,
    /// How many there are.
    pub total: usize,
    /// Sums since the judge was opened.
    pub counts: &'a Counts,
}

/// How the judging of many questions ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Ended {
    /// All are through.
    Complete,
    /// It was called off, and some were not asked.
    Cancelled,
}

/// A judge that can be asked.
///
/// ```no_run
/// use visionthink_judge::{EndpointKind, Judge, JudgeEndpoint};
/// use visionthink_reward::judge::Question;
///
/// let endpoint = JudgeEndpoint::new(EndpointKind::OpenAi, "http://localhost:8000/v1", "Qwen3-8B");
/// let mut judge = Judge::open(endpoint, Some("runs/verdicts".as_ref()))?;
/// let question = Question { question: "What is the total?", ground_truth: "47", prediction: "forty-seven" };
/// println!("{:?}", judge.judge(&question)?.accuracy);
/// # Ok::<(), visionthink_judge::JudgeError>(())
/// ```
#[derive(Debug)]
pub struct Judge {
    respondent: Box<dyn Respondent>,
    cache: Option<Cache>,
    counts: Counts,
}

/// The model and where it is, for messages.
impl fmt::Display for Judge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.respondent, f)
    }
}

/// A prompt and the tasks that come to it.
struct Ask {
    key: Key,
    prompt: Prompt,
    tasks: Vec<usize>,
}

impl Judge {
    /// Checks the settings, finds the key and opens the folder of known verdicts, if there is to be one. Connects to nothing.
    ///
    /// # Errors
    /// [`JudgeError::Settings`], [`JudgeError::NoKey`], [`JudgeError::UnfitKey`], [`JudgeError::Io`].
    pub fn open(endpoint: JudgeEndpoint, cache: Option<&Path>) -> Result<Self> {
        let problems = endpoint.problems("judge");
        if !problems.is_empty() {
            return Err(JudgeError::Settings { problems });
        }
        let secret = Secret::of(&endpoint)?;
        Self::of(Box::new(Client::new(endpoint, secret)?), cache)
    }

    /// A judge that asks somebody else; with the folder of known verdicts, if there is to be one.
    ///
    /// # Errors
    /// [`JudgeError::Io`].
    pub fn of(respondent: Box<dyn Respondent>, cache: Option<&Path>) -> Result<Self> {
        Ok(Self { respondent, cache: cache.map(Cache::open).transpose()?, counts: Counts::default() })
    }

    /// What its verdicts depend on.
    pub fn identity(&self) -> Identity {
        self.respondent.identity()
    }

    /// Sums since it was opened.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Judges one answer; blocks until there is a verdict or patience ends. A judge that is of no use leaves the answer
    /// unjudged.
    ///
    /// # Errors
    /// [`JudgeError::Io`] where the verdict cannot be kept.
    pub fn judge(&mut self, question: &Question<'_>) -> Result<Judgement> {
        let identity = self.identity();
        let prompt = identity.variant.prompt(question);
        let key = Key::new(&identity, &prompt);
        if let Some(known) = self.known(key) {
            self.counts.record(&known);
            return Ok(known);
        }
        let judgement = self.respondent.ask(&prompt);
        self.counts.record(&judgement);
        if let Some(cache) = &mut self.cache {
            cache.put(key, &judgement)?;
        }
        Ok(judgement)
    }

    /// Judges many answers, several at a time; `each` hears of every one as soon as it is through.
    ///
    /// Tasks that come to the same prompt are asked once. `cancel` may be set from anywhere: waiting ends, calls to a server
    /// that are under way are waited for (at most [`JudgeEndpoint::timeout_secs`]), and what is not through by then is not told to `each`.
    ///
    /// # Errors
    /// [`JudgeError::Unreachable`] where too many calls in a row find no server or are refused; [`JudgeError::Io`]; what
    /// `each` returns. What is through by then has been told to `each`.
    pub fn judge_all(
        &mut self,
        tasks: &[Task<'_>],
        cancel: &AtomicBool,
        each: &mut dyn FnMut(Judged<'_>) -> Result<()>,
    ) -> Result<Ended> {
        let mut report = Report { tasks, done: 0, each };
        let mut unknown = Vec::new();
        for ask in self.asks(tasks) {
            match self.known(ask.key) {
                Some(known) => report.tell(&ask, &known, &mut self.counts)?,
                None => unknown.push(ask),
            }
        }
        self.ask_all(&unknown, cancel, &mut report)?;
        Ok(if report.done == tasks.len() { Ended::Complete } else { Ended::Cancelled })
    }

    /// The different prompts of the tasks, in order.
    fn asks(&self, tasks: &[Task<'_>]) -> Vec<Ask> {
        let mut asks: Vec<Ask> = Vec::new();
        let mut places = HashMap::new();
        let identity = self.identity();
        for (index, task) in tasks.iter().enumerate() {
            let prompt = identity.variant.prompt(&task.question);
            let key = Key::new(&identity, &prompt);
            let place = *places.entry(key).or_insert(asks.len());
            match asks.get_mut(place) {
                Some(ask) => ask.tasks.push(index),
                None => asks.push(Ask { key, prompt, tasks: vec![index] }),
            }
        }
        asks
    }

    fn ask_all(&mut self, asks: &[Ask], cancel: &AtomicBool, report: &mut Report<'_>) -> Result<()> {
        let Self { respondent, cache, counts } = self;
        let prompts: Vec<&Prompt> = asks.iter().map(|ask| &ask.prompt).collect();
        respondent.ask_all(&prompts, cancel, &mut |index, judgement| {
            let ask = asks.get(index).expect("whoever replies counts prompts");
            if judgement.fault == Some(Fault::Stopped) {
                counts.record_calls(&judgement);
                return Ok(());
            }
            // Whoever is told gets to save the verdict even where it cannot be kept here.
            let kept = cache.as_mut().map_or(Ok(()), |cache| cache.put(ask.key, &judgement));
            report.tell(ask, &judgement, counts)?;
            kept
        })
    }

    fn known(&self, key: Key) -> Option<Judgement> {
        self.cache.as_ref()?.get(key)
    }
}

/// Whom to tell, and how far things are.
struct Report<'a> {
    tasks: &'a [Task<'a>],
    done: usize,
    each: &'a mut dyn FnMut(Judged<'_>) -> Result<()>,
}

impl Report<'_> {
    /// Tells of all tasks of a prompt: the first bears what it took, the others had it for nothing.
    fn tell(&mut self, ask: &Ask, judgement: &Judgement, counts: &mut Counts) -> Result<()> {
        let again = judgement.again();
        for (nth, &index) in ask.tasks.iter().enumerate() {
            let judgement = if nth == 0 { judgement } else { &again };
            counts.record(judgement);
            self.done += 1;
            let id = self.tasks.get(index).map_or("", |task| task.id);
            let total = self.tasks.len();
            (self.each)(Judged { index, id, judgement, done: self.done, total, counts })?;
        }
        Ok(())
    }
}

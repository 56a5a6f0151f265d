//! The questions of one model, method and benchmark, asked and recorded as answers come.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

use visionthink_engine::{CancelToken, EmbeddedEngine, ModelFolder, Rollout, RolloutEvent, Task, run as roll_out};
use visionthink_eval::EvalError;
use visionthink_eval::run::{
    Answer, BenchmarkSection, MethodSection, ModelSection, Outcome, Questions, Record, RunFile, RunFolder, Source,
};
use visionthink_model::Config;
use visionthink_protocol::{FinishReason, Mode};

use super::clock::Clocked;
use super::cost::{ledger, seconds};
use super::prepare::{Asked, Prepared, Prompter};
use super::remote;
use super::watch::Watch;
use crate::elsewhere::Elsewhere;
use crate::model::profile;

/// What is asked, of whom, and how.
#[derive(Clone, Copy)]
pub(crate) struct Combination<'a> {
    pub(crate) run: &'a RunFile,
    pub(crate) model: &'a ModelSection,
    pub(crate) method: &'a MethodSection,
    pub(crate) benchmark: &'a BenchmarkSection,
    pub(crate) questions: &'a Questions,
}

/// Who computes.
pub(crate) enum Who<'a> {
    /// This process.
    Here(&'a mut EmbeddedEngine),
    /// Another server, which runs the same checkpoint.
    There(&'a Elsewhere),
}

/// What this process has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize)]
pub(crate) struct Session {
    /// Questions that were recorded.
    pub(crate) questions: u64,
    /// Of these, questions that the engine could not finish.
    pub(crate) failed: u64,
    /// Rows that could not be read.
    pub(crate) unreadable: u64,
    /// Wall-clock from the first question of each combination to the last.
    pub(crate) seconds: f64,
    /// Of these, inside the engine.
    pub(crate) engine_seconds: f64,
}

/// Asks what is not done. Ends early where `stop` says so: what is open then is not recorded, and asked again by the next session.
///
/// # Errors
/// Files that cannot be read or written. What the engine cannot finish is recorded, not an error.
pub(crate) fn answer(
    combination: Combination<'_>,
    checkpoint: &ModelFolder,
    who: Who<'_>,
    folder: &mut RunFolder,
    session: &mut Session,
    watch: &mut Watch,
    stop: &AtomicBool,
) -> anyhow::Result<()> {
    let Combination { run, model, method, benchmark, questions } = combination;
    let [name, by, on] = [&model.name, &method.name, &benchmark.name].map(String::clone);
    let source = Source { model: name, method: by, benchmark: on, index: 0 };
    let is_of = |record: &&Record| Source { index: 0, ..record.source.clone() } == source;
    let done = folder.log.records().filter(is_of).map(|record| record.source.clone());
    let done: BTreeSet<u64> = done.filter(|source| folder.log.is_done(source)).map(|source| source.index).collect();
    let prompter = Prompter {
        run,
        profile: profile(checkpoint, model.profile)?.into(),
        processor: checkpoint.processor.clone(),
        folder: checkpoint.clone(),
        mode: method.mode,
        pixels: method.pixels,
        source,
    };
    let began = Instant::now();
    let rows = questions.read(move |place| !done.contains(&place))?;
    let (sender, receiver) = sync_channel(2 * run.generation.max_rows);
    let (open, answered) = (BTreeMap::new(), Vec::new());
    let desk = RefCell::new(Desk { folder, session, watch, open, answered, at: began, error: None });
    let busy = thread::scope(|scope| {
        // Reading, drawing and scaling wait for nobody but the channel, so that the engine does not wait for them.
        scope.spawn(move || {
            for row in rows {
                let prepared =
                    row.map_or_else(|error| Prepared::Unreadable(error.to_string()), |one| prompter.prepare(one));
                // Nobody asks any more.
                if sender.send(prepared).is_err() {
                    return;
                }
            }
        });
        let mut number = 0;
        let tasks = receiver.into_iter().filter_map(|prepared| {
            let task = desk.borrow_mut().take(number, prepared);
            let task = task.map(|task| (number, task));
            number += usize::from(task.is_some());
            task
        });
        match who {
            Who::Here(engine) => Ok(here(engine, tasks.map(|(_, task)| task), &desk, stop)),
            Who::There(server) => there(server, tasks, method.mode, &checkpoint.config, &desk, stop),
        }
    })?;
    let mut desk = desk.into_inner();
    desk.record();
    let Desk { session, error, .. } = desk;
    session.seconds += began.elapsed().as_secs_f64();
    session.engine_seconds += busy.as_secs_f64();
    error.map_or(Ok(()), |error| Err(error.into()))
}

/// Has tasks answered in this process; the time inside the engine.
fn here(
    engine: &mut EmbeddedEngine,
    tasks: impl Iterator<Item = Task>,
    desk: &RefCell<Desk<'_>>,
    stop: &AtomicBool,
) -> Duration {
    let mut engine = Clocked::new(engine);
    let cancel = CancelToken::new();
    roll_out(&mut engine, tasks, &cancel, |event| {
        let mut desk = desk.borrow_mut();
        match event {
            RolloutEvent::Finished(rollout) => desk.take_answer(rollout),
            RolloutEvent::Token { .. } => desk.record(),
        }
        if desk.error.is_some() || stop.load(Ordering::Relaxed) {
            cancel.cancel();
        }
    });
    engine.busy
}

/// Has tasks answered by another server; the time until the last answer, all of which is the server's.
fn there(
    server: &Elsewhere,
    tasks: impl Iterator<Item = (usize, Task)>,
    mode: Mode,
    config: &Config,
    desk: &RefCell<Desk<'_>>,
    stop: &AtomicBool,
) -> anyhow::Result<Duration> {
    let began = Instant::now();
    let goes_on = || desk.borrow().error.is_none() && !stop.load(Ordering::Relaxed);
    let requests = tasks.take_while(|_| goes_on()).filter_map(|(number, task)| {
        let question = desk.borrow().open.get(&number)?.question.clone();
        let request = remote::request(server, &task, &question, mode);
        request.map_err(|error| desk.borrow_mut().fail(number, error.to_string())).ok().map(|request| (number, request))
    });
    server.answer_all(requests, |number, answered, took| {
        let mut desk = desk.borrow_mut();
        match answered.map(|completion| remote::answer(&completion, config, took)) {
            Ok(Some(answer)) => desk.end(number, Outcome::Answered { answer }),
            Ok(None) => desk.fail(number, "the server gave no sample".to_owned()),
            Err(error) => desk.fail(number, error.to_string()),
        }
        desk.record();
        Ok(())
    })?;
    Ok(began.elapsed())
}

/// Where questions are handed out and answers come in.
struct Desk<'a> {
    folder: &'a mut RunFolder,
    session: &'a mut Session,
    watch: &'a mut Watch,
    /// Questions without an answer, by the number of their task.
    open: BTreeMap<usize, Asked>,
    /// What has ended since the engine's last step, and what it cost.
    answered: Vec<(Asked, Outcome)>,
    /// When the step before that was over.
    at: Instant,
    error: Option<EvalError>,
}

impl Desk<'_> {
    /// The task of a question that can be asked; what cannot is recorded at once.
    fn take(&mut self, number: usize, prepared: Prepared) -> Option<Task> {
        match prepared {
            Prepared::Ready(asked, task) => {
                self.open.insert(number, asked);
                return Some(*task);
            }
            Prepared::Defective(asked, problem) => {
                tracing::warn!("question {} of `{}`: {problem}", asked.source.index, asked.source.benchmark);
                self.write(asked.record(Outcome::Defective { problem }));
            }
            Prepared::Unreadable(problem) => {
                tracing::warn!("{problem}");
                self.session.unreadable += 1;
            }
        }
        None
    }

    fn take_answer(&mut self, rollout: &Rollout) {
        let Some(asked) = self.open.remove(&rollout.task) else { return };
        let turns = rollout.conversation.turns();
        // Half an answer is none.
        if turns.last().is_some_and(|turn| turn.finish_reason == FinishReason::Cancelled) {
            return;
        }
        let outcome = if let Some(error) = &rollout.error {
            self.session.failed += 1;
            Outcome::Failed { problem: error.to_string() }
        } else {
            let answer = Answer {
                text: rollout.conversation.answer().unwrap_or_default().to_owned(),
                decision: rollout.conversation.decision(),
                turns: turns.iter().map(|turn| turn.text.clone()).collect(),
                ledger: ledger(rollout),
                seconds: seconds(rollout),
            };
            Outcome::Answered { answer }
        };
        self.answered.push((asked, outcome));
    }

    fn end(&mut self, number: usize, outcome: Outcome) {
        if let Some(asked) = self.open.remove(&number) {
            self.answered.push((asked, outcome));
        }
    }

    /// A question that could not be finished; a later run asks it again.
    fn fail(&mut self, number: usize, problem: String) {
        self.session.failed += 1;
        self.end(number, Outcome::Failed { problem });
    }

    /// Records what a step of the engine has ended. Its answers come at one moment and so share the time that led to it.
    fn record(&mut self) {
        if self.answered.is_empty() {
            return;
        }
        let share = self.at.elapsed().as_secs_f64() / self.answered.len() as f64;
        self.at = Instant::now();
        for (asked, mut outcome) in std::mem::take(&mut self.answered) {
            if let Outcome::Answered { answer } = &mut outcome {
                answer.seconds.share = share;
            }
            self.write(asked.record(outcome));
        }
    }

    /// The first error stands; no further question is recorded behind it.
    fn write(&mut self, record: Record) {
        if self.error.is_none() {
            self.error = self.folder.log.write(record).err();
        }
        self.session.questions += 1;
        self.watch.step();
    }
}

//! A curation, from the run file to the rows that are kept.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use visionthink_data::Question as Row;
use visionthink_data::selection::{Selection, Tries};
use visionthink_engine::{
    CancelToken, EmbeddedEngine, EngineOptions, ModelFolder, Picture, Rollout, Task, run as roll_out,
};
use visionthink_image::Processor;
use visionthink_model::Model;
use visionthink_protocol::{Mode, Profile};
use visionthink_reward::Accuracy;
use visionthink_rules::Truth;

use crate::answer_judge::{AnswerJudge, Given, NoVerdicts};
use crate::curate::config::CurateConfig;
use crate::curate::pool;
use crate::curate::progress::{Line, Progress};
use crate::curate::summary::Summary;
use crate::curate::write::{self, Part};
use crate::error::TrainError;
use crate::grpo::by_task;
use crate::manifest::{check_unchanged, write_manifest};
use crate::prompter::Prompter;
use crate::rows::{LeftOut, RowFault, fault, picture};
use crate::training_run::Start;

/// The two resolutions, in the order of [`Tries`].
const MODES: [Mode; 2] = [Mode::Low, Mode::Full];

/// What happens in a curation, as it happens.
#[derive(Debug, Clone, Copy)]
pub enum CurateEvent {
    /// Everything is loaded, and the rows are counted.
    Started {
        /// Questions that can be asked, as far as their rows tell.
        questions: u64,
        /// Of these, questions that an earlier run has asked.
        done: u64,
    },
    /// Some questions are through.
    Asked {
        /// How many since the last event.
        questions: u64,
    },
}

/// How a curation ended.
#[derive(Debug, Clone, PartialEq)]
pub struct CurateReport {
    /// The run folder.
    pub folder: PathBuf,
    /// What came of it; `None` where it was stopped before all questions were asked.
    pub summary: Option<Summary>,
    /// Time spent, in seconds.
    pub seconds: f64,
}

/// Asks, judges, classifies and writes, as the run file says. `model` is on a plain device, `folder` has its files; `stop` ends the run at
/// the next token, and everything that is through stays in `progress.jsonl`; `observe` is told what happens.
///
/// # Errors
/// Anything that keeps the run from starting, [`TrainError::BadRows`], a judge that cannot be reached, a device that fails, or
/// [`TrainError::NothingSelected`].
pub fn curate(
    config: &CurateConfig,
    folder: ModelFolder,
    model: Model,
    start: Start,
    stop: &AtomicBool,
    observe: &mut dyn FnMut(CurateEvent),
) -> Result<CurateReport, TrainError> {
    let began = Instant::now();
    let mut run = Run::prepare(config, folder, model, start)?;
    let questions = run.count()?;
    observe(CurateEvent::Started { questions, done: run.progress.lines.len() as u64 });
    run.ask_all(stop, observe)?;
    let summary = if stop.load(Ordering::Relaxed) { None } else { Some(run.keep()?) };
    Ok(CurateReport { folder: config.folder(), summary, seconds: began.elapsed().as_secs_f64() })
}

/// A question that is about to be asked at both resolutions.
struct Waiting {
    place: u64,
    row: Row,
    tasks: [Task; 2],
}

struct Run<'a> {
    config: &'a CurateConfig,
    prompter: Prompter,
    processor: Arc<Processor>,
    engine: EmbeddedEngine,
    judge: AnswerJudge,
    progress: Progress,
    left_out: LeftOut,
    unjudged: u64,
}

impl<'a> Run<'a> {
    fn prepare(config: &'a CurateConfig, folder: ModelFolder, model: Model, start: Start) -> Result<Self, TrainError> {
        let out = config.folder();
        fs_err::create_dir_all(&out)?;
        let progress = Progress::open(&out, start)?;
        if start == Start::Resume {
            check_unchanged(&out, config)?;
        }
        write_manifest(config, config.run.seed, &out)?;
        let processor =
            folder.processor.clone().ok_or_else(|| TrainError::TextOnly { checkpoint: folder.path.clone() })?;
        let options = EngineOptions { max_rows: config.rollout.max_rows, ..EngineOptions::default() };
        let (path, ceiling) = config
            .data
            .files
            .as_ref()
            .map_or((Path::new("data.synthetic"), 0), |files| (files.path.as_path(), files.max_bad_rows));
        Ok(Self {
            config,
            judge: AnswerJudge::open(&config.judge, &out.join("verdicts"), &model.device())?,
            engine: EmbeddedEngine::new(model, Some(folder.tokenizer.clone()), options),
            prompter: Prompter {
                folder,
                profile: Arc::new(Profile::by_name(&config.data.profile)?),
                max_new_tokens: config.rollout.max_new_tokens,
            },
            processor,
            progress,
            left_out: LeftOut::new(path, ceiling),
            unjudged: 0,
        })
    }

    /// Reads all rows once, so that the end is known, and so is a file of the wrong kind before hours are spent on it.
    fn count(&mut self) -> Result<u64, TrainError> {
        let mut questions = 0;
        for row in pool::rows(&self.config.data)? {
            match fault(&row?.1) {
                Some((fault, rows, why)) => self.left_out.add(fault, rows, &why)?,
                None => questions += 1,
            }
        }
        Ok(questions)
    }

    fn ask_all(&mut self, stop: &AtomicBool, observe: &mut dyn FnMut(CurateEvent)) -> Result<(), TrainError> {
        // Twice as many rollouts as rows: prompts are ready when rows become free.
        let together = self.config.rollout.max_rows.div_ceil(self.config.rollout.rollouts as usize);
        let mut waiting = Vec::with_capacity(together);
        for row in pool::rows(&self.config.data)? {
            let (place, row) = row?;
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            // Counted when the rows were counted.
            if fault(&row).is_some() {
                continue;
            }
            let Ok(row) = row else { continue };
            if self.is_known(place, &row)? {
                continue;
            }
            match self.prepare_question(place, row)? {
                Some(one) => waiting.push(one),
                None => observe(CurateEvent::Asked { questions: 1 }),
            }
            if waiting.len() == together {
                self.ask(std::mem::take(&mut waiting), stop, observe)?;
            }
        }
        self.ask(waiting, stop, observe)
    }

    /// Whether an earlier run has asked it.
    fn is_known(&self, place: u64, row: &Row) -> Result<bool, TrainError> {
        match self.progress.lines.get(&place) {
            None => Ok(false),
            Some(line) if line.id == row.id => Ok(true),
            Some(line) => Err(TrainError::DataChanged {
                folder: self.config.folder(),
                place,
                was: line.id.clone(),
                is: row.id.clone(),
            }),
        }
    }

    /// The tasks of a question; `None` where its row is left out.
    fn prepare_question(&mut self, place: u64, row: Row) -> Result<Option<Waiting>, TrainError> {
        let image = match picture(&row) {
            Ok(image) => image,
            Err(error) => {
                self.left_out.add(RowFault::BrokenImage, 1, &error.to_string())?;
                return Ok(None);
            }
        };
        match self.tasks(place, &row, image) {
            Ok(tasks) => Ok(Some(Waiting { place, row, tasks })),
            Err(error) => {
                self.left_out.add(RowFault::Unfit, 1, &format!("row `{}`: {error}", row.id))?;
                Ok(None)
            }
        }
    }

    fn tasks(&self, place: u64, row: &Row, image: visionthink_image::RgbImage) -> Result<[Task; 2], TrainError> {
        let picture = Arc::new(Picture::new(image, self.processor.clone())?);
        let mut random = question_stream(self.config.run.seed, place);
        let mut task = |mode| {
            let sampling = self.config.sampling(random.next_u64());
            self.prompter.task(&picture, &row.question, mode, sampling, self.config.rollout.rollouts as usize)
        };
        let [low, full] = MODES;
        Ok([task(low)?, task(full)?])
    }

    /// Asks questions together and keeps what came of it.
    fn ask(
        &mut self,
        waiting: Vec<Waiting>,
        stop: &AtomicBool,
        observe: &mut dyn FnMut(CurateEvent),
    ) -> Result<(), TrainError> {
        let questions = waiting.len() as u64;
        let (rows, tasks): (Vec<_>, Vec<_>) = waiting.into_iter().map(|one| ((one.place, one.row), one.tasks)).unzip();
        let cancel = CancelToken::new();
        let answered = roll_out(&mut self.engine, tasks.into_iter().flatten(), &cancel, |_| {
            if stop.load(Ordering::Relaxed) {
                cancel.cancel();
            }
        });
        let answered = by_task(answered, MODES.len() * rows.len());
        // What was cut off would count as wrong answers.
        if stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        if let Some(error) = answered.iter().flatten().next().and_then(|rollout| rollout.error.clone())
            && answered.iter().flatten().all(|rollout| rollout.error.is_some())
        {
            return Err(TrainError::AllFailed(error));
        }
        let lines = self.lines(&rows, &answered, stop)?;
        self.progress.add(lines)?;
        if questions > 0 && !stop.load(Ordering::Relaxed) {
            observe(CurateEvent::Asked { questions });
        }
        Ok(())
    }

    /// The lines of the questions that are judged in full.
    fn lines(
        &mut self,
        rows: &[(u64, Row)],
        answered: &[Vec<Rollout>],
        stop: &AtomicBool,
    ) -> Result<Vec<Line>, TrainError> {
        let mut complete = Vec::with_capacity(rows.len());
        for ((place, row), rollouts) in rows.iter().zip(answered.chunks(MODES.len())) {
            if let Some(error) = rollouts.iter().flatten().find_map(|rollout| rollout.error.as_ref()) {
                self.left_out.add(RowFault::Unfit, 1, &format!("row `{}`: {error}", row.id))?;
                continue;
            }
            complete.push((*place, row, rollouts));
        }
        let truths: Vec<(Vec<&str>, Vec<&str>)> = complete.iter().map(|(_, row, _)| truth(row)).collect();
        let given: Vec<Given<'_>> = complete
            .iter()
            .zip(&truths)
            .flat_map(|((_, row, rollouts), (answers, options))| {
                rollouts.iter().flatten().map(|rollout| Given {
                    question: &row.question,
                    truth: Truth { answers, options },
                    answer: rollout.conversation.answer(),
                })
            })
            .collect();
        let verdicts = match self.judge.judge(&given, stop) {
            // Nobody is told half of a verdict: these questions are asked again.
            Err(NoVerdicts::CalledOff) => return Ok(Vec::new()),
            verdicts => verdicts?,
        };
        let rollouts = self.config.rollout.rollouts;
        let mut lines = Vec::with_capacity(complete.len());
        for ((place, row, _), verdicts) in complete.into_iter().zip(verdicts.chunks(MODES.len() * rollouts as usize)) {
            if verdicts.contains(&Accuracy::Unjudged) {
                self.unjudged += 1;
                continue;
            }
            let right =
                |verdicts: &[Accuracy]| verdicts.iter().filter(|verdict| **verdict == Accuracy::Correct).count() as u32;
            let (low, full) = verdicts.split_at(rollouts as usize);
            let tries = Tries { rollouts, right_low: right(low), right_full: right(full) };
            lines.push(Line { place, id: row.id.clone(), tries, needs_full: row.needs_full });
        }
        Ok(lines)
    }

    /// Classifies, chooses and writes.
    fn keep(&self) -> Result<Summary, TrainError> {
        let Self { config, progress, .. } = self;
        let lines: Vec<&Line> = progress.lines.values().collect();
        let classes: Vec<_> = lines.iter().map(|line| config.classes.class(line.tries)).collect();
        let chosen = config.balance.pick(&classes, config.run.seed);
        let parts = write::parts(chosen.len(), config.output.eval_share, config.run.seed);
        let summary = Summary::new(config, &lines, &classes, &chosen, &parts, &self.left_out, self.unjudged);
        summary.write(&config.folder())?;
        if chosen.is_empty() {
            return Err(TrainError::NothingSelected { folder: config.folder() });
        }
        let selected: BTreeMap<u64, (Selection, Part)> = chosen
            .iter()
            .zip(&parts)
            .map(|(&at, part)| (lines[at].place, (Selection { class: classes[at], tries: lines[at].tries }, *part)))
            .collect();
        write::write(config, &selected)?;
        Ok(summary)
    }
}

fn question_stream(seed: u64, place: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&place.to_le_bytes());
    key[24..].copy_from_slice(b"vt-curat");
    ChaCha8Rng::from_seed(key)
}

/// All answers that are right, and the options.
fn truth(row: &Row) -> (Vec<&str>, Vec<&str>) {
    let answers = std::iter::once(&row.answer).chain(&row.answers).map(String::as_str).collect();
    (answers, row.options.iter().map(String::as_str).collect())
}

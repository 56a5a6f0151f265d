//! One step of GRPO, phase by phase.
//!
//! The step that peers can do too: one turn with the full picture, every group learned from. Beside it the step that this
//! project is for, of two turns.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Context, Result};
use burn::module::Module;
use burn::tensor::Device;
use serde::Serialize;
use visionthink_data::world::{Family, Split, draw_one};
use visionthink_data::{ImageSource, JsonlWriter, Question};
use visionthink_engine::{Backend, ModelFolder};
use visionthink_protocol::Mode;
use visionthink_train::config::FilesSection;
use visionthink_train::grpo::{
    Experience, GrpoConfig, Learner, Questioner, UpdateSettings, judge_rollouts, score_group, update,
};
use visionthink_train::{AnswerJudge, ImageTokens, Optimizer, Parameters, Workers, start_model};

use crate::measure::Row;
use crate::memory;

/// The run file whose settings are measured.
const RUN_FILE: &str = "configs/micro-grpo.toml";
/// Groups of a step.
const GROUPS: usize = 16;
/// Steps; the first warms up and is not counted.
const STEPS: usize = 6;

/// The work, as `workload.json` gives it to the peers.
#[derive(Debug, Serialize)]
struct Workload {
    checkpoint: PathBuf,
    questions: PathBuf,
    groups: usize,
    group_size: usize,
    micro_batch: usize,
    max_new_tokens: usize,
    temperature: f64,
    kl_coefficient: f64,
    lr: f64,
    steps: usize,
    threads: usize,
    seed: u64,
    /// Ids that are never sampled.
    suppressed_ids: Vec<u32>,
}

/// The report, as `visionthink.json` holds it.
#[derive(Debug, Serialize)]
struct Report {
    program: &'static str,
    version: &'static str,
    threads: usize,
    rows: Vec<Row>,
}

/// Measures and writes `workload.json` and `visionthink.json` into `out`; `root` is the repository.
pub(crate) fn run(root: &Path, out: &Path) -> Result<()> {
    std::env::set_current_dir(root).context("the run file's paths start at the repository")?;
    if out.exists() {
        fs_err::remove_dir_all(out)?;
    }
    fs_err::create_dir_all(out)?;
    let mut config = GrpoConfig::from_file(Path::new(RUN_FILE))?;
    config.rollout.groups = GROUPS;
    let questions = draw(out)?;
    config.data.synthetic = None;
    config.data.files = Some(FilesSection { train: questions.clone(), eval: questions.clone(), max_bad_rows: 0 });
    let checkpoint = config.model.checkpoint.clone().context("the run file starts from no checkpoint")?;
    let checkpoint = fs_err::canonicalize(checkpoint)?;
    let workload = Workload {
        suppressed_ids: ModelFolder::open(&checkpoint)?.suppressed_ids().to_vec(),
        checkpoint,
        questions,
        groups: GROUPS,
        group_size: config.rollout.group_size,
        micro_batch: config.step.micro_batch,
        max_new_tokens: config.rollout.max_new_tokens,
        temperature: config.rollout.temperature,
        kl_coefficient: config.policy.kl_coefficient,
        lr: config.optimizer.lr,
        steps: STEPS,
        threads: rayon::current_num_threads(),
        seed: config.run.seed,
    };
    fs_err::write(out.join("workload.json"), serde_json::to_string_pretty(&workload)? + "\n")?;
    let mut rows = Vec::new();
    for (mode, names) in [(Mode::Full, ONE_TURN), (Mode::Adaptive, TWO_TURNS)] {
        config.rollout.mode = mode;
        memory::forget_peak();
        let phases = steps(&config)?;
        rows.extend(phases.rows(names));
        if let (Mode::Full, Some(peak)) = (mode, memory::peak_bytes()) {
            rows.push(Row { name: "peak_memory".to_owned(), unit: "MiB", value: peak as f64 / f64::from(1 << 20) });
        }
    }
    let report = Report { program: "visionthink", version: env!("CARGO_PKG_VERSION"), threads: workload.threads, rows };
    fs_err::write(out.join("visionthink.json"), serde_json::to_string_pretty(&report)? + "\n")?;
    report.print();
    Ok(())
}

/// Names of the rows: step, rollout, learning, and sampled tokens per second.
type Names = [&'static str; 5];

const ONE_TURN: Names = ["grpo_step", "grpo_rollout", "grpo_learning", "grpo_rollout_speed", "grpo_learning_speed"];
const TWO_TURNS: Names = [
    "grpo_step_two_turns",
    "grpo_rollout_two_turns",
    "grpo_learning_two_turns",
    "grpo_rollout_speed_two_turns",
    "grpo_learning_speed_two_turns",
];

/// Questions of all families, as files that peers read too.
fn draw(out: &Path) -> Result<PathBuf> {
    let file = out.join("questions.jsonl");
    let mut writer = JsonlWriter::create(&file)?;
    for index in 0..(GROUPS * STEPS) as u64 {
        let family = Family::ALL[index as usize % Family::ALL.len()];
        let (image, asked) = draw_one(family, Split::Train, 0, index);
        writer.write(&Question {
            id: index.to_string(),
            image: ImageSource::Bytes(image.encode_png()?),
            needs_full: Some(asked.needs_full()),
            question: asked.question,
            answer: asked.answer,
            source: "synthetic".to_owned(),
            family: Some(family.name().to_owned()),
            ..Question::default()
        })?;
    }
    writer.finish()?;
    Ok(file)
}

/// Seconds and tokens, step by step.
#[derive(Debug, Default)]
struct Phases {
    rollout: Vec<f64>,
    learning: Vec<f64>,
    sampled: Vec<f64>,
    /// Prompt tokens that went through the network in all steps, and those taken from the cache of another sample or turn.
    prefilled: u64,
    reused: u64,
}

fn steps(config: &GrpoConfig) -> Result<Phases> {
    let device = Device::flex();
    let checkpoint = config.model.checkpoint.clone().context("the run file starts from no checkpoint")?;
    let model = start_model(&config.model, config.run.seed, &device.clone().autodiff())?;
    let reference = start_model(&config.model, config.run.seed, &device)?;
    let parameters = Parameters::of(&model, &config.model.trainable)?;
    let merge = model.config().vision.as_ref().map_or(1, |vision| vision.spatial_merge_size as u32);
    let image_tokens = ImageTokens { id: model.config().image_token_id(), merge };
    let optimizer = Optimizer::new(config.optimizer.clone(), &parameters);
    let workers = Workers::new(parameters.write_into(model), config.step.workers)?;
    let mut questioner = Questioner::new(config, ModelFolder::open(&checkpoint)?, workers.model().valid())?;
    let mut learner = Learner { workers, parameters, optimizer, reference: Some(reference) };
    let mut judge = AnswerJudge::open(&config.reward.judge, &config.verdicts(), &device)?;
    let mut phases = Phases::default();
    for step in 0..STEPS as u64 {
        let began = Instant::now();
        let generation = questioner.generate(step, 0)?;
        let mut experiences = Vec::new();
        let mut sampled = 0;
        for (asked, rollouts) in generation.asked.iter().zip(&generation.rollouts) {
            let each = rollouts.iter().map(|rollout| (rollout, &asked.question));
            let verdicts = judge_rollouts(&mut judge, each, step, &AtomicBool::new(false))?;
            let group = score_group(rollouts, &verdicts, &config.reward, &config.advantage);
            for (rollout, advantages) in rollouts.iter().zip(&group.advantages) {
                sampled += rollout.usage.completion_tokens;
                experiences.push(Experience::new(rollout, &asked.picture, *advantages)?);
            }
        }
        let generated = began.elapsed().as_secs_f64();
        let settings = UpdateSettings {
            policy: config.policy,
            temperature: config.rollout.temperature,
            step: config.step,
            image_tokens,
            seed: config.run.seed,
            generation: step,
        };
        update(&mut learner, &experiences, &settings, 1.0)?;
        questioner.follow(learner.workers.model().valid());
        if step > 0 {
            phases.rollout.push(generated);
            phases.learning.push(began.elapsed().as_secs_f64() - generated);
            phases.sampled.push(sampled as f64);
        }
    }
    let counters = questioner.engine().counters();
    (phases.prefilled, phases.reused) = (counters.prefilled_tokens as u64, counters.reused_tokens as u64);
    Ok(phases)
}

impl Phases {
    fn rows(&self, [step, rollout, learning, rollout_speed, learning_speed]: Names) -> Vec<Row> {
        let steps: Vec<f64> = self.rollout.iter().zip(&self.learning).map(|(a, b)| a + b).collect();
        let (sampled, seconds) = (median(&self.sampled), median(&self.rollout));
        let row = |name: &str, unit, value| Row { name: name.to_owned(), unit, value };
        vec![
            row(step, "ms", median(&steps) * 1e3),
            row(rollout, "ms", seconds * 1e3),
            row(learning, "ms", median(&self.learning) * 1e3),
            row(rollout_speed, "tokens/s", sampled / seconds),
            row(learning_speed, "tokens/s", sampled / median(&self.learning)),
            row(&format!("{step}_prefilled"), "tokens", self.prefilled as f64),
            row(&format!("{step}_reused"), "tokens", self.reused as f64),
        ]
    }
}

impl Report {
    #[expect(clippy::print_stdout, reason = "a program for a terminal")]
    fn print(&self) {
        println!("a step of GRPO: {GROUPS} groups, {} threads, median of {} steps", self.threads, STEPS - 1);
        for row in &self.rows {
            println!("  {:<30} {:>11.1} {}", row.name, row.value, row.unit);
        }
    }
}

fn median(numbers: &[f64]) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

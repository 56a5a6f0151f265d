//! The run file of a curation.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use visionthink_data::selection::{Balance, Thresholds};
use visionthink_data::world::Family;
use visionthink_engine::Sampling;

use crate::answer_judge::JudgeSection;
use crate::config::{Problems, RunSection, read};
use crate::error::TrainError;

/// A curation: what is asked, how often, who judges, and what is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CurateConfig {
    /// Where it is written and from which seed it is drawn.
    pub run: RunSection,
    /// Who is asked.
    pub model: CurateModelSection,
    /// What is asked.
    pub data: CurateDataSection,
    /// How answers are sampled.
    pub rollout: CurateRolloutSection,
    /// Who says whether an answer is right.
    pub judge: JudgeSection,
    /// Where the classes begin. May be changed when a curation is resumed: nothing is asked again.
    pub classes: Thresholds,
    /// How many questions of each class are kept. May be changed likewise.
    pub balance: Balance,
    /// How they are written. May be changed likewise.
    pub output: OutputSection,
}

/// Who is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CurateModelSection {
    /// A Hugging Face folder.
    pub checkpoint: PathBuf,
}

/// What is asked: either `synthetic` or `files`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CurateDataSection {
    /// The protocol profile: a name that `visionthink_protocol` knows.
    pub profile: String,
    /// Questions about drawn pictures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synthetic: Option<CurateSynthetic>,
    /// Questions from files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<CurateFiles>,
}

/// Questions about pictures of `visionthink_data::world`, of its training split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CurateSynthetic {
    /// Families, in turn.
    pub families: Vec<Family>,
    /// Seed of the pictures and questions.
    pub seed: u64,
    /// How many questions.
    pub questions: u64,
}

/// Questions from files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CurateFiles {
    /// A JSONL or Parquet file, or a `save_to_disk` folder.
    pub path: PathBuf,
    /// Rows that may be without an image, without an answer, unreadable, too long, or have a broken image: they are left out and counted,
    /// and one more ends the run.
    pub max_bad_rows: u64,
}

/// How answers are sampled, at each resolution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CurateRolloutSection {
    /// Answers to a question at each resolution, n.
    pub rollouts: u32,
    /// Temperature of the samples.
    pub temperature: f64,
    /// See [`Sampling`].
    pub top_p: f64,
    /// Longest reply, in tokens.
    pub max_new_tokens: usize,
    /// Rollouts that are decoded together; does not change results.
    pub max_rows: usize,
}

/// How the rows that are kept are written.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputSection {
    /// The share of them that goes to `eval.parquet`; the rest is `train.parquet`.
    pub eval_share: f64,
}

impl CurateConfig {
    /// Reads and checks a run file.
    ///
    /// # Errors
    /// [`TrainError::Config`] with all problems found, each with its place and what was expected.
    pub fn from_file(file: &Path) -> Result<Self, TrainError> {
        Self::from_toml(&fs_err::read_to_string(file)?, file)
    }

    /// The same for text; `file` is named in errors.
    pub fn from_toml(text: &str, file: &Path) -> Result<Self, TrainError> {
        read::complete(Self::without_files(text, file)?, file)
    }

    /// The same, but files and folders that are not there are no error: they are told beside the run file.
    ///
    /// # Errors
    /// [`TrainError::Config`] with everything else.
    pub fn without_files(text: &str, file: &Path) -> Result<(Self, Vec<String>), TrainError> {
        read::checked(text, file, Self::problems)
    }

    /// The run folder.
    pub fn folder(&self) -> PathBuf {
        self.run.out.join(&self.run.name)
    }

    /// The sampling of one question at one resolution.
    pub(crate) fn sampling(&self, seed: u64) -> Sampling {
        Sampling { temperature: self.rollout.temperature, top_p: self.rollout.top_p, seed, ..Sampling::greedy() }
    }

    fn problems(&self) -> Problems {
        let mut found = Problems::default();
        found.run(&self.run);
        found.there("model.checkpoint", &self.model.checkpoint, "a checkpoint folder");
        found.profile(&self.data.profile);
        let data = &self.data;
        found.one_source(data.synthetic.is_some(), data.files.is_some());
        if let Some(files) = &data.files {
            found.there("data.files.path", &files.path, "a file or folder of rows");
        }
        if let Some(synthetic) = &data.synthetic {
            found.need(!synthetic.families.is_empty(), "data.synthetic.families", "empty", "at least one family");
            found.need(synthetic.questions > 0, "data.synthetic.questions", 0, "at least 1");
        }
        let rollout = &self.rollout;
        found.need((1..=1024).contains(&rollout.rollouts), "rollout.rollouts", rollout.rollouts, "1 to 1024");
        let warm = rollout.temperature.is_finite() && rollout.temperature > 0.0;
        found.need(warm, "rollout.temperature", rollout.temperature, "more than zero: equal answers count nothing");
        found.need(rollout.top_p > 0.0 && rollout.top_p <= 1.0, "rollout.top_p", rollout.top_p, "more than 0, up to 1");
        found.need(rollout.max_new_tokens > 0, "rollout.max_new_tokens", rollout.max_new_tokens, "at least 1");
        found.need((1..=4096).contains(&rollout.max_rows), "rollout.max_rows", rollout.max_rows, "1 to 4096");
        found.add_all(self.judge.problems("judge"));
        found.add_all(self.classes.problems(rollout.rollouts));
        found.add_all(self.balance.problems());
        let share = self.output.eval_share;
        found.need((0.0..1.0).contains(&share), "output.eval_share", share, "0 to below 1");
        found
    }
}

//! The run file of reinforcement learning.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use visionthink_engine::Sampling;
use visionthink_protocol::{Mode, Profile, ProfileName};
use visionthink_reward::{
    AdvantageRule, Credit, FormatRules, LengthPenalty, Overlong, PenaltyRule, Precision, Weights,
};

use crate::answer_judge::JudgeSection;
use crate::config::{
    CheckpointSection, FilesSection, ModelSection, OptimizerSection, RunSection, ScheduleSection, StepSection,
    SyntheticSection, read,
};
use crate::error::TrainError;
use crate::policy::PolicySection;

/// A training run by reinforcement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrpoConfig {
    /// Where it is written and from which seed it is drawn.
    pub run: RunSection,
    /// What is trained; starts from a checkpoint.
    pub model: ModelSection,
    /// What is asked.
    pub data: QuestionSection,
    /// How answers are sampled.
    pub rollout: RolloutSection,
    /// What answers are worth.
    pub reward: RewardSection,
    /// How rewards become advantages.
    pub advantage: AdvantageSection,
    /// How advantages become a loss.
    pub policy: PolicySection,
    /// The optimizer.
    pub optimizer: OptimizerSection,
    /// The learning rate over the generations; all optimizer steps of one generation have the same.
    pub schedule: ScheduleSection,
    /// How a step is cut into passes.
    pub step: StepSection,
    /// When training is saved.
    pub checkpoint: CheckpointSection,
    /// When training is measured.
    pub log: GrpoLogSection,
}

/// What is asked: either `synthetic` or `files`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuestionSection {
    /// The protocol profile: a name that `visionthink_protocol` knows.
    pub profile: String,
    /// The share of questions that need the full image, where the data says so. Which one is which is never told to the reward.
    pub hard_share: f64,
    /// Questions about drawn pictures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synthetic: Option<SyntheticSection>,
    /// Questions from files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<FilesSection>,
}

/// How answers are sampled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RolloutSection {
    /// Steps, each with rollouts of its own; a step has `policy.epochs` times `policy.mini_batches` steps of the optimizer.
    pub steps: u64,
    /// Which view comes first, and whether the tool is there: `adaptive`, or `full` for the general recipe.
    pub mode: Mode,
    /// Groups of a step.
    pub groups: usize,
    /// Rollouts of a group, which answer one question.
    pub group_size: usize,
    /// Temperature of the samples.
    pub temperature: f64,
    /// See [`Sampling`].
    pub top_p: f64,
    /// Longest reply, in tokens.
    pub max_new_tokens: usize,
    /// Rollouts that are decoded together.
    pub max_rows: usize,
    /// Generations after which a step that is still short of groups with a spread is given up.
    pub max_generations: usize,
}

/// What answers are worth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RewardSection {
    /// Who says whether an answer is right.
    pub judge: JudgeSection,
    /// A folder that keeps the verdicts of a language model, which several runs may share; `verdicts` in the run folder without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdicts: Option<PathBuf>,
    /// The layout that transcripts should have.
    pub format: FormatRules,
    /// What each part weighs.
    pub weights: Weights,
    /// What calling, or not calling, costs.
    pub control: PenaltyRule,
}

/// How rewards become advantages.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdvantageSection {
    /// See [`AdvantageRule`].
    pub normalise_std: bool,
    /// See [`AdvantageRule`].
    pub precision: Precision,
    /// Which tokens a reward is credited to.
    #[serde(default)]
    pub credit: Credit,
    /// What becomes of responses that are too long.
    #[serde(default)]
    pub overlong: Overlong,
}

impl AdvantageSection {
    /// The arithmetic.
    pub fn rule(&self) -> AdvantageRule {
        AdvantageRule { normalise_std: self.normalise_std, precision: self.precision }
    }
}

/// When training is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrpoLogSection {
    /// Steps between lines of `metrics.jsonl`.
    pub every: u64,
    /// Steps between samples of rollouts, and between reports; the last step is always sampled.
    pub sample_every: u64,
    /// Steps between evaluations; the last step is always evaluated.
    pub eval_every: u64,
    /// Held-out pictures an evaluation; each gives a question that needs the full image and one that does not.
    pub eval_questions: usize,
}

impl GrpoConfig {
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

    /// Where the verdicts of a language model are kept.
    pub fn verdicts(&self) -> PathBuf {
        self.reward.verdicts.clone().unwrap_or_else(|| self.folder().join("verdicts"))
    }

    /// The sampling of one group.
    pub(crate) fn sampling(&self, seed: u64) -> Sampling {
        Sampling { temperature: self.rollout.temperature, top_p: self.rollout.top_p, seed, ..Sampling::greedy() }
    }

    /// All violations beyond types.
    fn problems(&self) -> crate::config::Problems {
        let mut found = crate::config::Problems::default();
        found.run(&self.run);
        found.model(&self.model);
        found.lora(&self.model, &self.optimizer);
        if self.model.checkpoint.is_none() {
            found.add("`model.checkpoint` is missing; reinforcement starts from a model that can answer");
        }
        found.sources(self.data.synthetic.as_ref(), self.data.files.as_ref());
        found.profile(&self.data.profile);
        found.need((0.0..=1.0).contains(&self.data.hard_share), "data.hard_share", self.data.hard_share, "0 to 1");
        let rollout = &self.rollout;
        found.need(rollout.steps > 0, "rollout.steps", rollout.steps, "at least 1");
        found.need(rollout.mode != Mode::Low, "rollout.mode", "`low`", "`adaptive` or `full`");
        match rollout.mode {
            Mode::Adaptive => {
                let name = self.data.profile.parse::<ProfileName>();
                let tool_less = name.is_ok_and(|name| Profile::from(name).tool.is_none());
                let without = format!("`adaptive`, and profile `{}` has no tool", self.data.profile);
                found.need(!tool_less, "rollout.mode", without, "`full`, or a profile with the tool");
            }
            // A rule that can never apply would be read as one that does.
            Mode::Full | Mode::Low => found.need(
                matches!(self.reward.control, PenaltyRule::Never {}),
                "reward.control",
                "a rule about calls",
                "`{ rule = \"never\" }`: without the tool on offer there is no call to price",
            ),
        }
        let numbered = 1..=crate::grpo::generation::MOST_NUMBERED;
        found.need(numbered.contains(&rollout.groups), "rollout.groups", rollout.groups, "1 to 1024");
        let draws = rollout.max_generations;
        found.need(numbered.contains(&draws), "rollout.max_generations", draws, "1 to 1024");
        found.need(
            rollout.group_size >= 2,
            "rollout.group_size",
            rollout.group_size,
            "at least 2: advantages compare the answers of a group",
        );
        found.need(
            rollout.temperature.is_finite() && rollout.temperature > 0.0,
            "rollout.temperature",
            rollout.temperature,
            "more than zero: equal answers have no spread",
        );
        found.need(rollout.top_p > 0.0 && rollout.top_p <= 1.0, "rollout.top_p", rollout.top_p, "more than 0, up to 1");
        found.need(rollout.max_new_tokens > 0, "rollout.max_new_tokens", rollout.max_new_tokens, "at least 1");
        found.need(rollout.max_rows > 0, "rollout.max_rows", rollout.max_rows, "at least 1");
        if let Credit::Turns { tool_weight } = self.advantage.credit {
            let key = "advantage.credit.turns.tool_weight";
            found.need(tool_weight.is_finite() && tool_weight >= 0.0, key, tool_weight, "zero or more");
        }
        if let Overlong::Soft(LengthPenalty { penalty, .. }) = self.advantage.overlong {
            let key = "advantage.overlong.soft.penalty";
            found.need(penalty.is_finite() && penalty >= 0.0, key, penalty, "zero or more");
        }
        let policy = &self.policy;
        found.need((1..=1024).contains(&policy.epochs), "policy.epochs", policy.epochs, "1 to 1024");
        let parts = policy.mini_batches;
        let rollouts = rollout.groups.saturating_mul(rollout.group_size);
        found.need(
            (1..=rollouts).contains(&parts),
            "policy.mini_batches",
            parts,
            &format!("1 to {rollouts}, the rollouts of a generation"),
        );
        found.need((0.0..1.0).contains(&policy.clip_low), "policy.clip_low", policy.clip_low, "0 to below 1");
        for (key, value) in [
            ("policy.clip_high", policy.clip_high),
            ("policy.kl_coefficient", policy.kl_coefficient),
            ("policy.entropy_coefficient", policy.entropy_coefficient),
            ("reward.weights.accuracy", self.reward.weights.accuracy),
            ("reward.weights.format", self.reward.weights.format),
        ] {
            found.need(value.is_finite() && value >= 0.0, key, value, "zero or more");
        }
        for problem in self.reward.judge.problems("reward.judge") {
            found.add(problem);
        }
        found.optimizer(&self.optimizer);
        found.schedule(&self.schedule, rollout.steps, "`rollout.steps` is");
        found.step(&self.step);
        found.saving(&self.checkpoint);
        found.need(self.log.every > 0, "log.every", 0, "at least 1");
        found.need(self.log.sample_every > 0, "log.sample_every", 0, "at least 1");
        found.need(self.log.eval_every > 0, "log.eval_every", 0, "at least 1");
        found
    }
}

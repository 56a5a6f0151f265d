//! Rollouts to look at: `rollouts/step-N.jsonl`, one line a rollout, with the pictures beside it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use visionthink_engine::{Picture, Rollout};
use visionthink_image::{full_view, low_view};
use visionthink_protocol::{Decision, View};
use visionthink_reward::{Accuracy, Format, Weights};

use crate::error::TrainError;
use crate::grpo::generation::Asked;
use crate::grpo::scoring::Group;
use crate::replace::replace_file;

/// Questions whose rollouts are kept.
const SAMPLED_QUESTIONS: usize = 6;

/// A question with its rollouts and what they are worth.
pub(crate) type Answered = (Asked, Vec<Rollout>, Group);

/// One rollout as `rollouts/step-N.jsonl` has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SampledRollout {
    /// The step that learned from it.
    pub step: u64,
    /// Which question of the file, from 0.
    pub group: usize,
    /// Which rollout of the question.
    pub sample: usize,
    /// The question.
    pub question: String,
    /// The kind of picture.
    pub family: String,
    /// Whether the question needs the full image, where the data says so; the reward never knows.
    pub needs_full: bool,
    /// The answer that counts as right.
    pub expected: String,
    /// The model's text, turn by turn.
    pub turns: Vec<String>,
    /// What the first turn was.
    pub decision: Decision,
    /// The answer read from the last turn.
    pub answer: Option<String>,
    /// Whether it is right.
    pub accuracy: Accuracy,
    /// The format rule that broke, in words.
    pub broken_format: Option<String>,
    /// What it is worth.
    pub reward: SampledReward,
    /// How much better it is than its group: of the turn that answered, of all tokens where nothing was called.
    pub advantage: f64,
    /// The same of the turn that called.
    pub call_advantage: Option<f64>,
    /// Sampled tokens.
    pub completion_tokens: usize,
    /// Image tokens shown.
    pub image_tokens: usize,
    /// The images shown, in order.
    pub images: Vec<SampledImage>,
    /// Why it could not be finished.
    pub error: Option<String>,
}

/// The parts of a reward: `total = accuracy + format - penalty`, and what its length takes off; 0 where nobody judged the answer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SampledReward {
    /// For the answer.
    pub accuracy: f64,
    /// For the layout.
    pub format: f64,
    /// For how the answer was reached, not negative.
    pub penalty: f64,
    /// What the advantage is made of.
    pub total: f64,
}

/// An image that a rollout was shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SampledImage {
    /// Which view of the picture.
    pub view: View,
    /// The PNG file, relative to the folder of the `jsonl` file.
    pub file: PathBuf,
}

/// Writes the rollouts of a few questions of a step below `run_folder` and returns the `jsonl` file.
///
/// # Errors
/// A file cannot be written, or a view cannot be made.
pub(crate) fn write_samples(
    run_folder: &Path,
    step: u64,
    answered: &[Answered],
    weights: &Weights,
) -> Result<PathBuf, TrainError> {
    let folder = run_folder.join("rollouts");
    fs_err::create_dir_all(folder.join(format!("step-{step}")))?;
    let mut lines = String::new();
    for (place, index) in chosen(answered).into_iter().enumerate() {
        let one = &answered[index];
        for view in shown(&one.1) {
            write_png(&folder.join(png(step, place, view)), &one.0.picture, view)?;
        }
        for at in 0..one.1.len() {
            let sampled = SampledRollout::new(one, at, place, step, weights);
            lines.push_str(&serde_json::to_string(&sampled).expect("texts and numbers have a JSON form"));
            lines.push('\n');
        }
    }
    let file = folder.join(format!("step-{step}.jsonl"));
    replace_file(&file, &lines)?;
    Ok(file)
}

/// Reads a file of sampled rollouts.
///
/// # Errors
/// A file that cannot be read, or a line that is no sampled rollout.
pub fn read_samples(file: &Path) -> Result<Vec<SampledRollout>, TrainError> {
    let text = fs_err::read_to_string(file)?;
    let read = |(number, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|error| TrainError::Rollouts {
            file: file.to_path_buf(),
            line: number + 1,
            problem: error.to_string(),
        })
    };
    text.lines().enumerate().map(read).collect()
}

/// Places of the questions to keep: first one of every kind, then those that come first.
fn chosen(answered: &[Answered]) -> Vec<usize> {
    let mut kinds = BTreeSet::new();
    let (new, seen): (Vec<usize>, Vec<usize>) = (0..answered.len()).partition(|index| {
        let asked = &answered[*index].0;
        kinds.insert((asked.family.as_str(), asked.question.needs_full))
    });
    new.into_iter().chain(seen).take(SAMPLED_QUESTIONS).collect()
}

/// Views that any of the rollouts saw.
fn shown(rollouts: &[Rollout]) -> Vec<View> {
    let saw = |view| rollouts.iter().flat_map(|rollout| rollout.conversation.images()).any(|image| image.view == view);
    [View::Low, View::Full].into_iter().filter(|view| saw(*view)).collect()
}

fn write_png(file: &Path, picture: &Picture, view: View) -> Result<(), TrainError> {
    let png = match view {
        View::Low => low_view(picture.image())?.encode_png()?,
        View::Full => full_view(picture.image())?.encode_png()?,
    };
    Ok(fs_err::write(file, png)?)
}

impl SampledRollout {
    /// The `at`-th rollout of a question, as the `place`-th question of the file.
    fn new((asked, rollouts, group): &Answered, at: usize, place: usize, step: u64, weights: &Weights) -> Self {
        let (rollout, response) = (&rollouts[at], &group.responses[at]);
        let conversation = &rollout.conversation;
        let scores = response.scores(weights);
        let images = conversation.images().iter();
        Self {
            step,
            group: place,
            sample: rollout.sample,
            question: asked.question.text.clone(),
            family: asked.family.clone(),
            needs_full: asked.question.needs_full,
            expected: asked.question.answer.clone(),
            turns: conversation.turns().iter().map(|turn| turn.text.clone()).collect(),
            decision: conversation.decision(),
            answer: conversation.answer().map(str::to_owned),
            accuracy: response.accuracy,
            broken_format: match &response.format {
                Format::Ok => None,
                Format::Broken(fault) => Some(fault.to_string()),
            },
            reward: SampledReward {
                accuracy: scores.map_or(0.0, |scores| scores.accuracy),
                format: scores.map_or(0.0, |scores| scores.format),
                penalty: scores.map_or(0.0, |_| response.control.penalty.amount()),
                total: group.rewards[at],
            },
            advantage: group.advantages[at].answer,
            call_advantage: (conversation.decision() == Decision::Resize).then_some(group.advantages[at].call),
            completion_tokens: rollout.usage.completion_tokens,
            image_tokens: rollout.usage.image_tokens,
            images: images.map(|image| SampledImage { view: image.view, file: png(step, place, image.view) }).collect(),
            error: rollout.error.as_ref().map(ToString::to_string),
        }
    }
}

/// The file of a picture, relative to the folder of rollouts.
fn png(step: u64, place: usize, view: View) -> PathBuf {
    let name = if view == View::Low { "low" } else { "full" };
    PathBuf::from(format!("step-{step}/{place}-{name}.png"))
}

//! A quick look at held-out questions while training goes on.
//!
//! Answers are not generated: the right one is given to the model, and it counts as known where every one of its tokens, tags and end
//! included, is the most likely one. That is what greedy decoding would have to sample.

use std::collections::BTreeMap;

use burn::module::Module;
use burn::tensor::activation::softmax;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use visionthink_model::ModelError;

use crate::batch::{ImageTokens, MicroBatch, micro_batches};
use crate::error::TrainError;
use crate::log::Record;
use crate::pass::{for_each_chunk, hits};
use crate::source::{Source, pick_questions};
use crate::transcript::{Shown, TargetKind, Transcript, TranscriptBuilder};
use crate::workers::Workers;

/// Held-out questions, ready to be asked.
#[derive(Debug)]
pub struct HeldOut {
    batches: Vec<MicroBatch>,
    /// What each row of each batch is.
    rows: Vec<Vec<Key>>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    shown: Shown,
    needs_full: bool,
    family: String,
    topic: String,
}

/// A share of right answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Share {
    /// Right answers.
    pub right: usize,
    /// Questions.
    pub of: usize,
}

impl Share {
    pub(crate) fn add(&mut self, right: bool) {
        self.right += usize::from(right);
        self.of += 1;
    }

    /// `right / of`; not a number without questions.
    pub fn value(self) -> f64 {
        self.right as f64 / self.of as f64
    }
}

/// What an evaluation found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Evaluation {
    /// Steps done when it was made.
    pub step: u64,
    /// By view and need of the full image: `full/easy`, `low/hard` and so on.
    pub by_need: BTreeMap<String, Share>,
    /// By view, family and topic: `full/scene/code` and so on.
    pub by_topic: BTreeMap<String, Share>,
    /// Mean probability that the first token calls the tool, for easy and hard questions, where the tool was offered.
    pub resize_probability: BTreeMap<&'static str, f64>,
}

impl Evaluation {
    /// The numbers for the logs, below `eval/`.
    pub fn record(&self) -> Record {
        let mut record = Record::new(self.step);
        for (name, share) in self.by_need.iter().chain(&self.by_topic) {
            record.put(format!("eval/{name}"), share.value());
        }
        for (need, probability) in &self.resize_probability {
            record.put(format!("eval/resize_probability/{need}"), *probability);
        }
        record
    }
}

impl HeldOut {
    /// Asks an easy and a hard question about each of `pictures` held-out pictures, where they have them, in each of `views`.
    ///
    /// # Errors
    /// An image that cannot be read, or a transcript that does not fit the context.
    pub fn new(
        source: &Source,
        builder: &TranscriptBuilder,
        views: &[Shown],
        pictures: usize,
        batch_size: usize,
        image_tokens: ImageTokens,
    ) -> Result<Self, TrainError> {
        let mut groups: BTreeMap<Shown, Vec<(Key, Transcript)>> = BTreeMap::new();
        for index in 0..source.held_out_count().map_or(pictures, |count| pictures.min(count)) {
            let example = source.held_out(index)?;
            let mut random = ChaCha8Rng::seed_from_u64(index as u64);
            for needs_full in [false, true] {
                let of_kind: Vec<_> =
                    example.questions.iter().filter(|one| one.needs_full == needs_full).cloned().collect();
                if of_kind.is_empty() {
                    continue;
                }
                let questions = pick_questions(of_kind, 1, f64::from(u8::from(needs_full)), &mut random);
                for &shown in views {
                    let key =
                        Key { shown, needs_full, family: example.family.clone(), topic: questions[0].topic.clone() };
                    groups.entry(shown).or_default().push((key, builder.build(&example.image, &questions, shown)?));
                }
            }
        }
        let (mut batches, mut rows) = (Vec::new(), Vec::new());
        for mut group in groups.into_values() {
            // The order in which `micro_batches` will put them.
            group.sort_by_key(|(_, transcript)| transcript.ids.len());
            let (keys, transcripts): (Vec<_>, Vec<_>) = group.into_iter().unzip();
            rows.extend(keys.chunks(batch_size).map(<[Key]>::to_vec));
            batches.extend(micro_batches(transcripts, batch_size, image_tokens)?);
        }
        Ok(Self { batches, rows })
    }

    /// Asks the model.
    ///
    /// # Errors
    /// The model refuses a batch.
    pub fn evaluate(&self, workers: &Workers, call_id: Option<u32>, step: u64) -> Result<Evaluation, ModelError> {
        let results = workers.run(&self.batches, |model, batch| ask(&model.valid(), batch, call_id));
        let mut evaluation = Evaluation { step, ..Evaluation::default() };
        let mut probabilities: BTreeMap<&'static str, Vec<f64>> = BTreeMap::new();
        for (result, keys) in results.into_iter().zip(&self.rows) {
            for (answered, key) in result?.into_iter().zip(keys) {
                let need = if key.needs_full { "hard" } else { "easy" };
                let view = key.shown.name();
                evaluation.by_need.entry(format!("{view}/{need}")).or_default().add(answered.right);
                evaluation
                    .by_topic
                    .entry(format!("{view}/{}/{}", key.family, key.topic))
                    .or_default()
                    .add(answered.right);
                if let Some(probability) = answered.call_probability {
                    probabilities.entry(need).or_default().push(probability);
                }
            }
        }
        let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
        evaluation.resize_probability = probabilities.into_iter().map(|(need, values)| (need, mean(values))).collect();
        Ok(evaluation)
    }
}

/// Targets whose logits are in memory at a time; does not change results.
const LOGIT_CHUNK: usize = 512;

/// How one question went.
struct Answered {
    right: bool,
    /// Probability of a call, where there was a choice.
    call_probability: Option<f64>,
}

fn ask(
    model: &visionthink_model::Model,
    batch: &MicroBatch,
    call_id: Option<u32>,
) -> Result<Vec<Answered>, ModelError> {
    let mut answered: Vec<Answered> =
        batch.ids.iter().map(|_| Answered { right: true, call_probability: None }).collect();
    for_each_chunk(model, batch, LOGIT_CHUNK, |rows, logits| {
        let decided = batch.targets[rows.clone()].iter().any(|target| target.kind == TargetKind::Decision);
        let call = call_id.map(|id| id as usize).filter(|id| decided && *id < logits.dims()[1]);
        let of_call: Vec<f32> = call.map_or_else(Vec::new, |id| {
            softmax(logits.clone(), 1).narrow(1, id, 1).try_to_vec_as().expect("floats read back")
        });
        for ((at, hit), nth) in rows.clone().zip(hits(logits, batch, rows)).zip(0..) {
            let row = &mut answered[batch.sequences[at]];
            match batch.targets[at].kind {
                TargetKind::Answer | TargetKind::Tag => row.right &= hit,
                TargetKind::Call => {}
                TargetKind::Decision => row.call_probability = of_call.get::<usize>(nth).map(|value| f64::from(*value)),
            }
        }
    })?;
    Ok(answered)
}

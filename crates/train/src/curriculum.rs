//! Which transcripts a step learns from.

use std::sync::Arc;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use visionthink_data::selection::Need;

use crate::batch::{ImageTokens, MicroBatch, micro_batches};
use crate::config::{ResizeShare, StageSection, TrainConfig};
use crate::error::TrainError;
use crate::source::{Example, Source, pick_questions};
use crate::transcript::{Shown, Transcript, TranscriptBuilder};

/// Makes the batches of a run. What a step gets depends on the run file and the number of the step alone.
#[derive(Debug)]
pub struct Curriculum {
    config: TrainConfig,
    source: Arc<Source>,
    builder: Arc<TranscriptBuilder>,
    image_tokens: ImageTokens,
}

impl Curriculum {
    /// A curriculum over the stages of `config`.
    pub fn new(
        config: TrainConfig,
        source: Arc<Source>,
        builder: Arc<TranscriptBuilder>,
        image_tokens: ImageTokens,
    ) -> Self {
        Self { config, source, builder, image_tokens }
    }

    /// The micro-batches of a step (from 0).
    ///
    /// # Errors
    /// An image that cannot be read, or a transcript that does not fit the context.
    pub fn batches(&self, step: u64) -> Result<Vec<MicroBatch>, TrainError> {
        let stage = self.config.stage_at(step);
        let transcripts =
            (0..stage.batch_size).map(|slot| self.transcript(stage, step, slot)).collect::<Result<_, _>>()?;
        Ok(micro_batches(transcripts, self.config.step.micro_batch, self.image_tokens)?)
    }

    fn transcript(&self, stage: &StageSection, step: u64, slot: usize) -> Result<Transcript, TrainError> {
        let mut random = slot_stream(self.config.run.seed, step, slot);
        let (view, hard_share) = draw_view(stage, &mut random);
        // Steps have fewer than 2^20 slots, so no picture is drawn twice.
        let mut example = self.source.train(step << 20 | slot as u64, stage.close_up_share, &mut random)?;
        let shown = match view {
            Drawn::View(shown) => shown,
            Drawn::ByClass => shown_by_class(&mut example)?,
        };
        let questions = pick_questions(example.questions, stage.questions_per_image, hard_share, &mut random);
        self.builder.build(&example.image, &questions, shown)
    }
}

fn slot_stream(seed: u64, step: u64, slot: usize) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&step.to_le_bytes());
    key[16..24].copy_from_slice(&(slot as u64).to_le_bytes());
    key[24..].copy_from_slice(b"vt-train");
    ChaCha8Rng::from_seed(key)
}

/// How an image is going to be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Drawn {
    /// So.
    View(Shown),
    /// With the tool on offer; whether it is called is for the class of the row to say.
    ByClass,
}

/// A view, and the share of questions that need the full image. The coin between calling and answering is thrown before any question
/// is known, so it tells nothing about need.
fn draw_view(stage: &StageSection, random: &mut ChaCha8Rng) -> (Drawn, f64) {
    let (mixture, hard) = (&stage.mixture, &stage.hard_share);
    let draw = random.random_range(0.0..mixture.full + mixture.low + mixture.adaptive);
    if draw < mixture.full {
        return (Drawn::View(Shown::Full), hard.full);
    }
    if draw < mixture.full + mixture.low {
        return (Drawn::View(Shown::Low), hard.low);
    }
    let view = match stage.resize_share {
        ResizeShare::Coin(share) if random.random_bool(share) => Drawn::View(Shown::Resized),
        ResizeShare::Coin(_) => Drawn::View(Shown::Direct),
        ResizeShare::ByClass(_) => Drawn::ByClass,
    };
    (view, hard.adaptive)
}

/// Calls the tool where rollouts have shown that the question needs the full image. What the row itself says about need is
/// overwritten: nothing of it reaches the transcript.
fn shown_by_class(example: &mut Example) -> Result<Shown, TrainError> {
    let shown = match example.class {
        Some(Need::SolvableLow) => Shown::Direct,
        Some(Need::NeedsFull) => Shown::Resized,
        Some(Need::Neither) => {
            return Err(TrainError::NoClass { id: example.id.clone(), found: "is of class `neither`" });
        }
        None => return Err(TrainError::NoClass { id: example.id.clone(), found: "has no class" }),
    };
    for question in &mut example.questions {
        question.needs_full = shown == Shown::Resized;
    }
    Ok(shown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::PerView;
    use crate::source::Question;

    #[test]
    fn views_are_drawn_in_the_shares_of_the_mixture() {
        let stage = StageSection {
            name: "mixed".to_string(),
            steps: 1,
            batch_size: 1,
            questions_per_image: 1,
            resize_share: ResizeShare::Coin(0.5),
            close_up_share: 0.0,
            mixture: PerView { full: 2.0, low: 1.0, adaptive: 1.0 },
            hard_share: PerView { full: 0.5, low: 0.0, adaptive: 0.25 },
        };
        let mut counts = [0; 4];
        for step in 0..4000 {
            let (view, hard_share) = draw_view(&stage, &mut slot_stream(1, step, 0));
            let Drawn::View(shown) = view else { panic!("{view:?}") };
            counts[shown as usize] += 1;
            assert_eq!(hard_share, [0.5, 0.0, 0.25, 0.25][shown as usize]);
        }
        for (count, expected) in counts.into_iter().zip([2000_i32, 1000, 500, 500]) {
            assert!((count - expected).abs() < expected / 8, "{counts:?}");
        }
    }

    fn example(class: Option<Need>, label: bool) -> Example {
        let question = Question { text: "What?".into(), answer: "7".into(), topic: "code".into(), needs_full: label };
        let image = visionthink_image::RgbImage::new(28, 28, vec![0; 28 * 28 * 3]).unwrap();
        Example { image, id: "a".into(), family: "scene".into(), class, questions: vec![question] }
    }

    #[test]
    fn the_class_of_a_row_decides_about_the_call_and_its_label_about_nothing() {
        for label in [false, true] {
            let mut low = example(Some(Need::SolvableLow), label);
            assert_eq!(shown_by_class(&mut low).unwrap(), Shown::Direct);
            assert!(!low.questions[0].needs_full);
            let mut full = example(Some(Need::NeedsFull), label);
            assert_eq!(shown_by_class(&mut full).unwrap(), Shown::Resized);
            assert!(full.questions[0].needs_full);
        }
    }

    #[test]
    fn a_row_without_a_class_is_named() {
        for class in [None, Some(Need::Neither)] {
            let error = shown_by_class(&mut example(class, true)).unwrap_err().to_string();
            assert!(error.contains("row `a`") && error.contains("visionthink curate"), "{error}");
        }
    }
}

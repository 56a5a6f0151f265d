//! Which transcripts a step learns from.

use std::sync::Arc;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::batch::{ImageTokens, MicroBatch, micro_batches};
use crate::config::{StageSection, TrainConfig};
use crate::error::TrainError;
use crate::source::{Source, pick_questions};
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
        let (shown, hard_share) = draw_view(stage, &mut random);
        // Steps have fewer than 2^20 slots, so no picture is drawn twice.
        let example = self.source.train(step << 20 | slot as u64, stage.close_up_share, &mut random)?;
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

/// A view, and the share of questions that need the full image. The coin between calling and answering is thrown before any question
/// is known, so it tells nothing about need.
fn draw_view(stage: &StageSection, random: &mut ChaCha8Rng) -> (Shown, f64) {
    let (mixture, hard) = (&stage.mixture, &stage.hard_share);
    let draw = random.random_range(0.0..mixture.full + mixture.low + mixture.adaptive);
    if draw < mixture.full {
        (Shown::Full, hard.full)
    } else if draw < mixture.full + mixture.low {
        (Shown::Low, hard.low)
    } else if random.random_bool(stage.resize_share) {
        (Shown::Resized, hard.adaptive)
    } else {
        (Shown::Direct, hard.adaptive)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::PerView;

    #[test]
    fn views_are_drawn_in_the_shares_of_the_mixture() {
        let stage = StageSection {
            name: "mixed".to_string(),
            steps: 1,
            batch_size: 1,
            questions_per_image: 1,
            resize_share: 0.5,
            close_up_share: 0.0,
            mixture: PerView { full: 2.0, low: 1.0, adaptive: 1.0 },
            hard_share: PerView { full: 0.5, low: 0.0, adaptive: 0.25 },
        };
        let mut counts = [0; 4];
        for step in 0..4000 {
            let (shown, hard_share) = draw_view(&stage, &mut slot_stream(1, step, 0));
            counts[shown as usize] += 1;
            assert_eq!(hard_share, [0.5, 0.0, 0.25, 0.25][shown as usize]);
        }
        for (count, expected) in counts.into_iter().zip([2000_i32, 1000, 500, 500]) {
            assert!((count - expected).abs() < expected / 8, "{counts:?}");
        }
    }
}

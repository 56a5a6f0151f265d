//! Log-probabilities of given completions.

use std::sync::Arc;

use burn::Tensor;
use burn::tensor::Int;
use visionthink_image::Patches;
use visionthink_model::kernels::cross_entropy_rows;
use visionthink_model::{MropeBatch, MropePositions, PositionCursor};

use crate::engine::{EmbeddedEngine, read};
use crate::error::EngineError;
use crate::queue::similar_lengths;

/// A text whose end is to be scored.
#[derive(Debug, Clone)]
pub struct ScoreRequest {
    /// Prompt and completion, images expanded.
    pub ids: Vec<u32>,
    /// The images whose placeholders are in `ids`, in order.
    pub images: Vec<Arc<Patches>>,
    /// Where the completion begins; at least 1.
    pub from: usize,
}

/// Most logits that exist at once, 16 MiB in f32.
const MAX_LOGITS: usize = 1 << 22;

impl EmbeddedEngine {
    /// Natural log-probabilities of `ids[from..]`, each given all ids in front of it, from the plain softmax of the
    /// logits. Logits are computed for these positions only, a few rows at a time.
    ///
    /// Shape: per request one number per id of the completion.
    ///
    /// # Errors
    /// [`EngineError::ScoreRange`], [`EngineError::PromptTooLong`], ids or images that do not fit the model;
    /// [`EngineError::PrunedScore`].
    pub fn score(&mut self, requests: &[ScoreRequest]) -> Result<Vec<Vec<f32>>, EngineError> {
        let mut positions = Vec::with_capacity(requests.len());
        for request in requests {
            positions.push(self.check_score(request)?);
        }
        let lengths: Vec<usize> = requests.iter().map(|request| request.ids.len()).collect();
        let mut scores = vec![Vec::new(); requests.len()];
        for group in similar_lengths(&lengths) {
            let longest = group.iter().map(|index| lengths[*index]).max().unwrap_or(1);
            for group in group.chunks((self.options.max_prefill_tokens / longest).max(1)) {
                let requests: Vec<&ScoreRequest> = group.iter().map(|index| &requests[*index]).collect();
                let positions: Vec<MropePositions> =
                    group.iter().map(|index| std::mem::take(&mut positions[*index])).collect();
                for (index, score) in group.iter().zip(self.score_batch(&requests, &positions)?) {
                    scores[*index] = score;
                }
            }
        }
        Ok(scores)
    }

    /// Whether a request can be scored, so that one that cannot does not end the others of its batch.
    ///
    /// # Errors
    /// As [`EmbeddedEngine::score`].
    pub fn can_score(&self, request: &ScoreRequest) -> Result<(), EngineError> {
        self.check_score(request).map(drop)
    }

    fn check_score(&self, request: &ScoreRequest) -> Result<MropePositions, EngineError> {
        if let Some(pruning) = &self.options.pruning {
            return Err(EngineError::PrunedScore { method: pruning.method() });
        }
        let length = request.ids.len();
        if request.from == 0 || request.from >= length {
            return Err(EngineError::ScoreRange { from: request.from, length });
        }
        let limit = self.model.config().text.max_position_embeddings;
        if length > limit {
            return Err(EngineError::PromptTooLong { tokens: length, limit });
        }
        self.check_ids(&request.ids)?;
        let grids = self.check_images(&request.images)?;
        let tokens = self.image_tokens();
        Ok(PositionCursor::new().advance(&request.ids, tokens.id, &grids, tokens.merge)?)
    }

    fn score_batch(
        &mut self,
        requests: &[&ScoreRequest],
        positions: &[MropePositions],
    ) -> Result<Vec<Vec<f32>>, EngineError> {
        let images: Vec<&Arc<Patches>> = requests.iter().flat_map(|request| &request.images).collect();
        let images: Vec<Tensor<2>> = self.encode_images(&images)?.into_iter().map(|image| image.rows).collect();
        let images = (!images.is_empty()).then(|| Tensor::cat(images, 0));
        let ids: Vec<&[u32]> = requests.iter().map(|request| request.ids.as_slice()).collect();
        let batch = MropeBatch::left_padded(positions);
        let hidden = self.model.forward(self.model.embed(&ids, images)?, &batch, None);

        let [_, tokens, width] = hidden.dims();
        let hidden = hidden.reshape([-1, width as i32]);
        let mut rows = Vec::new();
        let mut targets = Vec::new();
        for (row, request) in requests.iter().enumerate() {
            let padding = tokens - request.ids.len();
            for index in request.from..request.ids.len() {
                // The row in front of an id says what comes next.
                rows.push((row * tokens + padding + index - 1) as i64);
                targets.push(i64::from(request.ids[index]));
            }
        }
        let chunk = (MAX_LOGITS / self.model.config().text.vocab_size).max(1);
        let mut logprobs = Vec::with_capacity(rows.len());
        for (rows, targets) in rows.chunks(chunk).zip(targets.chunks(chunk)) {
            let device = self.model.device();
            let rows = hidden.clone().select(0, Tensor::<1, Int>::from_ints(rows, &device));
            let targets = Tensor::<1, Int>::from_ints(targets, &device);
            logprobs.extend(read(cross_entropy_rows(self.model.logits(rows), targets))?);
        }
        let mut logprobs = logprobs.into_iter();
        Ok(requests.iter().map(|request| logprobs.by_ref().take(request.ids.len() - request.from).collect()).collect())
    }
}

//! Rollouts as the policy learns from them.

use visionthink_engine::{EngineError, Picture, Rollout};
use visionthink_model::ModelError;

use crate::batch::{ImageTokens, MicroBatch};
use crate::policy::TokenRows;
use crate::transcript::{Shown, Target, TargetKind, Transcript};

/// One rollout with its advantage.
#[derive(Debug, Clone)]
pub struct Experience {
    /// Ids, images, and the sampled tokens as targets.
    pub transcript: Transcript,
    /// How much better each sampled token's rollout was than its group, token by token.
    pub advantages: Vec<f64>,
}

impl Experience {
    /// A rollout about `picture` whose every sampled token gets `advantage`. Tokens of prompts and tool responses are no targets.
    ///
    /// # Errors
    /// A view of the picture that cannot be made.
    pub fn new(rollout: &Rollout, picture: &Picture, advantage: f64) -> Result<Self, EngineError> {
        let conversation = &rollout.conversation;
        let ids = conversation.ids().to_vec();
        let mut targets: Vec<Target> = conversation
            .response_mask()
            .iter()
            .enumerate()
            .filter(|(_, sampled)| **sampled)
            .map(|(at, _)| Target { at, id: ids[at], weight: 1.0, kind: TargetKind::Answer })
            .collect();
        if conversation.tool_offered()
            && let Some(decision) = targets.first_mut()
        {
            decision.kind = TargetKind::Decision;
        }
        let mut images = Vec::with_capacity(conversation.images().len());
        for image in conversation.images() {
            images.push(picture.patches(image.view)?);
        }
        let shown = if images.len() > 1 { Shown::Resized } else { Shown::Direct };
        let advantages = vec![advantage; targets.len()];
        Ok(Self { transcript: Transcript { ids, targets, images, shown }, advantages })
    }
}

/// Rollouts that go through the network together.
#[derive(Debug, Clone)]
pub struct PolicyBatch {
    /// What the network takes.
    pub micro: MicroBatch,
    /// Which experience each row is.
    pub rows: Vec<usize>,
    /// Of every sampled token, row by row.
    pub advantages: TokenRows,
}

impl PolicyBatch {
    /// Numbers of all targets, cut into rows.
    pub(crate) fn by_row(&self, numbers: &[f64]) -> TokenRows {
        let mut rest = numbers;
        let cut = |row: &Vec<f64>| {
            let (head, tail) = rest.split_at(row.len());
            rest = tail;
            head.to_vec()
        };
        self.advantages.iter().map(cut).collect()
    }
}

/// Sorts experiences by length and cuts them into batches of up to `size` rows, so that little is padded.
///
/// # Errors
/// As [`MicroBatch::collate`].
pub fn policy_batches(
    experiences: &[Experience],
    size: usize,
    image_tokens: ImageTokens,
) -> Result<Vec<PolicyBatch>, ModelError> {
    let mut order: Vec<usize> = (0..experiences.len()).collect();
    order.sort_by_key(|index| experiences[*index].transcript.ids.len());
    let mut batches = Vec::with_capacity(order.len().div_ceil(size));
    for rows in order.chunks(size) {
        let transcripts = rows.iter().map(|row| experiences[*row].transcript.clone()).collect();
        batches.push(PolicyBatch {
            micro: MicroBatch::collate(transcripts, image_tokens)?,
            rows: rows.to_vec(),
            advantages: rows.iter().map(|row| experiences[*row].advantages.clone()).collect(),
        });
    }
    Ok(batches)
}

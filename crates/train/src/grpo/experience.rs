//! Rollouts as the policy learns from them.

use visionthink_engine::{EngineError, Picture, Rollout};
use visionthink_model::ModelError;
use visionthink_protocol::Decision;
use visionthink_reward::TurnAdvantages;

use crate::batch::{ImageTokens, MicroBatch};
use crate::transcript::{Shown, Target, TargetKind, Transcript};

/// One rollout with its advantage.
#[derive(Debug, Clone)]
pub struct Experience {
    /// Ids, images, and the sampled tokens as targets.
    pub transcript: Transcript,
    /// How much better each sampled token's rollout was than its group, token by token.
    pub advantages: Vec<f64>,
    /// Of the sampled tokens the first ones, which make up a turn that called for the full image; 0 without a call.
    pub call_tokens: usize,
}

impl Experience {
    /// A rollout about `picture` whose sampled tokens get the advantage of their turn. Tokens of prompts and tool responses are no targets.
    ///
    /// # Errors
    /// A view of the picture that cannot be made.
    pub fn new(rollout: &Rollout, picture: &Picture, advantages: TurnAdvantages) -> Result<Self, EngineError> {
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
        // What is sampled without a break is one turn.
        let first_turn = targets.windows(2).take_while(|pair| pair[1].at == pair[0].at + 1).count() + 1;
        let called = conversation.decision() == Decision::Resize;
        let call_tokens = if called { first_turn.min(targets.len()) } else { 0 };
        let mut of_tokens = vec![advantages.answer; targets.len()];
        of_tokens[..call_tokens].fill(advantages.call);
        Ok(Self { transcript: Transcript { ids, targets, images, shown }, advantages: of_tokens, call_tokens })
    }

    /// 1 for the sampled tokens of the turn that called, or for the others; 0 elsewhere.
    pub(crate) fn mask(&self, of_call: bool) -> Vec<f64> {
        (0..self.advantages.len()).map(|at| f64::from(u8::from((at < self.call_tokens) == of_call))).collect()
    }
}

/// Rollouts that go through the network together.
#[derive(Debug, Clone)]
pub struct PolicyBatch {
    /// What the network takes.
    pub micro: MicroBatch,
    /// Which experience each row is.
    pub rows: Vec<usize>,
}

/// Sorts the experiences at `rows` by length and cuts them into batches of up to `size` rows, so that little is padded.
///
/// # Errors
/// As [`MicroBatch::collate`].
///
/// # Panics
/// A row that is not there.
pub fn policy_batches(
    experiences: &[Experience],
    rows: &[usize],
    size: usize,
    image_tokens: ImageTokens,
) -> Result<Vec<PolicyBatch>, ModelError> {
    let mut order = rows.to_vec();
    order.sort_by_key(|row| experiences[*row].transcript.ids.len());
    let mut batches = Vec::with_capacity(order.len().div_ceil(size));
    for rows in order.chunks(size) {
        let transcripts = rows.iter().map(|row| experiences[*row].transcript.clone()).collect();
        batches.push(PolicyBatch { micro: MicroBatch::collate(transcripts, image_tokens)?, rows: rows.to_vec() });
    }
    Ok(batches)
}

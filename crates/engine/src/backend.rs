//! What the rollout loop asks of something that generates: the embedded engine, or a server elsewhere.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use visionthink_image::Patches;
use visionthink_protocol::FinishReason;

use crate::error::EngineError;
use crate::sampling::Sampling;

/// One turn in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TurnId(pub u64);

impl std::fmt::Display for TurnId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A conversation as the backend holds it: all ids so far and what was computed for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SequenceId(pub u64);

impl std::fmt::Display for SequenceId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What a turn goes on from: the ids in front of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Past {
    /// Nothing; the turn opens a sequence.
    #[default]
    None,
    /// The first `tokens` ids of a sequence. What is behind them is forgotten; only ids of the last reply can be.
    Sequence {
        /// The sequence; it is taken over by the turn.
        id: SequenceId,
        /// How many of its ids stay.
        tokens: usize,
    },
}

/// One assistant message to be generated.
#[derive(Debug, Clone)]
pub struct TurnRequest {
    /// What the turn goes on from.
    pub past: Past,
    /// Ids behind the past, images expanded; at least one.
    pub new_ids: Vec<u32>,
    /// The images whose placeholders are in `new_ids`, in order.
    pub new_images: Vec<Arc<Patches>>,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Upper bound on the reply, at least 1.
    pub max_new_tokens: usize,
    /// Ids that end the reply; the one that did is its last.
    pub stop_ids: Vec<u32>,
    /// Texts that end the reply once they stand in it, special tokens written out.
    pub stop_texts: Vec<String>,
    /// Ids that are never chosen.
    pub suppressed_ids: Arc<[u32]>,
    /// Whether log-probabilities of the reply are wanted.
    pub logprobs: bool,
}

impl TurnRequest {
    /// A turn that opens a sequence with a text of ids, without end tokens and log-probabilities.
    pub fn new(ids: Vec<u32>, sampling: Sampling, max_new_tokens: usize) -> Self {
        Self {
            past: Past::None,
            new_ids: ids,
            new_images: Vec::new(),
            sampling,
            max_new_tokens,
            stop_ids: Vec::new(),
            stop_texts: Vec::new(),
            suppressed_ids: Arc::default(),
            logprobs: false,
        }
    }
}

/// What happened in a step.
#[derive(Debug)]
pub enum Event {
    /// A token was sampled.
    Token {
        /// The turn it belongs to.
        turn: TurnId,
        /// The token.
        id: u32,
        /// Its natural log-probability, where asked for; see [`Sampling`] for the distribution.
        logprob: Option<f32>,
    },
    /// A turn has ended. Its sequence stays until it is continued or released.
    Finished {
        /// The turn.
        turn: TurnId,
        /// What came of it.
        reply: TurnReply,
    },
    /// A turn could not be generated; its sequence is gone. Other turns go on.
    Failed {
        /// The turn.
        turn: TurnId,
        /// Why.
        error: EngineError,
    },
}

/// A turn that has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct TurnReply {
    /// The sequence a further turn can go on from.
    pub sequence: SequenceId,
    /// The sampled ids, the stop id included where one was sampled.
    pub ids: Vec<u32>,
    /// One natural log-probability per id, empty where not asked for.
    pub logprobs: Vec<f32>,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// Ids that were run through the model before the first token. With a past these are the new ids and the last id
    /// of the previous reply, which no pass has seen; visual tokens that were dropped in front of the decoder are not among them.
    pub prefilled_tokens: usize,
    /// Ids in front of them whose keys and values were there already.
    pub reused_tokens: usize,
    /// What it cost in visual tokens and operations.
    pub ledger: TurnLedger,
    /// Wall-clock time of the turn.
    pub timing: TurnTiming,
}

/// What a turn costs in visual tokens and operations, in the terms in which methods save differently.
///
/// It is what the turn costs by itself, so that it does not depend on what else runs: an image that was encoded before and a prompt
/// that is shared with other samples count in full; what a past turn has left in the cache is the past turn's.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct TurnLedger {
    /// Patches through the vision tower.
    pub patches: usize,
    /// Visual tokens that enter the first layer of the decoder.
    pub visual_tokens: usize,
    /// Visual tokens in a layer, mean over layers.
    pub visual_tokens_per_layer: f64,
    /// Visual entries of the KV cache that are kept for decoding, summed over layers.
    pub visual_kv_entries: usize,
    /// Floating-point operations, counted: vision tower, prefill, decoding, and what choosing tokens costs.
    pub flops: f64,
    /// Those of the prompt in the decoder as papers on pruning count them; see [`visionthink_prune::paper_flops`].
    pub flops_by_formula: f64,
}

impl std::ops::AddAssign for TurnLedger {
    fn add_assign(&mut self, other: Self) {
        self.patches += other.patches;
        self.visual_tokens += other.visual_tokens;
        self.visual_tokens_per_layer += other.visual_tokens_per_layer;
        self.visual_kv_entries += other.visual_kv_entries;
        self.flops += other.flops;
        self.flops_by_formula += other.flops_by_formula;
    }
}

/// Wall-clock time of one turn by phase. Passes are shared by all rows of a batch, so times of turns that run together
/// overlap; [`Counters`] hold the time that was spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct TurnTiming {
    /// From the request to its prefill.
    pub queued: Duration,
    /// In the vision tower.
    pub vision: Duration,
    /// In the decoder, until the first token.
    pub prefill: Duration,
    /// From the first token to the last.
    pub decode: Duration,
}

/// What a backend has done since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counters {
    /// Ids run through the model in prompts, padding not counted.
    pub prefilled_tokens: u64,
    /// Ids of prompts whose keys and values were there already, of continued and of forked sequences.
    pub reused_tokens: u64,
    /// Ids run through the model one per row and step.
    pub decoded_tokens: u64,
    /// Ids sampled.
    pub sampled_tokens: u64,
    /// Images run through the vision tower.
    pub images_encoded: u64,
    /// Images whose tokens were known already.
    pub images_reused: u64,
    /// Patches run through the vision tower.
    pub vision_patches: u64,
    /// Decode steps.
    pub decode_steps: u64,
    /// Time in the vision tower.
    pub vision_time: Duration,
    /// Time in prompts.
    pub prefill_time: Duration,
    /// Time in decode steps.
    pub decode_time: Duration,
}

/// Something that generates turns. It trades in ids; sequences keep what was computed for them between turns.
pub trait Backend {
    /// Queues a turn; [`Backend::step`] works on it.
    ///
    /// # Errors
    /// A request that cannot be served: nothing is queued then, and its past stays as it was.
    fn submit(&mut self, request: TurnRequest) -> Result<TurnId, EngineError>;

    /// Queues `samples` turns with one prompt, which is computed once. Each becomes a sequence of its own, and each
    /// draws from its own random stream. A past is forked: its sequence stays.
    ///
    /// # Errors
    /// As [`Backend::submit`], and [`EngineError::NoSamples`].
    fn submit_group(&mut self, request: TurnRequest, samples: usize) -> Result<Vec<TurnId>, EngineError>;

    /// Works for a while on what is queued, in the order of submission, and tells what happened. Returns at once when
    /// nothing is queued.
    ///
    /// # Errors
    /// What concerns all turns; what concerns one is an [`Event::Failed`].
    fn step(&mut self) -> Result<Vec<Event>, EngineError>;

    /// Ends a turn early: its [`Event::Finished`] comes with the next step. A turn that has ended is left alone.
    fn cancel(&mut self, turn: TurnId);

    /// Forgets a sequence. A turn that runs on it is cancelled.
    fn release(&mut self, sequence: SequenceId);

    /// How many turns are worth having in flight.
    fn capacity(&self) -> usize;

    /// What was done so far.
    fn counters(&self) -> &Counters;
}

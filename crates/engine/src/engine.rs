//! The engine that runs the model in this process.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use burn::Tensor;
use burn::tensor::{DType, Int};
use rayon::prelude::*;
use visionthink_image::{GridThw, Patches};
use visionthink_model::{Model, ModelError, MropeBatch};
use visionthink_protocol::{FinishReason, Tokenizer};
use visionthink_prune::Pruning;

use crate::backend::{
    Backend, Counters, Event, Past, SequenceId, TurnId, TurnLedger, TurnReply, TurnRequest, TurnTiming,
};
use crate::batch::Batch;
use crate::error::EngineError;
use crate::image_cache::ImageCache;
use crate::prefix_cache::PrefixCache;
use crate::queue::{Member, Prompt, Queue};
use crate::row::{Row, Settings};
use crate::sequence::{ImageTokens, Sequence};

/// How much the engine does at once.
#[derive(Debug, Clone, PartialEq)]
pub struct EngineOptions {
    /// Rows decoded together.
    pub max_rows: usize,
    /// New tokens of prompts in one step; a longer prompt goes alone.
    pub max_prefill_tokens: usize,
    /// Patches in one pass of the vision tower; a larger image goes alone.
    pub max_vision_patches: usize,
    /// Image tokens kept for images that come again.
    pub max_cached_image_tokens: usize,
    /// Tokens of prompts whose keys and values are kept, beyond the sequences they were computed for, for prompts that
    /// begin alike; 0 keeps none.
    pub max_prefix_tokens: usize,
    /// Tokens that a row is decoded for before it makes room for turns that wait, where there is no free row.
    pub tokens_before_pause: usize,
    /// How visual tokens are dropped in the prefill of each turn; `None` keeps all.
    pub pruning: Option<Pruning>,
}

impl Default for EngineOptions {
    /// Room for a batch that keeps a few cores busy, in tens of megabytes beside the weights.
    fn default() -> Self {
        Self {
            max_rows: 16,
            max_prefill_tokens: 4096,
            max_vision_patches: 16_384,
            max_cached_image_tokens: 4096,
            max_prefix_tokens: 0,
            tokens_before_pause: usize::MAX,
            pruning: None,
        }
    }
}

impl EngineOptions {
    /// Where visual tokens are dropped, rows of keys and values are no prefix of the ids, and nothing is kept.
    fn prefixes(&self) -> PrefixCache {
        PrefixCache::new(if self.pruning.is_some() { 0 } else { self.max_prefix_tokens })
    }
}

/// Generates with a model in this process: batched prompts, one decode batch that turns join and leave, and sequences
/// whose keys and values wait for the next turn.
///
/// What else runs does not change the tokens of a turn, up to the rounding of products in batches of another size.
#[derive(Debug)]
pub struct EmbeddedEngine {
    pub(crate) model: Model,
    tokenizer: Option<Arc<Tokenizer>>,
    pub(crate) options: EngineOptions,
    pub(crate) queue: Queue,
    pub(crate) batch: Batch,
    /// Sequences without a turn in flight.
    pub(crate) parked: HashMap<SequenceId, Sequence>,
    pub(crate) image_cache: ImageCache,
    pub(crate) prefixes: PrefixCache,
    pub(crate) events: Vec<Event>,
    pub(crate) counters: Counters,
    next_id: u64,
}

impl EmbeddedEngine {
    /// An engine around a model. The tokenizer is needed for stop texts only.
    pub fn new(model: Model, tokenizer: Option<Arc<Tokenizer>>, options: EngineOptions) -> Self {
        Self {
            model,
            tokenizer,
            queue: Queue::default(),
            batch: Batch::default(),
            parked: HashMap::new(),
            image_cache: ImageCache::new(options.max_cached_image_tokens),
            prefixes: options.prefixes(),
            options: EngineOptions { max_rows: options.max_rows.max(1), ..options },
            events: Vec::new(),
            counters: Counters::default(),
            next_id: 0,
        }
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Goes on with other weights of the same sizes. Sequences and image tokens were computed with the old ones and are forgotten.
    ///
    /// # Panics
    /// A turn is in flight.
    pub fn replace_model(&mut self, model: Model) {
        let idle = self.queue.waiting() == 0 && self.batch.rows.is_empty();
        assert!(idle, "the model changes between turns");
        self.parked.clear();
        self.image_cache = ImageCache::new(self.options.max_cached_image_tokens);
        self.prefixes = self.options.prefixes();
        self.model = model;
    }

    /// One token for every running row.
    fn decode(&mut self) -> Result<(), EngineError> {
        let Some(cache) = &mut self.batch.cache else { return Ok(()) };
        let rows = self.batch.rows.len();
        let _span = tracing::trace_span!("decode", sequences = rows).entered();
        let began = Instant::now();
        let (ids, coordinates): (Vec<i64>, Vec<Option<u32>>) = self
            .batch
            .rows
            .iter_mut()
            .map(|row| {
                let (id, coordinate) = row.sequence.decode_next();
                (i64::from(id), Some(coordinate))
            })
            .unzip();
        // Not `embed`: a placeholder that was sampled is text.
        let ids = Tensor::<1, Int>::from_ints(ids.as_slice(), &self.model.device());
        let embeds = self.model.language_model.embed_tokens.rows(ids).unsqueeze_dim(1);
        let hidden = self.model.forward(embeds, &MropeBatch::decode(&coordinates), Some(cache));
        let mut logits = read(self.model.logits(Model::last_rows(hidden)))?;
        sample(&mut self.batch.rows, &mut logits, self.tokenizer.as_deref(), &mut self.events);
        self.counters.decode_steps += 1;
        self.counters.decoded_tokens += rows as u64;
        self.counters.sampled_tokens += rows as u64;
        self.counters.decode_time += began.elapsed();
        Ok(())
    }

    /// Samples the first token of rows whose prompt was just run; those that go on are ready to join.
    pub(crate) fn open_rows(&mut self, mut batch: Batch, logits: &mut [f32]) -> Batch {
        sample(&mut batch.rows, logits, self.tokenizer.as_deref(), &mut self.events);
        self.counters.sampled_tokens += batch.rows.len() as u64;
        let ended = batch.take_ended();
        self.park(ended);
        batch
    }

    /// Takes rows that have ended out of the batch.
    fn retire(&mut self) {
        let ended = self.batch.take_ended();
        self.park(ended);
    }

    fn park(&mut self, ended: Vec<Row>) {
        for mut row in ended {
            let (turn, id, released) = (row.turn, row.id, row.released);
            match row.outcome.take() {
                Some(Ok(finish_reason)) => {
                    let (reply, sequence) = row.into_reply(finish_reason, self.model.config());
                    if !released {
                        self.parked.insert(id, sequence);
                    }
                    self.events.push(Event::Finished { turn, reply });
                }
                Some(Err(error)) => self.events.push(Event::Failed { turn, error }),
                None => {}
            }
        }
    }

    fn row_mut(&mut self, is_it: impl Fn(&Row) -> bool) -> Option<&mut Row> {
        self.batch.rows.iter_mut().find(|row| is_it(row) && row.outcome.is_none())
    }

    /// The sequence that a turn goes on from, as it will be when the turn begins.
    fn past(&self, past: Past) -> Result<Sequence, EngineError> {
        let Past::Sequence { id, tokens } = past else { return Ok(Sequence::default()) };
        let busy = self.queue.turn_of(id).is_some() || self.batch.rows.iter().any(|row| row.id == id);
        if busy {
            return Err(EngineError::SequenceBusy(id));
        }
        let sequence = self.parked.get(&id).ok_or(EngineError::UnknownSequence(id))?;
        let (from, length) = (sequence.reply_start(), sequence.ids.len());
        if tokens < from || tokens > length {
            return Err(EngineError::CannotRewind { sequence: id, tokens, from, length });
        }
        let mut sequence = sequence.clone();
        sequence.rewind(tokens);
        Ok(sequence)
    }

    /// Checks a request and makes a prompt of it, without members.
    fn prompt(&mut self, request: TurnRequest) -> Result<Prompt, EngineError> {
        request.sampling.check()?;
        if let Some(pruning) = &self.options.pruning {
            self.model.config().check_pruning(pruning)?;
        }
        if request.new_ids.is_empty() {
            return Err(EngineError::EmptyPrompt);
        }
        if request.max_new_tokens == 0 {
            return Err(EngineError::NoNewTokens);
        }
        if !request.stop_texts.is_empty() && self.tokenizer.is_none() {
            return Err(EngineError::NoTokenizer);
        }
        let mut past = self.past(request.past)?;
        let context = self.model.config().text.max_position_embeddings;
        let tokens = past.ids.len() + request.new_ids.len();
        if tokens >= context {
            return Err(EngineError::PromptTooLong { tokens, limit: context });
        }
        self.check_ids(&request.new_ids)?;
        let grids = self.check_images(&request.new_images)?;
        let image_tokens = self.image_tokens();
        let mut keys = Vec::new();
        // Ids and images of the request that are in the past already.
        let (mut known, mut shown) = (0, 0);
        if self.prefixes.is_on() {
            keys = request.new_images.iter().map(|image| self.image_cache.key(image)).collect();
            if request.past == Past::None {
                past = self.prefixes.find(&request.new_ids, &keys, image_tokens)?;
                (known, shown) = (past.ids.len(), past.images.len());
            }
        }
        let mut chunk = past.chunk(&request.new_ids[known..], &grids[shown..], image_tokens)?;
        chunk.images = keys.split_off(shown);
        let settings = Arc::new(Settings {
            sampling: request.sampling,
            suppressed_ids: request.suppressed_ids,
            logprobs: request.logprobs,
            max_new_tokens: request.max_new_tokens,
            stop_ids: request.stop_ids,
            stop_texts: request.stop_texts,
            context,
        });
        Ok(Prompt {
            members: Vec::new(),
            past,
            chunk,
            images: request.new_images[shown..].to_vec(),
            settings,
            owns_past: false,
            queued_at: Instant::now(),
        })
    }

    pub(crate) fn image_tokens(&self) -> ImageTokens {
        let config = self.model.config();
        let merge = config.vision.as_ref().map_or(1, |vision| vision.spatial_merge_size as u32);
        ImageTokens { id: config.image_token_id(), merge }
    }

    /// Ids the model has rows for.
    pub(crate) fn check_ids(&self, ids: &[u32]) -> Result<(), ModelError> {
        let vocab_size = self.model.config().text.vocab_size;
        match ids.iter().find(|id| **id as usize >= vocab_size) {
            Some(id) => Err(ModelError::TokenId { id: *id, vocab_size }),
            None => Ok(()),
        }
    }

    /// Images the vision tower takes; gives their grids.
    pub(crate) fn check_images(&self, images: &[Arc<Patches>]) -> Result<Vec<GridThw>, ModelError> {
        let Some(vision) = &self.model.config().vision else {
            return if images.is_empty() { Ok(Vec::new()) } else { Err(ModelError::NoVisionTower) };
        };
        let merge = vision.spatial_merge_size as u32;
        let width = vision.patch_values();
        for (image, patches) in images.iter().enumerate() {
            let GridThw { t, h, w } = patches.grid;
            if t == 0 || h == 0 || w == 0 || h % merge != 0 || w % merge != 0 {
                return Err(ModelError::Grid { image, t, h, w, merge });
            }
            let expected = [patches.grid.patches(), width];
            if patches.values.len() != expected[0] * expected[1] {
                return Err(ModelError::PixelValues { found: [patches.values.len() / width, width], expected });
            }
        }
        Ok(images.iter().map(|patches| patches.grid).collect())
    }

    fn new_member(&mut self, id: Option<SequenceId>, sample: u32) -> Member {
        self.next_id += 1;
        let fresh = self.next_id;
        Member { turn: TurnId(fresh), id: id.unwrap_or(SequenceId(fresh)), sample }
    }

    fn enqueue(&mut self, prompt: Prompt) {
        tracing::debug!(
            samples = prompt.members.len(),
            new_tokens = prompt.chunk.ids.len(),
            reused_tokens = prompt.past.cached(),
            images = prompt.images.len(),
            "turn queued"
        );
        self.queue.prompts.push_back(prompt);
    }
}

impl Backend for EmbeddedEngine {
    fn submit(&mut self, request: TurnRequest) -> Result<TurnId, EngineError> {
        let past = request.past;
        let mut prompt = self.prompt(request)?;
        let id = match past {
            Past::None => None,
            Past::Sequence { id, .. } => {
                // With the parked copy gone the cache has one owner and grows in place.
                self.parked.remove(&id);
                prompt.owns_past = true;
                Some(id)
            }
        };
        let member = self.new_member(id, prompt.past.sample);
        prompt.members = vec![member];
        self.enqueue(prompt);
        Ok(member.turn)
    }

    fn submit_group(&mut self, request: TurnRequest, samples: usize) -> Result<Vec<TurnId>, EngineError> {
        if samples == 0 {
            return Err(EngineError::NoSamples);
        }
        let mut prompt = self.prompt(request)?;
        prompt.members = (0..samples).map(|sample| self.new_member(None, sample as u32)).collect();
        let turns = prompt.members.iter().map(|member| member.turn).collect();
        self.enqueue(prompt);
        Ok(turns)
    }

    fn step(&mut self) -> Result<Vec<Event>, EngineError> {
        self.retire();
        self.pause();
        self.admit()?;
        self.decode()?;
        self.retire();
        Ok(std::mem::take(&mut self.events))
    }

    fn cancel(&mut self, turn: TurnId) {
        if let Some(row) = self.row_mut(|row| row.turn == turn) {
            row.outcome = Some(Ok(FinishReason::Cancelled));
        } else if let Some(mut row) = self.queue.remove_paused(turn) {
            row.outcome = Some(Ok(FinishReason::Cancelled));
            self.park(vec![row]);
        } else if let Some((member, past)) = self.queue.remove(turn) {
            if let Some(past) = past {
                self.parked.insert(member.id, past);
            }
            let reply = TurnReply {
                sequence: member.id,
                ids: Vec::new(),
                logprobs: Vec::new(),
                finish_reason: FinishReason::Cancelled,
                prefilled_tokens: 0,
                reused_tokens: 0,
                ledger: TurnLedger::default(),
                timing: TurnTiming::default(),
            };
            self.events.push(Event::Finished { turn, reply });
        }
    }

    fn release(&mut self, sequence: SequenceId) {
        if let Some(row) = self.row_mut(|row| row.id == sequence) {
            row.outcome = Some(Ok(FinishReason::Cancelled));
            row.released = true;
        } else if let Some(turn) = self.queue.turn_of(sequence) {
            self.cancel(turn);
        }
        if let Some(sequence) = self.parked.remove(&sequence) {
            self.prefixes.insert(sequence, self.image_tokens());
        }
    }

    fn capacity(&self) -> usize {
        self.options.max_rows
    }

    fn counters(&self) -> &Counters {
        &self.counters
    }
}

/// Reads a tensor back as f32.
pub(crate) fn read<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, EngineError> {
    let data =
        tensor.cast(DType::F32).try_into_data().map_err(|error| EngineError::Device { reason: error.to_string() })?;
    Ok(data.try_into_vec()?)
}

/// The next token of every row from `logits` [B, V], in the order of the rows.
fn sample(rows: &mut [Row], logits: &mut [f32], tokenizer: Option<&Tokenizer>, events: &mut Vec<Event>) {
    /// Fewer logits are sampled faster than they are handed to other threads.
    const PARALLEL_LOGITS: usize = 1 << 15;
    if rows.is_empty() {
        return;
    }
    let vocabulary = logits.len() / rows.len();
    let choices: Vec<_> = if logits.len() >= PARALLEL_LOGITS && rows.len() > 1 {
        rows.par_iter_mut()
            .zip(logits.par_chunks_mut(vocabulary))
            .map(|(row, logits)| row.sample(logits, tokenizer))
            .collect()
    } else {
        rows.iter_mut().zip(logits.chunks_mut(vocabulary)).map(|(row, logits)| row.sample(logits, tokenizer)).collect()
    };
    for (row, choice) in rows.iter().zip(choices) {
        if let Some(choice) = choice {
            events.push(Event::Token { turn: row.turn, id: choice.id, logprob: choice.logprob });
        }
    }
}

//! A turn that is being generated: one row of the batch.

use std::sync::Arc;
use std::time::{Duration, Instant};

use visionthink_model::Config;
use visionthink_protocol::{FinishReason, Tokenizer};

use crate::backend::{SequenceId, TurnId, TurnLedger, TurnReply, TurnTiming};
use crate::error::EngineError;
use crate::sampler::{Choice, NoChoice, Sampler};
use crate::sampling::Sampling;
use crate::sequence::Sequence;

/// What a turn's reply obeys.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) sampling: Sampling,
    pub(crate) suppressed_ids: Arc<[u32]>,
    pub(crate) logprobs: bool,
    pub(crate) max_new_tokens: usize,
    pub(crate) stop_ids: Vec<u32>,
    pub(crate) stop_texts: Vec<String>,
    /// Longest sequence.
    pub(crate) context: usize,
}

impl Settings {
    /// Why a reply `ids[start..]` ends with its last id, if it does.
    fn finish(&self, ids: &[u32], start: usize, tokenizer: Option<&Tokenizer>) -> Option<FinishReason> {
        let reply = &ids[start..];
        let stops = reply.last().is_some_and(|id| self.stop_ids.contains(id))
            || tokenizer.is_some_and(|tokenizer| self.ends_with_stop_text(reply, tokenizer));
        if stops {
            Some(FinishReason::Stop)
        } else {
            (reply.len() >= self.max_new_tokens || ids.len() >= self.context).then_some(FinishReason::Length)
        }
    }

    /// Whether a stop text stands in the last ids. They are enough: an id with a text has at least one byte, and a few
    /// more make sure that no character at the front is cut.
    fn ends_with_stop_text(&self, reply: &[u32], tokenizer: &Tokenizer) -> bool {
        const CHARACTER_BYTES: usize = 4;
        self.stop_texts.iter().any(|stop| {
            let window = reply.len().saturating_sub(stop.len() + CHARACTER_BYTES);
            tokenizer.decode(&reply[window..], false).is_ok_and(|text| text.contains(stop.as_str()))
        })
    }
}

/// How a turn came to its first token.
#[derive(Debug, Clone, Default)]
pub(crate) struct Opening {
    pub(crate) prefilled_tokens: usize,
    pub(crate) reused_tokens: usize,
    pub(crate) queued: Duration,
    pub(crate) vision: Duration,
    pub(crate) prefill: Duration,
    /// What it cost so far.
    pub(crate) ledger: TurnLedger,
    /// Tokens in the cache of each layer.
    pub(crate) layer_tokens: Arc<[usize]>,
}

/// One turn in the batch, with the sequence it grows.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) turn: TurnId,
    pub(crate) id: SequenceId,
    pub(crate) sequence: Sequence,
    settings: Arc<Settings>,
    sampler: Sampler,
    logprobs: Vec<f32>,
    opening: Opening,
    decode_began: Instant,
    /// Tokens sampled since it last joined the batch.
    pub(crate) tokens_since_join: usize,
    /// Why it ended, once it has.
    pub(crate) outcome: Option<Result<FinishReason, EngineError>>,
    /// Whether nobody will go on from the sequence.
    pub(crate) released: bool,
}

impl Row {
    /// A turn behind a sequence whose prompt was just run.
    pub(crate) fn new(
        (turn, id): (TurnId, SequenceId),
        sequence: Sequence,
        settings: Arc<Settings>,
        opening: Opening,
    ) -> Self {
        let sampler = Sampler::new(
            settings.sampling.clone(),
            settings.suppressed_ids.clone(),
            settings.logprobs,
            [sequence.sample, sequence.turns],
            &sequence.ids,
        );
        Self {
            turn,
            id,
            sequence,
            settings,
            sampler,
            logprobs: Vec::new(),
            opening,
            decode_began: Instant::now(),
            tokens_since_join: 0,
            outcome: None,
            released: false,
        }
    }

    /// Samples the next token from its logits [V] and decides whether the turn ends with it.
    pub(crate) fn sample(&mut self, logits: &mut [f32], tokenizer: Option<&Tokenizer>) -> Option<Choice> {
        let start = self.sequence.reply_start();
        match self.sampler.choose(logits) {
            Ok(choice) => {
                self.sequence.ids.push(choice.id);
                self.tokens_since_join += 1;
                self.logprobs.extend(choice.logprob);
                self.outcome = self.settings.finish(&self.sequence.ids, start, tokenizer).map(Ok);
                Some(choice)
            }
            Err(reason) => {
                let token = self.sequence.ids.len() - start;
                self.outcome = Some(Err(match reason {
                    NoChoice::NonFinite { id, value } => {
                        EngineError::NonFiniteLogits { turn: self.turn, token, id, value }
                    }
                    NoChoice::Nothing => {
                        EngineError::EverythingSuppressed { turn: self.turn, vocabulary: logits.len() }
                    }
                }));
                None
            }
        }
    }

    /// The reply of an ended turn, and its sequence.
    pub(crate) fn into_reply(mut self, finish_reason: FinishReason, config: &Config) -> (TurnReply, Sequence) {
        self.sequence.turns += 1;
        let Opening { prefilled_tokens, reused_tokens, queued, vision, prefill, mut ledger, layer_tokens } =
            self.opening;
        // The last id was sampled, and no pass has seen it.
        let steps = (self.sequence.ids.len() - self.sequence.reply_start()).saturating_sub(1);
        ledger.flops += steps as f64 * config.head_flops();
        ledger.flops += layer_tokens.iter().map(|past| config.layer_flops(steps, *past)).sum::<f64>();
        let reply = TurnReply {
            sequence: self.id,
            ids: self.sequence.ids[self.sequence.reply_start()..].to_vec(),
            logprobs: self.logprobs,
            finish_reason,
            prefilled_tokens,
            reused_tokens,
            ledger,
            timing: TurnTiming { queued, vision, prefill, decode: self.decode_began.elapsed() },
        };
        (reply, self.sequence)
    }
}

//! What can go wrong while generating.

use burn::tensor::DataError;
use visionthink_image::ImageError;
use visionthink_model::ModelError;
use visionthink_protocol::ProtocolError;

use crate::backend::{SequenceId, TurnId};

/// Errors of this crate. What a model samples is never one of them.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The checkpoint, or ids and images that do not fit it.
    #[error(transparent)]
    Model(#[from] ModelError),

    /// Text, template or conversation.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),

    /// An image.
    #[error(transparent)]
    Image(#[from] ImageError),

    /// Reading a file failed; the message names it.
    #[error(transparent)]
    Io(#[from] std::io::Error),

    /// `generation_config.json` cannot be read.
    #[error("{}: not the JSON that was expected", file.display())]
    GenerationConfig {
        /// The file.
        file: std::path::PathBuf,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },

    /// A sampling setting is out of range.
    #[error("`{field}` is {found}, expected {expected}")]
    Sampling {
        /// The setting.
        field: &'static str,
        /// Its value.
        found: f64,
        /// The range.
        expected: &'static str,
    },

    /// A turn has no ids.
    #[error("the prompt is empty; a turn needs at least one new id")]
    EmptyPrompt,

    /// A turn may not sample anything.
    #[error("`max_new_tokens` is 0; a turn samples at least one token")]
    NoNewTokens,

    /// A group without samples.
    #[error("a group of 0 samples was asked for; it needs at least one")]
    NoSamples,

    /// A conversation shows an image that its task does not have.
    #[error("the conversation shows image {source_index}, the task has {pictures}; images count from 0")]
    MissingPicture {
        /// Index of the image.
        source_index: usize,
        /// How many there are.
        pictures: usize,
    },

    /// The prompt fills the context.
    #[error("the prompt is {tokens} tokens long; the model takes {limit}, prompt and reply together")]
    PromptTooLong {
        /// Ids of the sequence with the new ones.
        tokens: usize,
        /// `max_position_embeddings`.
        limit: usize,
    },

    /// A stop text was given to an engine that cannot decode.
    #[error("stop texts need a tokenizer, and this engine was made without one")]
    NoTokenizer,

    /// A sequence that does not exist.
    #[error("sequence {0} is not there; it was released, or its turn has failed")]
    UnknownSequence(SequenceId),

    /// A turn is running on the sequence.
    #[error("sequence {0} has a turn in flight; wait until it has finished")]
    SequenceBusy(SequenceId),

    /// A turn wants to go on from a place that is not kept.
    #[error("sequence {sequence} cannot go on from id {tokens}, expected {from} to {length}")]
    CannotRewind {
        /// The sequence.
        sequence: SequenceId,
        /// Where the turn wants to begin.
        tokens: usize,
        /// Where the last reply begins.
        from: usize,
        /// Where it ends.
        length: usize,
    },

    /// The completion to be scored is not inside the ids.
    #[error("the completion begins at id {from} of {length}; it needs an id in front and one inside")]
    ScoreRange {
        /// Where it begins.
        from: usize,
        /// Number of ids.
        length: usize,
    },

    /// Scores were asked of an engine that drops visual tokens.
    #[error(
        "this engine drops visual tokens (`{method}`), and scores are of the network that sees all; use an engine without pruning"
    )]
    PrunedScore {
        /// How they are dropped.
        method: visionthink_prune::Method,
    },

    /// The model computed something that is no number.
    #[error("turn {turn}: the logits of token {token} hold {value} at id {id}; the weights, or their dtype, overflow")]
    NonFiniteLogits {
        /// The turn.
        turn: TurnId,
        /// Which token of the reply.
        token: usize,
        /// Where in the vocabulary.
        id: usize,
        /// What is there.
        value: f32,
    },

    /// Nothing is left to choose from.
    #[error("turn {turn}: all {vocabulary} ids are suppressed")]
    EverythingSuppressed {
        /// The turn.
        turn: TurnId,
        /// V.
        vocabulary: usize,
    },

    /// The device failed; nothing that ran on it can go on.
    #[error("the device failed: {reason}")]
    Device {
        /// What it says.
        reason: String,
    },

    /// A result came back in a form that was not expected.
    #[error("a result of the device cannot be read")]
    ReadBack(#[from] DataError),
}

//! The one error type of this crate.
//!
//! Malformed model output is not here: it is data, see [`crate::ToolCallError`].

use std::path::PathBuf;

use crate::message::Role;
use crate::profile::Mode;

/// The error of a foreign library, kept as the source of a [`ProtocolError`].
type Source = Box<dyn std::error::Error + Send + Sync>;

/// What can go wrong between text and ids, each case something a caller can act on.
#[derive(Debug, thiserror::Error)]
pub enum ProtocolError {
    /// A file could not be read; the message names it.
    #[error(transparent)]
    Io(#[from] std::io::Error),

    /// A file that should hold JSON does not.
    #[error("{}: not the JSON that was expected", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },

    /// A folder holds no tokenizer.
    #[error("{}: no tokenizer; expected `tokenizer.json`, or `vocab.json` with `merges.txt` and `tokenizer_config.json`", dir.display())]
    TokenizerMissing {
        /// The folder.
        dir: PathBuf,
    },

    /// The tokenizer file is broken.
    #[error("{origin}: the tokenizer cannot be used")]
    TokenizerInvalid {
        /// File or description of where the tokenizer came from.
        origin: String,
        /// What the tokenizer library says.
        source: Source,
    },

    /// The tokenizer does not decode byte by byte.
    #[error("the decoder of the tokenizer is `{found}`, expected `ByteLevel` as in every Qwen tokenizer")]
    UnsupportedDecoder {
        /// The decoder that was found.
        found: String,
    },

    /// An added token got another id than its file gives it.
    #[error(
        "added token `{token}` has id {found:?}, its file says {expected}; the vocabulary and the added tokens do not belong together"
    )]
    TokenIdMismatch {
        /// The token.
        token: String,
        /// The id in the file.
        expected: u32,
        /// The id it got.
        found: Option<u32>,
    },

    /// A token the protocol cannot do without is not in the vocabulary.
    #[error("the tokenizer has no token `{token}`; a Qwen-VL tokenizer is needed")]
    SpecialTokenMissing {
        /// The token.
        token: String,
    },

    /// The tokenizer failed on a text.
    #[error("the text cannot be turned into ids")]
    Encode {
        /// What the tokenizer library says.
        source: Source,
    },

    /// The tokenizer failed on ids.
    #[error("the ids cannot be turned into text")]
    Decode {
        /// What the tokenizer library says.
        source: Source,
    },

    /// A folder holds no chat template.
    #[error("{}: no chat template; expected `chat_template.jinja`, or `chat_template` in `chat_template.json` or `tokenizer_config.json`", dir.display())]
    TemplateMissing {
        /// The folder.
        dir: PathBuf,
    },

    /// The chat template has a syntax error.
    #[error("{origin}: the chat template has a syntax error")]
    TemplateInvalid {
        /// Where the template came from.
        origin: String,
        /// Line and reason.
        source: minijinja::Error,
    },

    /// The chat template failed on these messages.
    #[error("the chat template cannot render these messages")]
    TemplateRender {
        /// Line and reason.
        source: minijinja::Error,
    },

    /// No profile has this name.
    #[error(
        "unknown profile `{name}`; expected `visionthink`, `general`, `simple-resize`, `simple-think-resize` or `compact`"
    )]
    UnknownProfile {
        /// The name that was asked for.
        name: String,
    },

    /// No mode has this name.
    #[error("unknown mode `{name}`; expected `adaptive`, `full` or `low`")]
    UnknownMode {
        /// The name that was asked for.
        name: String,
    },

    /// The reference's evaluation knows no such prompt.
    #[error("unknown prompt `{name}` of the evaluation; expected `tool_call` or `raw_prompt`")]
    UnknownEvaluationPrompt {
        /// The name that was asked for.
        name: String,
    },

    /// A text of a profile lacks its placeholder.
    #[error("profile `{profile}`: `{field}` has no `{placeholder}`")]
    ProfileInvalid {
        /// The profile.
        profile: String,
        /// The field.
        field: &'static str,
        /// What must occur in it.
        placeholder: &'static str,
    },

    /// Mode `adaptive` needs a tool and the profile has none.
    #[error("profile `{profile}` offers no tool; mode `{mode}` needs one, use `full` or `low`")]
    NoTool {
        /// The profile.
        profile: String,
        /// The mode.
        mode: Mode,
    },

    /// A conversation cannot begin without a message.
    #[error("`messages` is empty; a conversation needs at least one message")]
    NoMessages,

    /// The message to be answered is not the user's.
    #[error("the last message has role `{role}`, expected `user`")]
    LastMessageNotUser {
        /// The role that was found.
        role: Role,
    },

    /// Video parts are understood by templates but by nothing behind them.
    #[error("`content` holds a part of type `video`; only `text`, `image` and `image_url` are supported")]
    VideoPart,

    /// Text and images do not belong together.
    #[error("the prompt has {placeholders} `<|image_pad|>` for {images} images; each image needs exactly one")]
    ImageCount {
        /// Placeholders in the text.
        placeholders: usize,
        /// Images that came with it.
        images: usize,
    },

    /// The prompt leaves no room for a reply.
    #[error(
        "the prompt is {tokens} tokens long, {image_tokens} of them for images; the limit is {limit}, prompt and reply together"
    )]
    PromptTooLong {
        /// Length of the prompt, images expanded.
        tokens: usize,
        /// The share of images.
        image_tokens: usize,
        /// `max_total_tokens`.
        limit: usize,
    },

    /// A reply was pushed into a conversation that is over.
    #[error("the conversation is over after {turns} turns and takes no further reply")]
    ConversationOver {
        /// Turns so far.
        turns: usize,
    },

    /// Reference rules only: nothing is left of a reply after ids without a token were deleted.
    #[error("the reply is empty; the reference rules cannot continue")]
    EmptyReply,

    /// Reference rules only: the model sampled an image token.
    #[error("the reply holds `<|image_pad|>`; the reference rules cannot continue")]
    SampledImageToken,
}

/// Shorthand used across the crate.
pub type Result<T, E = ProtocolError> = std::result::Result<T, E>;

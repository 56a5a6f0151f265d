//! What can go wrong with a model, its files and its input.

use std::path::PathBuf;

use safetensors::{Dtype, SafeTensorError};

/// Errors of this crate. Shape errors inside a forward pass are programming errors and panic, as in burn; what comes
/// from a file or a user is one of these.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// Reading or writing failed; the message names the file.
    #[error(transparent)]
    Io(#[from] std::io::Error),

    /// A checkpoint folder lacks a file.
    #[error("{}: no `{expected}` in this folder", folder.display())]
    MissingFile {
        /// The checkpoint folder.
        folder: PathBuf,
        /// The file, or the alternatives, looked for.
        expected: String,
    },

    /// A JSON file does not parse.
    #[error("{}: not valid JSON", file.display())]
    Json {
        /// The file.
        file: PathBuf,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },

    /// A required key of `config.json` is missing.
    #[error("{}: key `{key}` is missing; sizes are never guessed", file.display())]
    ConfigKeyMissing {
        /// The configuration file.
        file: PathBuf,
        /// The key, with the section it belongs to.
        key: String,
    },

    /// A key of `config.json` has a value that the model cannot have.
    #[error("{}: `{key}` is {found}, expected {expected}", file.display())]
    ConfigValue {
        /// The configuration file.
        file: PathBuf,
        /// The key, with the section it belongs to.
        key: String,
        /// The value found.
        found: String,
        /// What it has to be.
        expected: String,
    },

    /// The checkpoint is of another architecture.
    #[error("{}: architecture `{found}` is not supported, expected one of {supported}", file.display())]
    UnknownArchitecture {
        /// The configuration file.
        file: PathBuf,
        /// `model_type`, or the entry of `architectures`.
        found: String,
        /// Names that are supported.
        supported: String,
    },

    /// A safetensors header is unreadable.
    #[error("{}: not a readable safetensors file", file.display())]
    SafeTensors {
        /// The weights file.
        file: PathBuf,
        /// Why.
        #[source]
        source: SafeTensorError,
    },

    /// A weights file is shorter or longer than its header says.
    #[error("{}: {found} bytes long, the header promises {expected}; the file is truncated or damaged", file.display())]
    TruncatedFile {
        /// The weights file.
        file: PathBuf,
        /// Its length in bytes.
        found: u64,
        /// The length by its header in bytes.
        expected: u64,
    },

    /// A tensor of the model is not in the checkpoint.
    #[error("{}: tensor `{name}` is missing", place.display())]
    MissingTensor {
        /// The weights file or folder.
        place: PathBuf,
        /// The tensor, named as in released files.
        name: String,
    },

    /// The checkpoint holds a tensor that the model does not have.
    #[error("{}: tensor `{name}` does not belong to this model; is `config.json` the right one?", file.display())]
    ExtraTensor {
        /// The weights file.
        file: PathBuf,
        /// The tensor as the file names it.
        name: String,
    },

    /// One tensor stands twice in the checkpoint.
    #[error("{}: tensor `{name}` is stored twice, also in {}", file.display(), other.display())]
    DuplicateTensor {
        /// The weights file.
        file: PathBuf,
        /// The tensor as the file names it.
        name: String,
        /// The file that holds the other one.
        other: PathBuf,
    },

    /// A target of an adapter is no module of the model.
    #[error("no module is called `{found}`; modules are {}", known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "))]
    UnknownTarget {
        /// The name given.
        found: String,
        /// Names that exist.
        known: Vec<String>,
    },

    /// An adapter is made for other modules.
    #[error("{}: tensor `{name}` belongs to no module of the base; was the adapter trained on another checkpoint?", file.display())]
    AdapterTensor {
        /// The adapter's weights file.
        file: PathBuf,
        /// The tensor as the file names it.
        name: String,
    },

    /// An adapter holds no tensor.
    #[error("{}: no tensors; nothing is adapted", file.display())]
    EmptyAdapter {
        /// The adapter's weights file.
        file: PathBuf,
    },

    /// An adapter replaces the embedding where it is the head as well.
    #[error(
        "`{}`: an adapter cannot hold the embedding of a checkpoint whose head it is too: PEFT would leave the head as it was", file.display()
    )]
    TiedEmbedding {
        /// The adapter's weights file.
        file: PathBuf,
    },

    /// A tensor has another shape than the configuration asks for.
    #[error("{}: `{name}` is {found:?}, expected {expected:?}", file.display())]
    TensorShape {
        /// The weights file.
        file: PathBuf,
        /// The tensor as the file names it.
        name: String,
        /// The shape stored.
        found: Vec<usize>,
        /// The shape by `config.json`.
        expected: Vec<usize>,
    },

    /// A tensor has an element type that cannot be a weight here.
    #[error("{}: `{name}` has dtype {found:?}, expected F32, BF16 or F16", file.display())]
    TensorDtype {
        /// The weights file.
        file: PathBuf,
        /// The tensor as the file names it.
        name: String,
        /// The type stored.
        found: Dtype,
    },

    /// The index of a sharded checkpoint names a shard that is not there.
    #[error("{}: shard `{shard}` is named in the index and missing in the folder", index.display())]
    MissingShard {
        /// The index file.
        index: PathBuf,
        /// The shard's file name.
        shard: String,
    },

    /// A checkpoint name is neither a folder nor `hf:ORG/NAME`.
    #[error("`{name}` is not a checkpoint folder; give a folder with `config.json`, or `hf:ORG/NAME`")]
    UnknownCheckpoint {
        /// What was given.
        name: String,
    },

    /// No name of a data set on the hub.
    #[error("`{name}` is not a data set of the hub; expected `hf:ORG/NAME`")]
    UnknownDataset {
        /// What was given.
        name: String,
    },

    /// The hub could not deliver a file.
    #[error("hf:{repo}: {file} could not be fetched")]
    Hub {
        /// ORG/NAME.
        repo: String,
        /// What was asked for.
        file: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// The hub was not asked because `HF_HUB_OFFLINE` is set, and the cache lacks a file.
    #[error("hf:{repo}: `{file}` is not in the cache and `HF_HUB_OFFLINE` is set")]
    Offline {
        /// ORG/NAME.
        repo: String,
        /// The file asked for.
        file: String,
    },

    /// Pruning that cannot be, or not with this decoder.
    #[error(transparent)]
    Prune(#[from] visionthink_prune::PruneError),

    /// VisionZip, and a tower whose blocks see windows only.
    #[error("`visionzip` scores by a block that sees the whole image; `fullatt_block_indexes` of this tower is empty")]
    NoWholeImageBlock,

    /// The device failed while values were read back.
    #[error("the device failed: {reason}")]
    Device {
        /// What it said.
        reason: String,
    },

    /// Images were given to a model without a vision tower.
    #[error("this checkpoint is text only; it cannot take images")]
    NoVisionTower,

    /// A grid that the tower cannot take.
    #[error("image {image}: grid {t}x{h}x{w} patches; sides must be positive multiples of {merge}")]
    Grid {
        /// Index of the image in the call.
        image: usize,
        /// Frames.
        t: u32,
        /// Rows of patches.
        h: u32,
        /// Columns of patches.
        w: u32,
        /// Patches a side of one image token.
        merge: u32,
    },

    /// Pixel values do not match the grids.
    #[error("pixel values are {found:?}, the grids ask for {expected:?}")]
    PixelValues {
        /// The shape given.
        found: [usize; 2],
        /// [patches of all grids, values of a patch].
        expected: [usize; 2],
    },

    /// Image tokens and images do not match.
    #[error("{tokens} image tokens in the text, the images ask for {expected}")]
    ImageTokens {
        /// Placeholders in the ids.
        tokens: usize,
        /// Image tokens by the grids, or rows of image embeddings.
        expected: usize,
    },

    /// An id outside the vocabulary.
    #[error("token id {id} is outside the vocabulary of {vocab_size}")]
    TokenId {
        /// The id.
        id: u32,
        /// Rows of the embedding.
        vocab_size: usize,
    },
}

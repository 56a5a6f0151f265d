//! What a checkpoint folder holds, opened.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::Device;
use serde::{Deserialize, Deserializer};
use visionthink_image::Processor;
use visionthink_model::{Adapter, Config, LoadOptions, Model, ModelError};
use visionthink_protocol::{ChatTemplate, Tokenizer};

use crate::engine::{EmbeddedEngine, EngineOptions};
use crate::error::EngineError;

/// A checkpoint folder without its weights, which [`ModelFolder::load`] reads: sizes, tokenizer, chat template, image
/// processor and generation settings.
#[derive(Debug, Clone)]
pub struct ModelFolder {
    /// Where it is.
    pub path: PathBuf,
    /// `config.json`.
    pub config: Config,
    /// The tokenizer.
    pub tokenizer: Arc<Tokenizer>,
    /// The chat template.
    pub template: Arc<ChatTemplate>,
    /// The image processor; `None` for text-only checkpoints.
    pub processor: Option<Arc<Processor>>,
    /// `generation_config.json`, empty where there is none.
    pub generation: GenerationConfig,
    /// The folder of an adapter that belongs to the weights.
    pub adapter: Option<PathBuf>,
}

/// The keys of `generation_config.json` that are used here; others are ignored.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct GenerationConfig {
    /// Ids that end a reply.
    #[serde(default, deserialize_with = "one_or_many")]
    pub eos_token_id: Vec<u32>,
    /// Whether transformers would draw rather than take the most likely token.
    pub do_sample: Option<bool>,
    /// See [`Sampling`](crate::Sampling).
    pub temperature: Option<f64>,
    /// See [`Sampling`](crate::Sampling).
    pub top_p: Option<f64>,
    /// See [`Sampling`](crate::Sampling).
    pub top_k: Option<usize>,
    /// See [`Sampling`](crate::Sampling).
    pub repetition_penalty: Option<f64>,
}

impl ModelFolder {
    /// Reads everything but the weights.
    ///
    /// # Errors
    /// A file that is missing or broken; the message names it.
    pub fn open(path: &Path) -> Result<Self, EngineError> {
        let config = Config::from_folder(path)?;
        let processor = match config.vision {
            Some(_) => Some(Arc::new(Processor::from_dir(path)?)),
            None => None,
        };
        Ok(Self {
            config,
            processor,
            tokenizer: Arc::new(Tokenizer::from_dir(path)?),
            template: Arc::new(ChatTemplate::from_dir(path)?),
            generation: GenerationConfig::from_folder(path)?,
            path: path.to_owned(),
            adapter: None,
        })
    }

    /// The folder with the adapter in `adapter`, which is in the layout of PEFT.
    #[must_use]
    pub fn with_adapter(self, adapter: &Path) -> Self {
        Self { adapter: Some(adapter.to_owned()), ..self }
    }

    /// Reads the weights. An adapter is merged into them: it costs nothing from then on.
    ///
    /// # Errors
    /// As [`Model::load`] and [`Adapter::read`].
    pub fn load(&self, options: &LoadOptions, device: &Device) -> Result<Model, ModelError> {
        let Some(folder) = &self.adapter else { return Model::load(&self.path, options, device) };
        // The smaller files first: what is wrong with them should not cost a load of the weights.
        let adapter = Adapter::read(folder, &self.config)?;
        Ok(Model::load(&self.path, options, device)?.with_adapter(&adapter).merge_adapter())
    }

    /// An engine with the weights of the folder.
    ///
    /// # Errors
    /// As [`Model::load`]; pruning that the network cannot follow.
    pub fn engine(
        &self,
        load: &LoadOptions,
        device: &Device,
        options: EngineOptions,
    ) -> Result<EmbeddedEngine, EngineError> {
        if let Some(pruning) = &options.pruning {
            self.config.check_pruning(pruning)?;
        }
        Ok(EmbeddedEngine::new(self.load(load, device)?, Some(self.tokenizer.clone()), options))
    }

    /// Ids that end a reply: those of `generation_config.json`, else those of `config.json`.
    pub fn stop_ids(&self) -> &[u32] {
        match self.generation.eos_token_id.as_slice() {
            [] => &self.config.eos_token_id,
            ids => ids,
        }
    }

    /// Ids that should never be sampled: placeholders of images and videos, and ids without a token.
    pub fn suppressed_ids(&self) -> Arc<[u32]> {
        self.tokenizer.suppressed_ids(self.config.text.vocab_size).into()
    }
}

impl GenerationConfig {
    /// Reads `generation_config.json`; a folder without one has no settings.
    ///
    /// # Errors
    /// The file cannot be read, is not JSON, or holds a value of another type.
    pub fn from_folder(folder: &Path) -> Result<Self, EngineError> {
        let file = folder.join("generation_config.json");
        if !file.exists() {
            return Ok(Self::default());
        }
        let text = fs_err::read_to_string(&file)?;
        serde_json::from_str(&text).map_err(|source| EngineError::GenerationConfig { file, source })
    }
}

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u32>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Ids {
        One(u32),
        Many(Vec<u32>),
        None,
    }
    Ok(match Ids::deserialize(deserializer)? {
        Ids::One(id) => vec![id],
        Ids::Many(ids) => ids,
        Ids::None => Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> GenerationConfig {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn end_ids_come_as_one_as_a_list_or_not_at_all() {
        assert_eq!(parse(r#"{"eos_token_id": 3, "pad_token_id": 1}"#).eos_token_id, [3]);
        assert_eq!(parse(r#"{"eos_token_id": [3, 4]}"#).eos_token_id, [3, 4]);
        assert!(parse(r#"{"eos_token_id": null}"#).eos_token_id.is_empty());
        assert_eq!(parse("{}"), GenerationConfig::default());
    }

    #[test]
    fn a_broken_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs_err::write(folder.path().join("generation_config.json"), "{").unwrap();
        let message = GenerationConfig::from_folder(folder.path()).unwrap_err().to_string();
        assert!(message.contains("generation_config.json"), "{message}");
    }
}

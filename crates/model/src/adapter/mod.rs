//! Low-rank adapters: which matrices they change, how they start, and the folders that PEFT reads and writes.

mod attach;
mod peft;
mod read;
mod targets;
mod write;

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::error::ModelError;
use crate::weights::{Dtype, Parameter, uniform};

/// File names of PEFT.
const CONFIG_FILE: &str = "adapter_config.json";
const TENSORS_FILE: &str = "adapter_model.safetensors";

/// In front of the names of tensors, not of modules: the classes of PEFT around the model.
const PREFIX: &str = "base_model.model.";

/// Ends of the paths of the two factors, behind the path of their module.
const FACTOR_A: &str = ".lora.a";
const FACTOR_B: &str = ".lora.b";

/// How strongly the product of the factors counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scaling {
    /// `alpha / rank` (Hu et al. 2021, arXiv:2106.09685, section 4.1).
    Standard,
    /// `alpha / sqrt(rank)`, which keeps gradients at their size as the rank grows (Kalajdzievski 2023, arXiv:2312.03732).
    RankStabilised,
}

/// The numbers that all pairs of an adapter share.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LoraSettings {
    /// Columns of A and rows of B.
    pub rank: usize,
    /// Numerator of the scale.
    pub alpha: f64,
    /// Its denominator.
    pub scaling: Scaling,
}

impl LoraSettings {
    /// The factor on `A B`.
    pub fn scale(&self) -> f64 {
        match self.scaling {
            Scaling::Standard => self.alpha / self.rank as f64,
            Scaling::RankStabilised => self.alpha / (self.rank as f64).sqrt(),
        }
    }
}

/// What is learned beside a frozen checkpoint: pairs of factors, and parameters that replace those of the base.
#[derive(Debug, Clone, PartialEq)]
pub struct Adapter {
    settings: LoraSettings,
    base: Option<String>,
    /// By path in the module tree.
    tensors: BTreeMap<String, Held>,
}

/// One tensor, f32 in the layout of the modules.
#[derive(Debug, Clone, PartialEq)]
struct Held {
    parameter: Parameter,
    values: Vec<f32>,
}

impl Adapter {
    /// An adapter that changes nothing yet: A is uniform within `1 / sqrt(in)`, as PEFT's Kaiming initialisation gives, and B is zero.
    ///
    /// Every A draws from its own stream of `seed`.
    ///
    /// # Errors
    /// [`ModelError::UnknownTarget`]; see [`Adapter::adapted`].
    pub fn init(config: &Config, settings: LoraSettings, targets: &[String], seed: u64) -> Result<Self, ModelError> {
        let mut tensors = BTreeMap::new();
        for module in Self::adapted(config, targets)? {
            for parameter in targets::factors(config, &module, settings.rank) {
                let count = parameter.len();
                let values = if parameter.path.ends_with(FACTOR_A) {
                    let bound = (parameter.file_shape[1] as f64).sqrt().recip();
                    uniform(seed, &parameter.path, count, bound)
                } else {
                    vec![0.0; count]
                };
                tensors.insert(parameter.path.clone(), Held { parameter, values });
            }
        }
        Ok(Self { settings, base: None, tensors })
    }

    /// An adapter without tensors, to be given some by [`Adapter::with_values`].
    pub fn empty(settings: LoraSettings) -> Self {
        Self { settings, base: None, tensors: BTreeMap::new() }
    }

    /// Reads a folder in the layout of PEFT, made here or there.
    ///
    /// # Errors
    /// A missing or broken file; another kind of adapter than LoRA, or one with an option that is not computed here; a tensor for a module
    /// that a model of `config` does not have, or of another shape.
    pub fn read(folder: &Path, config: &Config) -> Result<Self, ModelError> {
        read::read(folder, config)
    }

    /// Whether a folder holds an adapter.
    pub fn is_in(folder: &Path) -> bool {
        folder.join(CONFIG_FILE).is_file()
    }

    /// The checkpoint that the adapter in a folder was made for, as its `adapter_config.json` names it.
    ///
    /// # Errors
    /// The file is missing or broken.
    pub fn base_in(folder: &Path) -> Result<Option<String>, ModelError> {
        Ok(peft::PeftConfig::read(folder)?.base)
    }

    /// Writes `adapter_config.json` and `adapter_model.safetensors` as PEFT names and orders them for the classes of transformers 5, into
    /// `folder`, which is created where needed.
    ///
    /// # Errors
    /// A file cannot be written; [`ModelError::TiedEmbedding`] for an embedding that replaces one which is the head as well.
    pub fn write(&self, folder: &Path, config: &Config, dtype: Dtype) -> Result<(), ModelError> {
        write::write(self, folder, config, dtype)
    }

    /// The adapter with other values for its tensors, and with parameters that replace those of the base.
    ///
    /// # Panics
    /// A path that a model of `config` does not have, or values of another number.
    #[must_use]
    pub fn with_values<'a>(mut self, config: &Config, values: impl Iterator<Item = (&'a str, &'a [f32])>) -> Self {
        let known = targets::by_path(config, self.settings.rank);
        for (path, values) in values {
            let parameter = known.get(path).unwrap_or_else(|| panic!("`{path}` is not in the model")).clone();
            assert_eq!(parameter.len(), values.len(), "values of `{path}`");
            self.tensors.insert(path.to_owned(), Held { parameter, values: values.to_vec() });
        }
        self
    }

    /// The adapter, saying which checkpoint it is for.
    #[must_use]
    pub fn of_base(mut self, base: impl Into<String>) -> Self {
        self.base = Some(base.into());
        self
    }

    /// Paths of the modules that `targets` name in a model of `config`.
    ///
    /// A target is the last word of a decoder's module, as PEFT has it (`q_proj`, `k_proj`, `v_proj`, `o_proj`, `gate_proj`, `up_proj`,
    /// `down_proj`), `lm_head` where the head is a matrix of its own, or a kind of module of the vision tower in full: `visual.attn.qkv`,
    /// `visual.attn.proj`, `visual.mlp.gate_proj`, `visual.mlp.up_proj`, `visual.mlp.down_proj`, `visual.merger.mlp.0`, `visual.merger.mlp.2`.
    ///
    /// # Errors
    /// [`ModelError::UnknownTarget`] for a name that no module has.
    pub fn adapted(config: &Config, targets: &[String]) -> Result<Vec<String>, ModelError> {
        targets::modules(config, targets)
    }

    /// Whether a path is that of a factor.
    pub fn is_factor(path: &str) -> bool {
        path.ends_with(FACTOR_A) || path.ends_with(FACTOR_B)
    }

    /// The numbers that all pairs share.
    pub fn settings(&self) -> LoraSettings {
        self.settings
    }

    /// The checkpoint it is for, where it says so.
    pub fn base(&self) -> Option<&str> {
        self.base.as_deref()
    }

    /// Path and values of every tensor, f32 in the layout of the modules.
    pub fn values(&self) -> impl Iterator<Item = (&str, &[f32])> {
        self.tensors.iter().map(|(path, held)| (path.as_str(), held.values.as_slice()))
    }

    /// The values at a path.
    pub fn get(&self, path: &str) -> Option<&[f32]> {
        self.tensors.get(path).map(|held| held.values.as_slice())
    }
}

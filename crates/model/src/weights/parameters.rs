//! The list of parameters of a configuration: the one place that knows their names, shapes and layouts.

use super::convert;
use crate::config::{Config, VisionConfig};

/// How a parameter in memory relates to its tensor in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// The same.
    Same,
    /// [in, out] in memory, [out, in] in the file.
    Transposed,
    /// [patch values, C] in memory, [C, colours, frames, side, side] in the file.
    Patch,
}

/// One parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Where it is in the module tree, as burn's module visitors spell it.
    pub path: String,
    /// Its shape in a file.
    pub file_shape: Vec<usize>,
    /// How the two relate.
    pub layout: Layout,
}

impl Parameter {
    /// Its shape in memory.
    pub fn shape(&self) -> Vec<usize> {
        let shape = &self.file_shape;
        match self.layout {
            Layout::Same => shape.clone(),
            Layout::Transposed => vec![shape[1], shape[0]],
            Layout::Patch => vec![shape[1..].iter().product(), shape[0]],
        }
    }

    /// Whether it is added rather than multiplied.
    pub fn is_bias(&self) -> bool {
        self.path.rsplit('.').next() == Some("bias")
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.file_shape.iter().product()
    }

    /// Whether it has no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its name in released files: `visual.*`, `model.*`, `lm_head.weight`.
    pub fn file_name(&self) -> String {
        let path = self.path.replace("merger.mlp.fc1", "merger.mlp.0").replace("merger.mlp.fc2", "merger.mlp.2");
        match path.strip_prefix("language_model.") {
            Some(rest) => format!("model.{rest}"),
            None => path,
        }
    }

    /// Its name in files that transformers writes from its modules: `model.visual.*`, `model.language_model.*`,
    /// `lm_head.weight`.
    pub fn new_file_name(&self) -> String {
        let name = self.file_name();
        match name.strip_prefix("model.") {
            Some(rest) => format!("model.language_model.{rest}"),
            None if name.starts_with("visual.") => format!("model.{name}"),
            None => name,
        }
    }

    /// Values in the layout of the modules, reordered to that of files.
    pub fn to_file_layout(&self, values: Vec<f32>) -> Vec<f32> {
        convert::to_file(values, self)
    }

    /// Values in the layout of files, reordered to that of the modules.
    pub fn to_memory_layout(&self, values: Vec<f32>) -> Vec<f32> {
        convert::to_memory(values, self)
    }
}

/// A file's name for a tensor as released files have it. Newer files write `model.visual.*` and
/// `model.language_model.*`.
pub(crate) fn released_name(name: &str) -> String {
    if let Some(rest) = name.strip_prefix("model.visual.") {
        format!("visual.{rest}")
    } else if let Some(rest) = name.strip_prefix("model.language_model.") {
        format!("model.{rest}")
    } else {
        name.to_string()
    }
}

/// All parameters of a model of this configuration: the vision tower first, then the decoder, then the head.
pub fn parameters(config: &Config) -> Vec<Parameter> {
    let mut list = List(Vec::new());
    if let Some(vision) = &config.vision {
        list.vision(vision);
    }
    list.text(config);
    list.0
}

struct List(Vec<Parameter>);

impl List {
    fn push(&mut self, path: String, file_shape: &[usize], layout: Layout) {
        self.0.push(Parameter { path, file_shape: file_shape.to_vec(), layout });
    }

    fn norm(&mut self, path: &str, width: usize) {
        self.push(format!("{path}.weight"), &[width], Layout::Same);
    }

    fn linear(&mut self, path: &str, [input, output]: [usize; 2], bias: bool) {
        self.push(format!("{path}.weight"), &[output, input], Layout::Transposed);
        if bias {
            self.push(format!("{path}.bias"), &[output], Layout::Same);
        }
    }

    fn mlp(&mut self, path: &str, width: usize, inner: usize, bias: bool) {
        self.linear(&format!("{path}.gate_proj"), [width, inner], bias);
        self.linear(&format!("{path}.up_proj"), [width, inner], bias);
        self.linear(&format!("{path}.down_proj"), [inner, width], bias);
    }

    fn vision(&mut self, config: &VisionConfig) {
        let width = config.hidden_size;
        let (side, frames) = (config.patch_size, config.temporal_patch_size);
        let patch = [width, config.in_channels, frames, side, side];
        self.push("visual.patch_embed.proj.weight".into(), &patch, Layout::Patch);
        for index in 0..config.depth {
            let block = format!("visual.blocks.{index}");
            self.norm(&format!("{block}.norm1"), width);
            self.norm(&format!("{block}.norm2"), width);
            self.linear(&format!("{block}.attn.qkv"), [width, 3 * width], true);
            self.linear(&format!("{block}.attn.proj"), [width, width], true);
            self.mlp(&format!("{block}.mlp"), width, config.intermediate_size, true);
        }
        let merged = width * config.merge_unit();
        self.norm("visual.merger.ln_q", width);
        self.linear("visual.merger.mlp.fc1", [merged, merged], true);
        self.linear("visual.merger.mlp.fc2", [merged, config.out_hidden_size], true);
    }

    fn text(&mut self, config: &Config) {
        let text = &config.text;
        let width = text.hidden_size;
        let (queries, keys) = (text.num_attention_heads * text.head_dim, text.num_key_value_heads * text.head_dim);
        let layout = if config.tie_word_embeddings { Layout::Transposed } else { Layout::Same };
        self.push("language_model.embed_tokens.weight".into(), &[text.vocab_size, width], layout);
        for index in 0..text.num_hidden_layers {
            let layer = format!("language_model.layers.{index}");
            self.linear(&format!("{layer}.self_attn.q_proj"), [width, queries], text.attention_bias);
            self.linear(&format!("{layer}.self_attn.k_proj"), [width, keys], text.attention_bias);
            self.linear(&format!("{layer}.self_attn.v_proj"), [width, keys], text.attention_bias);
            self.linear(&format!("{layer}.self_attn.o_proj"), [queries, width], false);
            if text.qk_norm {
                self.norm(&format!("{layer}.self_attn.q_norm"), text.head_dim);
                self.norm(&format!("{layer}.self_attn.k_norm"), text.head_dim);
            }
            self.mlp(&format!("{layer}.mlp"), width, text.intermediate_size, false);
            self.norm(&format!("{layer}.input_layernorm"), width);
            self.norm(&format!("{layer}.post_attention_layernorm"), width);
        }
        self.norm("language_model.norm", width);
        if !config.tie_word_embeddings {
            self.linear("lm_head", [width, text.vocab_size], false);
        }
    }
}

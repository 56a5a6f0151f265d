//! Tiny checkpoints and what transformers 5.23 computed from them: the folder `VISIONTHINK_REFERENCE`, or the project's
//! fixtures.
#![allow(dead_code, reason = "each test binary uses a part")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::Device;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use visionthink_engine::{Backend, EmbeddedEngine, EngineOptions, Event, TurnId, TurnReply};
use visionthink_image::{DecodeOptions, GridThw, Patches, Processor, RgbImage, lanczos_half, open};
use visionthink_model::{Config, LoadOptions, Model, ModelError};

/// The folder of vectors, and whether it is the project's own, which is never empty.
pub(crate) fn folder() -> (PathBuf, bool) {
    match std::env::var_os("VISIONTHINK_REFERENCE") {
        Some(folder) => (folder.into(), false),
        None => (Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures"), true),
    }
}

/// The project's own vectors, for tests that need one checkpoint and not all.
pub(crate) fn fixture(name: &str) -> Checkpoint {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/models");
    Checkpoint { path: models.join(name), models, name: name.to_owned() }
}

/// A checkpoint folder with cases.
pub(crate) struct Checkpoint {
    pub(crate) path: PathBuf,
    models: PathBuf,
    name: String,
}

/// Checkpoints of architectures that the model crate knows.
pub(crate) fn checkpoints() -> Vec<Checkpoint> {
    let models = folder().0.join("models");
    let Ok(entries) = fs_err::read_dir(&models) else { return Vec::new() };
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| models.join(name).join("config.json").is_file() && models.join(name).join("cases").is_dir())
        .filter(|name| !matches!(Config::from_folder(&models.join(name)), Err(ModelError::UnknownArchitecture { .. })))
        .collect();
    names.sort();
    names.into_iter().map(|name| Checkpoint { path: models.join(&name), models: models.clone(), name }).collect()
}

impl Checkpoint {
    pub(crate) fn model(&self) -> Model {
        Model::load(&self.path, &LoadOptions::default(), &Device::flex()).unwrap()
    }

    pub(crate) fn engine(&self, max_rows: usize) -> EmbeddedEngine {
        EmbeddedEngine::new(self.model(), None, EngineOptions { max_rows, ..EngineOptions::default() })
    }

    /// Cases that recorded continuations.
    pub(crate) fn cases(&self) -> Vec<Case> {
        let mut paths: Vec<PathBuf> = fs_err::read_dir(self.path.join("cases"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "safetensors"))
            .collect();
        paths.sort();
        paths.into_iter().map(|path| self.read_case(&path)).filter(|case| case.tensors.has("gen.ids")).collect()
    }

    pub(crate) fn case(&self, name: &str) -> Case {
        self.read_case(&self.path.join("cases").join(format!("{name}.safetensors")))
    }

    fn read_case(&self, path: &Path) -> Case {
        let json: Value = serde_json::from_str(&fs_err::read_to_string(path.with_extension("json")).unwrap()).unwrap();
        let tensors = Tensors::read(path);
        let file = format!("models/{}/cases/{}", self.name, path.file_name().unwrap().to_str().unwrap());
        let images = self.images(&json, &tensors);
        let rows = rows(&tensors, images, self.image_token());
        Case { file, json, tensors, rows }
    }

    fn image_token(&self) -> Option<u32> {
        Config::from_folder(&self.path).unwrap().image_token_id()
    }

    fn images(&self, json: &Value, tensors: &Tensors) -> Vec<Arc<Patches>> {
        let sources = json["images"].as_array().map(Vec::as_slice).unwrap_or_default();
        if sources.is_empty() {
            return Vec::new();
        }
        let processor = Processor::from_dir(&self.path).unwrap();
        let image = |(index, source): (usize, &Value)| {
            let name = format!("resized_u8.{index}");
            if tensors.has(&name) {
                let shape = tensors.shape(&name);
                let image = RgbImage::new(shape[1] as u32, shape[0] as u32, tensors.bytes(&name).to_vec()).unwrap();
                return Arc::new(processor.patches_of_resized(&image));
            }
            let image = self.decoded(source["file"].as_str().unwrap());
            let image = match source["op"].as_str() {
                None => image,
                Some("lanczos_half") => lanczos_half(&image).unwrap(),
                Some(other) => panic!("unknown op `{other}`"),
            };
            Arc::new(processor.process(&image).unwrap())
        };
        sources.iter().enumerate().map(image).collect()
    }

    /// The recorded bytes of a file where there are some: decoders may differ by a level.
    pub(crate) fn decoded(&self, file: &str) -> RgbImage {
        let recorded = self.models.join("image_processing/qwen2_5_vl").join(format!("{file}.safetensors"));
        if recorded.is_file() {
            let tensors = Tensors::read(&recorded);
            if tensors.has("rgb") {
                let shape = tensors.shape("rgb");
                return RgbImage::new(shape[1] as u32, shape[0] as u32, tensors.bytes("rgb").to_vec()).unwrap();
            }
        }
        open(&self.models.join("images").join(file), &DecodeOptions::default()).unwrap()
    }
}

/// One row of a case.
#[derive(Clone)]
pub(crate) struct Row {
    pub(crate) ids: Vec<u32>,
    pub(crate) images: Vec<Arc<Patches>>,
}

/// One recorded case.
pub(crate) struct Case {
    pub(crate) file: String,
    pub(crate) json: Value,
    pub(crate) tensors: Tensors,
    pub(crate) rows: Vec<Row>,
}

impl Case {
    /// Row `row` of a tensor with one row per sequence.
    pub(crate) fn row_of<'a, T>(&self, values: &'a [T], row: usize) -> &'a [T] {
        let width = values.len() / self.rows.len();
        &values[row * width..][..width]
    }
}

/// Takes padding out and hands the images to the rows whose placeholders they fill.
fn rows(tensors: &Tensors, images: Vec<Arc<Patches>>, image_token: Option<u32>) -> Vec<Row> {
    const MERGE: u32 = 2;
    let ids = tensors.ids("input_ids");
    let width = *tensors.shape("input_ids").last().unwrap();
    let valid = if tensors.has("attention_mask") { tensors.ids("attention_mask") } else { vec![1; ids.len()] };
    let mut images = images.into_iter();
    ids.chunks(width)
        .zip(valid.chunks(width))
        .map(|(ids, valid)| {
            let ids: Vec<u32> = ids.iter().zip(valid).filter(|(_, valid)| **valid == 1).map(|(id, _)| *id).collect();
            let mut pads = ids.iter().filter(|id| Some(**id) == image_token).count();
            let mut own = Vec::new();
            while pads > 0 {
                let image = images.next().unwrap();
                pads -= image.grid.tokens(MERGE);
                own.push(image);
            }
            Row { ids, images: own }
        })
        .collect()
}

/// A safetensors file in memory.
pub(crate) struct Tensors {
    shapes: HashMap<String, Vec<usize>>,
    floats: HashMap<String, Vec<f32>>,
    integers: HashMap<String, Vec<i32>>,
    bytes: HashMap<String, Vec<u8>>,
}

impl Tensors {
    fn read(path: &Path) -> Self {
        let buffer = fs_err::read(path).unwrap();
        let mut tensors =
            Self { shapes: HashMap::new(), floats: HashMap::new(), integers: HashMap::new(), bytes: HashMap::new() };
        for (name, view) in SafeTensors::deserialize(&buffer).unwrap().iter() {
            let (words, _) = view.data().as_chunks::<4>();
            let name = name.to_owned();
            tensors.shapes.insert(name.clone(), view.shape().to_vec());
            match view.dtype() {
                Dtype::F32 => {
                    tensors.floats.insert(name, words.iter().map(|word| f32::from_le_bytes(*word)).collect());
                }
                Dtype::I32 => {
                    tensors.integers.insert(name, words.iter().map(|word| i32::from_le_bytes(*word)).collect());
                }
                Dtype::U8 => {
                    tensors.bytes.insert(name, view.data().to_vec());
                }
                other => panic!("{}: `{name}` is {other:?}", path.display()),
            }
        }
        tensors
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.shapes.contains_key(name)
    }

    pub(crate) fn shape(&self, name: &str) -> &[usize] {
        &self.shapes[name]
    }

    pub(crate) fn floats(&self, name: &str) -> &[f32] {
        &self.floats[name]
    }

    pub(crate) fn bytes(&self, name: &str) -> &[u8] {
        &self.bytes[name]
    }

    pub(crate) fn ids(&self, name: &str) -> Vec<u32> {
        self.integers[name].iter().map(|id| u32::try_from(*id).unwrap()).collect()
    }
}

/// Steps until all turns have ended; panics on one that failed.
pub(crate) fn finish(engine: &mut impl Backend, turns: &[TurnId]) -> Vec<TurnReply> {
    let mut replies: HashMap<TurnId, TurnReply> = HashMap::new();
    while turns.iter().any(|turn| !replies.contains_key(turn)) {
        let events = engine.step().unwrap();
        assert!(!events.is_empty(), "a step with turns in flight tells something");
        for event in events {
            match event {
                Event::Token { .. } => {}
                Event::Finished { turn, reply } => {
                    replies.insert(turn, reply);
                }
                Event::Failed { turn, error } => panic!("turn {turn}: {error}"),
            }
        }
    }
    turns.iter().map(|turn| replies[turn].clone()).collect()
}

/// Largest absolute difference, its index, and whether everything is finite and of one length.
pub(crate) fn close(what: &str, found: &[f32], expected: &[f32], limit: f32) -> Result<(), String> {
    if found.len() != expected.len() {
        return Err(format!("{what}: {} values, expected {}", found.len(), expected.len()));
    }
    if let Some(at) = found.iter().position(|value| !value.is_finite()) {
        return Err(format!("{what}: {} at {at}", found[at]));
    }
    let differences = found.iter().zip(expected).map(|(found, expected)| (found - expected).abs());
    let (at, largest) = differences.enumerate().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((0, 0.0));
    if largest <= limit { Ok(()) } else { Err(format!("{what}: off by {largest:.1e} at {at}, limit {limit:.0e}")) }
}

/// A grid, for requests that are wrong on purpose.
pub(crate) fn grid(h: u32, w: u32) -> GridThw {
    GridThw { t: 1, h, w }
}

//! The folder of vectors, and safetensors files in it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};

use crate::cases::Case;

/// A folder of the layout of `fixtures/`.
pub(crate) struct Root {
    folder: PathBuf,
    /// The project's own fixtures are never empty.
    pub(crate) fixtures: bool,
}

impl Root {
    pub(crate) fn find() -> Self {
        match std::env::var_os("VISIONTHINK_REFERENCE") {
            Some(folder) => Self { folder: folder.into(), fixtures: false },
            None => Self { folder: Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures"), fixtures: true },
        }
    }

    /// Checkpoint folders of architectures that this crate knows.
    pub(crate) fn checkpoints(&self) -> Vec<Checkpoint> {
        let models = self.folder.join("models");
        let mut names: Vec<String> = fs_err::read_dir(&models)
            .into_iter()
            .flatten()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| models.join(name).join("config.json").is_file())
            .collect();
        names.sort();
        let known = |name: &String| {
            let config: serde_json::Value = read_json(&models.join(name).join("config.json"));
            let known = matches!(config["model_type"].as_str(), Some("qwen2_5_vl" | "qwen2" | "qwen3"));
            if !known {
                println!("reference models/{name}: not read, {} is not supported", config["model_type"]);
            }
            known
        };
        names.retain(known);
        names
            .into_iter()
            .map(|name| Checkpoint {
                folder: models.join(&name),
                images: models.join("images"),
                name: format!("models/{name}"),
            })
            .collect()
    }

    /// Window tables: the list of grids and the tensors beside it.
    pub(crate) fn window_tables(&self) -> Vec<(serde_json::Value, File)> {
        let folder = self.folder.join("models/image_processing/qwen2_5_vl");
        let json = folder.join("windows.json");
        if !json.is_file() {
            return Vec::new();
        }
        let name = "models/image_processing/qwen2_5_vl/windows.safetensors".to_string();
        vec![(read_json(&json), File::read(&folder.join("windows.safetensors"), name))]
    }
}

/// A checkpoint folder with its cases.
pub(crate) struct Checkpoint {
    pub(crate) folder: PathBuf,
    pub(crate) images: PathBuf,
    pub(crate) name: String,
}

impl Checkpoint {
    /// Every pair of `.json` and `.safetensors` below `cases/`.
    pub(crate) fn cases(&self) -> Vec<Case> {
        let folder = self.folder.join("cases");
        let mut stems: Vec<String> = fs_err::read_dir(&folder)
            .unwrap()
            .filter_map(|entry| {
                entry.unwrap().file_name().into_string().unwrap().strip_suffix(".safetensors").map(String::from)
            })
            .collect();
        stems.sort();
        stems
            .into_iter()
            .map(|stem| Case {
                json: read_json(&folder.join(format!("{stem}.json"))),
                tensors: File::read(
                    &folder.join(format!("{stem}.safetensors")),
                    format!("{}/cases/{stem}.safetensors", self.name),
                ),
            })
            .collect()
    }
}

pub(crate) fn read_json(path: &Path) -> serde_json::Value {
    serde_json::from_str(&fs_err::read_to_string(path).unwrap()).unwrap()
}

/// A safetensors file in memory.
pub(crate) struct File {
    /// Relative to the root.
    pub(crate) name: String,
    shapes: HashMap<String, Vec<usize>>,
    floats: HashMap<String, Vec<f32>>,
    integers: HashMap<String, Vec<i32>>,
    bytes: HashMap<String, Vec<u8>>,
}

impl File {
    fn read(path: &Path, name: String) -> Self {
        let buffer = fs_err::read(path).unwrap();
        let tensors = SafeTensors::deserialize(&buffer).unwrap();
        let mut file = Self {
            name,
            shapes: HashMap::new(),
            floats: HashMap::new(),
            integers: HashMap::new(),
            bytes: HashMap::new(),
        };
        for (name, view) in tensors.iter() {
            file.shapes.insert(name.into(), view.shape().to_vec());
            match view.dtype() {
                Dtype::F32 => drop(file.floats.insert(name.into(), bytemuck::pod_collect_to_vec(view.data()))),
                Dtype::I32 => drop(file.integers.insert(name.into(), bytemuck::pod_collect_to_vec(view.data()))),
                Dtype::U8 => drop(file.bytes.insert(name.into(), view.data().to_vec())),
                other => panic!("{}: `{name}` is {other:?}", path.display()),
            }
        }
        file
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.shapes.contains_key(name)
    }

    pub(crate) fn shape(&self, name: &str) -> &[usize] {
        self.shapes.get(name).unwrap_or_else(|| panic!("{}: no `{name}`", self.name))
    }

    pub(crate) fn floats(&self, name: &str) -> &[f32] {
        self.floats.get(name).unwrap_or_else(|| panic!("{}: no float `{name}`", self.name))
    }

    pub(crate) fn integers(&self, name: &str) -> &[i32] {
        self.integers.get(name).unwrap_or_else(|| panic!("{}: no integer `{name}`", self.name))
    }

    pub(crate) fn bytes(&self, name: &str) -> &[u8] {
        self.bytes.get(name).unwrap_or_else(|| panic!("{}: no byte `{name}`", self.name))
    }

    /// Non-negative integers.
    pub(crate) fn ids(&self, name: &str) -> Vec<u32> {
        self.integers(name).iter().map(|id| u32::try_from(*id).unwrap()).collect()
    }
}

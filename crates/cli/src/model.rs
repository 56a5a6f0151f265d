//! The model, chosen once.

use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::Context;
use burn::tensor::Device;
use serde::Deserialize;
use visionthink_engine::{EmbeddedEngine, EngineOptions, ModelFolder};
use visionthink_image::Processor;
use visionthink_model::{Download, Dtype, LoadOptions, resolve_dataset, resolve_with_progress};
use visionthink_protocol::{Profile, ProfileName};
use visionthink_prune::Choice;

use crate::args::ModelArguments;
use crate::failure::Failure;
use crate::micro;
use crate::progress;

/// `micro`, a checkpoint folder, or `hf:ORG/NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ModelSource {
    /// The embedded model.
    Micro,
    /// A folder, or a name that the hub client knows.
    Named(String),
}

impl FromStr for ModelSource {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(if text == "micro" { Self::Micro } else { Self::Named(text.to_owned()) })
    }
}

impl fmt::Display for ModelSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Micro => f.write_str("micro"),
            Self::Named(name) => f.write_str(name),
        }
    }
}

/// What a checkpoint says of itself for this program, in `visionthink.json`; released checkpoints have no such file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Card {
    /// The profile it was trained with.
    profile: ProfileName,
}

/// The folder of a data set of the hub, fetched where it is not in the cache.
pub(crate) fn dataset(name: &str) -> anyhow::Result<PathBuf> {
    Ok(watched(|progress| resolve_dataset(name, progress))?)
}

/// Downloads with a bar, once there is something to download.
fn watched<T>(download: impl FnOnce(&mut dyn FnMut(Download<'_>)) -> T) -> T {
    let mut bar = None;
    let done = download(&mut |download| {
        let bar = bar.get_or_insert_with(progress::download);
        bar.set_message(download.file.to_owned());
        bar.set_length(download.total);
        bar.set_position(download.done);
    });
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    done
}

impl ModelSource {
    fn path(&self) -> anyhow::Result<PathBuf> {
        match self {
            Self::Micro => micro::unpacked(),
            Self::Named(name) => {
                let folder = watched(|progress| resolve_with_progress(name, progress))?;
                Ok(folder)
            }
        }
    }

    /// Everything but the weights.
    pub(crate) fn folder(&self) -> anyhow::Result<ModelFolder> {
        Ok(ModelFolder::open(&self.path()?)?)
    }

    /// Only the image processor: what `inspect` needs.
    pub(crate) fn processor(&self) -> anyhow::Result<Processor> {
        Ok(Processor::from_dir(&self.path()?)?)
    }
}

/// A model ready to run.
pub(crate) struct Opened {
    pub(crate) name: String,
    pub(crate) device: String,
    pub(crate) folder: ModelFolder,
    pub(crate) engine: EmbeddedEngine,
}

impl ModelArguments {
    /// Opens the folder and loads the weights.
    pub(crate) fn open(&self, options: EngineOptions) -> anyhow::Result<Opened> {
        self.open_pruned(options, None)
    }

    /// The same, with visual tokens dropped as the depth of the decoder wants it.
    pub(crate) fn open_pruned(&self, mut options: EngineOptions, pruning: Option<Choice>) -> anyhow::Result<Opened> {
        let (device, device_name) = self.device.open()?;
        let folder = self.model.folder()?;
        let folder = match &self.adapter {
            Some(adapter) => folder.with_adapter(adapter),
            None => folder,
        };
        if let Some(choice) = pruning {
            let settings = choice.settings(folder.config.text.num_hidden_layers);
            options.pruning = Some(settings.map_err(|error| Failure::usage(format!("`--pruning`: {error}")))?);
        }
        let engine = folder.engine(&LoadOptions { dtype: dtype(&device) }, &device, options)?;
        Ok(Opened { name: self.model.to_string(), device: device_name, folder, engine })
    }
}

/// f32 on the CPU, where one-row products in bf16 are ten times slower; bf16 elsewhere.
pub(crate) fn dtype(device: &Device) -> Dtype {
    if *device == Device::flex() { Dtype::F32 } else { Dtype::Bf16 }
}

/// The profile asked for, or the one that the adapter or the checkpoint names, or the released checkpoints' one.
pub(crate) fn profile(folder: &ModelFolder, wanted: Option<ProfileName>) -> anyhow::Result<Profile> {
    let name = match wanted {
        Some(name) => name,
        None => card(folder)?.map_or(ProfileName::Visionthink, |card| card.profile),
    };
    Ok(Profile::by_name(&name.to_string())?)
}

fn card(folder: &ModelFolder) -> anyhow::Result<Option<Card>> {
    let places = folder.adapter.iter().chain([&folder.path]);
    let Some(path) = places.map(|place| place.join("visionthink.json")).find(|path| path.exists()) else {
        return Ok(None);
    };
    let text = fs_err::read_to_string(&path)?;
    let card = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
    Ok(Some(card))
}

/// The image processor of a model that is about to be shown an image.
pub(crate) fn processor_of(opened: &Opened) -> Result<std::sync::Arc<Processor>, Failure> {
    opened.folder.processor.clone().ok_or_else(|| {
        Failure::failed(format!("model `{}` takes text only, and an image was given", opened.name))
            .hint("choose a vision-language checkpoint with `--model`")
    })
}

//! One recorded case and what can be derived from it.

use burn::Tensor;
use burn::tensor::{Device, TensorData};
use visionthink_image::{DecodeOptions, Processor, RgbImage, lanczos_half, open};
use visionthink_model::GridThw;

use crate::files::{Checkpoint, File};

pub(crate) struct Case {
    pub(crate) json: serde_json::Value,
    pub(crate) tensors: File,
}

/// One image of a case: a file and what was done to it.
#[derive(PartialEq)]
struct Source {
    file: String,
    half: bool,
}

impl Case {
    pub(crate) fn is_batch(&self) -> bool {
        self.tensors.has("attention_mask")
    }

    pub(crate) fn is_gradient(&self) -> bool {
        self.tensors.has("labels")
    }

    pub(crate) fn ids(&self) -> Vec<u32> {
        self.tensors.ids("input_ids")
    }

    pub(crate) fn grids(&self) -> Vec<GridThw> {
        if !self.tensors.has("image_grid_thw") {
            return Vec::new();
        }
        let rows = self.tensors.ids("image_grid_thw");
        rows.chunks(3).map(|row| GridThw { t: row[0], h: row[1], w: row[2] }).collect()
    }

    fn sources(&self) -> Vec<Source> {
        let images = self.json["images"].as_array().map(Vec::as_slice).unwrap_or_default();
        images
            .iter()
            .map(|image| Source {
                file: image["file"].as_str().unwrap().into(),
                half: match image["op"].as_str() {
                    None => false,
                    Some("lanczos_half") => true,
                    Some(other) => panic!("{}: unknown op {other}", self.tensors.name),
                },
            })
            .collect()
    }

    /// Pixel values [P, patch values] of all images: as recorded, or from the recorded bytes of this case or another
    /// one of the checkpoint with the same image, or from the image file.
    pub(crate) fn pixel_values(&self, checkpoint: &Checkpoint, device: &Device) -> Option<Tensor<2>> {
        let sources = self.sources();
        if sources.is_empty() {
            return None;
        }
        if self.tensors.has("pixel_values") {
            let shape = self.tensors.shape("pixel_values");
            let values = self.tensors.floats("pixel_values").to_vec();
            return Some(Tensor::from_data(TensorData::new(values, shape), device));
        }
        let processor = Processor::from_dir(&checkpoint.folder).unwrap();
        let others = checkpoint.cases();
        let mut values = Vec::new();
        for (index, source) in sources.iter().enumerate() {
            let recorded = std::iter::once((self, index)).chain(others.iter().flat_map(|other| {
                let same = move |(at, found): (usize, Source)| (found == *source).then_some((other, at));
                other.sources().into_iter().enumerate().filter_map(same)
            }));
            let bytes = recorded.into_iter().find_map(|(case, at)| case.resized(at));
            let image = bytes.unwrap_or_else(|| resize_file(source, checkpoint, &processor));
            values.extend(processor.patches_of_resized(&image).values);
        }
        let width = processor.patch_values();
        let patches = values.len() / width;
        Some(Tensor::from_data(TensorData::new(values, [patches, width]), device))
    }

    /// The recorded bytes of image `index` after the processor's resize.
    fn resized(&self, index: usize) -> Option<RgbImage> {
        let name = format!("resized_u8.{index}");
        if !self.tensors.has(&name) {
            return None;
        }
        let shape = self.tensors.shape(&name);
        Some(RgbImage::new(shape[1] as u32, shape[0] as u32, self.tensors.bytes(&name).to_vec()).unwrap())
    }
}

fn resize_file(source: &Source, checkpoint: &Checkpoint, processor: &Processor) -> RgbImage {
    let image = open(&checkpoint.images.join(&source.file), &DecodeOptions::default()).unwrap();
    let image = if source.half { lanczos_half(&image).unwrap() } else { image };
    processor.resized(&image, visionthink_image::Arithmetic::Torchvision).unwrap()
}

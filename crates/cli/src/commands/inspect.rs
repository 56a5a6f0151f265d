//! `visionthink inspect`: what images cost, low and full, without running a model.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Context;
use safetensors::tensor::{Dtype, TensorView};
use serde::Serialize;
use visionthink_image::{Patches, Processor, RgbImage, Views, full_view, low_view, open};

use crate::args::InspectArguments;
use crate::output;

#[derive(Serialize)]
struct Inspected<'a> {
    source: &'a Path,
    width: u32,
    height: u32,
    #[serde(flatten)]
    views: Views,
    ratio: f64,
}

pub(crate) fn run(arguments: &InspectArguments) -> anyhow::Result<()> {
    let processor = arguments.model.processor()?;
    let mut dump = Dump::default();
    for path in &arguments.images {
        let image = open(path, &arguments.image_limits.decoding())?;
        let views = processor.view_costs(image.width, image.height).with_context(|| path.display().to_string())?;
        let ratio = views.low.tokens as f64 / views.full.tokens as f64;
        let inspected = Inspected { source: path, width: image.width, height: image.height, views, ratio };
        if arguments.json {
            output::json(&inspected)?;
        } else {
            output::line(&describe(&inspected))?;
        }
        if arguments.dump.is_some() {
            dump.add(&processor, &image).with_context(|| path.display().to_string())?;
        }
    }
    if let Some(path) = &arguments.dump {
        dump.write(path)?;
    }
    Ok(())
}

fn describe(inspected: &Inspected) -> String {
    let Views { low, full } = inspected.views;
    format!(
        "{}: {} x {} px; low {} x {} px, {} tokens; full {} x {} px, {} tokens; low costs {:.0} %",
        inspected.source.display(),
        inspected.width,
        inspected.height,
        low.width,
        low.height,
        low.tokens,
        full.width,
        full.height,
        full.tokens,
        inspected.ratio * 100.0
    )
}

/// Patches of all images in order, by view: `pixel_values` [P, 1176] f32 and `image_grid_thw` [images, 3] i64.
#[derive(Default)]
struct Dump {
    views: [PackedView; 2],
}

#[derive(Default)]
struct PackedView {
    values: Vec<f32>,
    grids: Vec<i64>,
}

const NAMES: [&str; 2] = ["low", "full"];

impl Dump {
    fn add(&mut self, processor: &Processor, image: &RgbImage) -> anyhow::Result<()> {
        let views = [processor.process(&low_view(image)?)?, processor.process(full_view(image)?.as_ref())?];
        for (packed, Patches { values, grid }) in self.views.iter_mut().zip(views) {
            packed.values.extend(values);
            packed.grids.extend([grid.t, grid.h, grid.w].map(i64::from));
        }
        Ok(())
    }

    fn write(&self, path: &Path) -> anyhow::Result<()> {
        let mut bytes = Vec::new();
        for (name, view) in NAMES.iter().zip(&self.views) {
            let patches: i64 = view.grids.chunks_exact(3).map(|grid| grid.iter().product::<i64>()).sum();
            let width = view.values.len() / patches.max(1) as usize;
            let values: Vec<u8> = view.values.iter().flat_map(|value| value.to_le_bytes()).collect();
            let grids: Vec<u8> = view.grids.iter().flat_map(|side| side.to_le_bytes()).collect();
            bytes.push((format!("{name}.pixel_values"), Dtype::F32, vec![patches as usize, width], values));
            bytes.push((format!("{name}.image_grid_thw"), Dtype::I64, vec![view.grids.len() / 3, 3], grids));
        }
        let mut tensors = HashMap::new();
        for (name, dtype, shape, data) in &bytes {
            tensors.insert(name.clone(), TensorView::new(*dtype, shape.clone(), data)?);
        }
        fs_err::write(path, safetensors::serialize(tensors, None)?)?;
        Ok(())
    }
}

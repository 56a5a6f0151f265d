//! What the tokens of an image receive in one block of the tower: VisionZip's scores and keys.

use burn::Tensor;
use burn::tensor::{DType, Int};
use visionthink_image::GridThw;

use super::index;
use super::window_order::WindowOrder;
use crate::config::VisionConfig;
use crate::error::ModelError;
use crate::kernels;
use crate::text::read;

/// Of the tokens of one image, in raster order.
#[derive(Debug)]
pub(crate) struct Received {
    /// Attention that a token receives from all patches, mean over heads and over its own patches, `[M]`.
    pub(crate) scores: Vec<f32>,
    /// Its rotated key, mean over heads and over its own patches, [M, D].
    pub(crate) keys: Vec<f32>,
}

impl Received {
    /// Image by image, from the queries and keys of a block, [1, H, P, D] each, in window order.
    pub(super) fn of_images(
        [q, k, _]: &[Tensor<4>; 3],
        order: &WindowOrder,
        grids: &[GridThw],
        config: &VisionConfig,
    ) -> Result<Vec<Self>, ModelError> {
        let [_, _, patches, width] = k.dims();
        let sums = order.cu_seqlens.windows(2).map(|pair| {
            let (start, length) = (pair[0] as usize, (pair[1] - pair[0]) as usize);
            let [q, k] = [q, k].map(|x| x.clone().narrow(2, start, length));
            kernels::attention_received(q, k, (width as f64).powf(-0.5))
        });
        let unit = config.merge_unit();
        let cells = patches / unit;
        let raster: Tensor<1, Int> = index(&order.inverse_window_index(), &k.device());
        let scores = Tensor::cat(sums.collect(), 0).reshape([cells, unit]).mean_dim(1).select(0, raster.clone());
        let keys = k.clone().cast(DType::F32).mean_dim(1).reshape([cells, unit, width]).mean_dim(1);
        let keys = keys.reshape([cells, width]).select(0, raster);
        let (scores, keys) = (read(scores)?, read(keys)?);

        let mut first = 0;
        let image = grids.iter().map(|grid| {
            let tokens = grid.tokens(config.spatial_merge_size as u32);
            let own = first..first + tokens;
            first = own.end;
            Self { scores: scores[own.clone()].to_vec(), keys: keys[own.start * width..own.end * width].to_vec() }
        });
        Ok(image.collect())
    }
}

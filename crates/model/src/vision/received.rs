//! What the tokens of an image receive in one block of the tower: VisionZip's scores and keys.

use burn::Tensor;
use burn::tensor::activation::softmax;
use burn::tensor::{DType, Int};
use visionthink_image::GridThw;

use super::index;
use super::window_order::WindowOrder;
use crate::config::VisionConfig;
use crate::error::ModelError;
use crate::text::read;

/// Largest number of scores that exist at once, 32 MiB in f32: the attention of a large image has thousands of times as many.
const MAX_SCORES: usize = 1 << 23;

/// Of the tokens of one image, in raster order.
#[derive(Debug)]
pub(crate) struct Received {
    /// Attention that a token receives from all patches, mean over heads and over its own patches, [M].
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
        let [_, heads, patches, width] = k.dims();
        let sums = order.cu_seqlens.windows(2).map(|pair| {
            let (start, length) = (pair[0] as usize, (pair[1] - pair[0]) as usize);
            let [q, k] = [q, k].map(|x| x.clone().narrow(2, start, length).reshape([heads, length, width]));
            attention_received(q, k)
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

/// `sum over queries, mean over heads of softmax(q k^T / sqrt(D))`, a strip of queries at a time.
///
/// Shapes: `q`, `k` [H, P, D] -> `[P]`.
fn attention_received(q: Tensor<3>, k: Tensor<3>) -> Tensor<1> {
    let [heads, patches, width] = q.dims();
    let q = q.mul_scalar((width as f64).powf(-0.5));
    let k = k.swap_dims(1, 2);
    let strip = (MAX_SCORES / (heads * patches).max(1)).clamp(1, patches);
    let mut sum: Option<Tensor<3>> = None;
    for start in (0..patches).step_by(strip) {
        let q = q.clone().narrow(1, start, strip.min(patches - start));
        let part = softmax(q.matmul(k.clone()).cast(DType::F32), 2).sum_dim(1).mean_dim(0);
        sum = Some(match sum {
            Some(sum) => sum + part,
            None => part,
        });
    }
    sum.expect("an image has patches").reshape([patches])
}

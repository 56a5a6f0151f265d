//! Floating-point operations of a pass; a multiplication with its addition is two. Norms, rotations and softmax are not counted.

use visionthink_image::GridThw;

use crate::config::{Config, TextConfig};
use crate::vision::WindowOrder;

impl Config {
    /// One layer of the decoder over `tokens` new tokens behind `past` ones:
    /// `2 n (C (2 H D + 2 K D) + 3 C I) + 4 H D (n past + n (n + 1) / 2)`.
    pub fn layer_flops(&self, tokens: usize, past: usize) -> f64 {
        let TextConfig { hidden_size, intermediate_size, num_attention_heads, num_key_value_heads, head_dim, .. } =
            self.text;
        let [n, past, c, inner] = [tokens, past, hidden_size, intermediate_size].map(|size| size as f64);
        let [queries, keys] = [num_attention_heads * head_dim, num_key_value_heads * head_dim].map(|size| size as f64);
        let weights = c * (2.0 * queries + 2.0 * keys) + 3.0 * c * inner;
        2.0 * n * weights + 4.0 * queries * (n * past + n * (n + 1.0) / 2.0)
    }

    /// The logits of one token: `2 C V`.
    pub fn head_flops(&self) -> f64 {
        2.0 * self.text.hidden_size as f64 * self.text.vocab_size as f64
    }

    /// The scores of `queries` queries over `keys` keys in one layer, and the queries themselves.
    pub(crate) fn glance_flops(&self, queries: usize, keys: usize) -> f64 {
        let width = (self.text.num_attention_heads * self.text.head_dim) as f64;
        2.0 * queries as f64 * width * (self.text.hidden_size + keys) as f64
    }

    /// The keys of `tokens` tokens in one layer.
    pub(crate) fn key_flops(&self, tokens: usize) -> f64 {
        let width = self.text.num_key_value_heads * self.text.head_dim;
        2.0 * (tokens * self.text.hidden_size * width) as f64
    }

    /// An image through the vision tower, 0 without one: patch embedding, blocks with attention inside windows or the whole image,
    /// merger.
    pub fn image_flops(&self, grid: GridThw) -> f64 {
        let Some(vision) = &self.vision else { return 0.0 };
        let merge = vision.spatial_merge_size as u32;
        let order = WindowOrder::new(&[grid], merge, vision.window_cells() as u32);
        let squares = |sums: &[u32]| sums.windows(2).map(|pair| f64::from(pair[1] - pair[0]).powi(2)).sum::<f64>();
        let whole = vision.fullatt_block_indexes.iter().filter(|block| **block < vision.depth).count();
        let pairs = whole as f64 * squares(&order.cu_seqlens)
            + (vision.depth - whole) as f64 * squares(&order.cu_window_seqlens);
        let [c, inner, out] =
            [vision.hidden_size, vision.intermediate_size, vision.out_hidden_size].map(|size| size as f64);
        let (patches, tokens) = (grid.patches() as f64, grid.tokens(merge) as f64);
        let merged = c * vision.merge_unit() as f64;
        let blocks = vision.depth as f64 * 2.0 * patches * (4.0 * c * c + 3.0 * c * inner) + 4.0 * c * pairs;
        let merger = 2.0 * tokens * (merged * merged + merged * out);
        2.0 * patches * vision.patch_values() as f64 * c + blocks + merger
    }

    /// The attention that each token of an image receives in one block, for VisionZip.
    pub fn received_attention_flops(&self, grid: GridThw) -> f64 {
        let Some(vision) = &self.vision else { return 0.0 };
        let frame = (grid.h * grid.w) as f64;
        2.0 * vision.hidden_size as f64 * frame * frame * f64::from(grid.t)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn config() -> Config {
        Config::from_folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/models/qwen2_5_vl-a")).unwrap()
    }

    #[test]
    fn a_layer_token_by_token_costs_what_it_costs_at_once() {
        let config = config();
        let steps: f64 = (0..20).map(|past| config.layer_flops(1, past)).sum();
        assert_eq!(config.layer_flops(20, 0), steps);
        assert_eq!(config.layer_flops(12, 0) + config.layer_flops(8, 12), steps);
        // C 64, H 4, K 2, D 16, I 160: one token that sees itself.
        assert_eq!(config.layer_flops(1, 0), 2.0 * (64.0 * (128.0 + 64.0) + 3.0 * 64.0 * 160.0) + 4.0 * 64.0);
    }

    #[test]
    fn an_image_costs_more_than_in_proportion_where_blocks_see_all_of_it() {
        let config = config();
        let of = |h, w| config.image_flops(GridThw { t: 1, h, w });
        // One window of 8 x 8 patches and four of them: all but the two whole-image blocks cost four times as much.
        let pairs = 2.0 * (256.0_f64.powi(2) - 4.0 * 64.0_f64.powi(2)) * 4.0 * 48.0;
        assert_eq!(of(16, 16), 4.0 * of(8, 8) + pairs);
    }
}

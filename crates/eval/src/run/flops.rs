//! Floating-point operations of an answer, counted from sizes; a multiplication and an addition are two.

/// Sizes of a decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecoderSizes {
    /// Layers.
    pub layers: usize,
    /// C.
    pub width: usize,
    /// H · D.
    pub query_width: usize,
    /// K · D.
    pub key_value_width: usize,
    /// Width inside the feed-forward part.
    pub inner_width: usize,
    /// V.
    pub vocabulary: usize,
}

/// Sizes of a vision tower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VisionSizes {
    /// Blocks.
    pub blocks: usize,
    /// Blocks that attend to the whole image.
    pub full_blocks: usize,
    /// C of the tower.
    pub width: usize,
    /// Width inside the feed-forward part.
    pub inner_width: usize,
    /// Numbers in a patch.
    pub patch_values: usize,
    /// Patches in a window of the other blocks.
    pub window_patches: usize,
    /// Patches merged into one token.
    pub merge_unit: usize,
    /// C of the decoder.
    pub out_width: usize,
}

/// Of `tokens` tokens run once each, in however many pieces behind a KV cache, `logits` of which are read.
///
/// `layers · (T · (2·C·(2·HD + 2·KD) + 6·C·I) + 4·HD · T·(T+1)/2) + logits · 2·C·V`: the projections, the three products of the
/// gated feed-forward part, and attention of token t to t keys.
pub fn decoder(sizes: &DecoderSizes, tokens: u64, logits: u64) -> f64 {
    let DecoderSizes { layers, width, query_width, key_value_width, inner_width, vocabulary } = *sizes;
    let [layers, c, hd, kd, inner, v] =
        [layers, width, query_width, key_value_width, inner_width, vocabulary].map(|size| size as f64);
    let (tokens, logits) = (tokens as f64, logits as f64);
    let token = 2.0 * c * (2.0 * hd + 2.0 * kd) + 6.0 * c * inner;
    let attention = 4.0 * hd * tokens * (tokens + 1.0) / 2.0;
    layers * (tokens * token + attention) + logits * 2.0 * c * v
}

/// Of one image of `patches` patches, the merger included. A window counts as full, also at the edge of an image.
///
/// `P · 2·values·C + blocks · P · (8·C² + 6·C·I) + 4·C·P · (full · P + (blocks − full) · min(window, P))`, and for the merger with
/// u patches a token `P/u · (2·(u·C)² + 2·u·C·out)`.
pub fn vision(sizes: &VisionSizes, patches: u64) -> f64 {
    let VisionSizes { blocks, full_blocks, .. } = *sizes;
    let (blocks, full) = (blocks as f64, full_blocks as f64);
    let [c, inner, values, window, unit, out] = [
        sizes.width,
        sizes.inner_width,
        sizes.patch_values,
        sizes.window_patches,
        sizes.merge_unit.max(1),
        sizes.out_width,
    ]
    .map(|size| size as f64);
    let patches = patches as f64;
    let linear = patches * (2.0 * values * c + blocks * (8.0 * c * c + 6.0 * c * inner));
    let attention = 4.0 * c * patches * (full * patches + (blocks - full) * window.min(patches));
    let merger = patches / unit * (2.0 * (unit * c).powi(2) + 2.0 * unit * c * out);
    linear + attention + merger
}

/// A prompt of n tokens by the formula that papers on pruning give: `layers · (4·n·d² + 2·n²·d + 2·n·d·m)`, with width d and inner
/// width m. It knows neither grouped keys nor the third product of a gated feed-forward part, and counts a multiplication with its
/// addition once.
///
/// Source: FastV, arXiv 2403.06764, section 4.
pub fn by_formula(sizes: &DecoderSizes, tokens: u64) -> f64 {
    let [layers, d, m] = [sizes.layers, sizes.width, sizes.inner_width].map(|size| size as f64);
    let n = tokens as f64;
    layers * (4.0 * n * d * d + 2.0 * n * n * d + 2.0 * n * d * m)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DECODER: DecoderSizes =
        DecoderSizes { layers: 2, width: 3, query_width: 4, key_value_width: 2, inner_width: 5, vocabulary: 7 };

    /// Counts the products of a pass, matrix by matrix and token by token.
    fn slowly(sizes: &DecoderSizes, tokens: u64, logits: u64) -> f64 {
        let product = |rows: usize, columns: usize| 2.0 * (rows * columns) as f64;
        let mut sum = 0.0;
        for token in 0..tokens {
            for _ in 0..sizes.layers {
                sum += 2.0 * product(sizes.width, sizes.query_width);
                sum += 2.0 * product(sizes.width, sizes.key_value_width);
                sum += 3.0 * product(sizes.width, sizes.inner_width);
                // Scores and weighted values of all keys up to and with its own.
                sum += 2.0 * (0..=token).map(|_| product(1, sizes.query_width)).sum::<f64>();
            }
        }
        sum + logits as f64 * product(sizes.width, sizes.vocabulary)
    }

    #[test]
    fn the_decoder_is_what_counting_its_products_gives() {
        for (tokens, logits) in [(0, 0), (1, 1), (5, 2), (17, 3)] {
            assert_eq!(decoder(&DECODER, tokens, logits), slowly(&DECODER, tokens, logits));
        }
    }

    #[test]
    fn a_window_bounds_what_a_patch_attends_to() {
        let sizes = VisionSizes {
            blocks: 3,
            full_blocks: 1,
            width: 2,
            inner_width: 3,
            patch_values: 5,
            window_patches: 4,
            merge_unit: 4,
            out_width: 6,
        };
        // 8 patches: 8 · (2·5·2 + 3 · (32 + 36)), 4·2·8 · (8 + 2·4), 2 · (2·8² + 2·8·6).
        assert_eq!(vision(&sizes, 8), 1_792.0 + 1_024.0 + 448.0);
        let windowless = VisionSizes { window_patches: 100, ..sizes };
        assert_eq!(vision(&windowless, 8) - vision(&sizes, 8), 4.0 * 2.0 * 8.0 * 2.0 * 4.0);
    }

    #[test]
    fn the_formula_of_the_papers_is_as_they_write_it() {
        // 2 · (4·10·9 + 2·100·3 + 2·10·3·5)
        assert_eq!(by_formula(&DECODER, 10), 2.0 * (360.0 + 600.0 + 300.0));
    }
}

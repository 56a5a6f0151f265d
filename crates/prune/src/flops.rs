//! The operations of a prefill as FastV's paper counts them.

/// `sum over layers of 4 n d^2 + 2 n^2 d + 2 n d m`: n tokens of width d in the layer, m the width of its feed-forward part.
///
/// This is the papers' figure, for comparison with theirs: one operation a multiplication and addition, keys and values as wide
/// as queries, two matrices in the feed-forward part. What a Qwen decoder really multiplies is counted where it runs.
///
/// Source: arXiv 2403.06764, section 4.2.
pub fn paper_flops(tokens_per_layer: &[usize], width: usize, inner: usize) -> f64 {
    let [d, m] = [width as f64, inner as f64];
    let layer = |n: f64| 4.0 * n * d * d + 2.0 * n * n * d + 2.0 * n * d * m;
    tokens_per_layer.iter().map(|tokens| layer(*tokens as f64)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_papers_setting_of_two_layers_and_half_the_tokens_saves_what_the_formula_says() {
        // LLaVA-1.5-7B: 32 layers, d = 4096, m = 11008. By hand for n = 576: 4nd^2 = 3.8655e10, 2n^2d = 2.718e9, 2ndm = 5.194e10.
        let full = paper_flops(&[576; 32], 4096, 11008);
        assert!((full / (32.0 * (3.865_470_566_4e10 + 2.717_908_992e9 + 5.194_226_073_6e10)) - 1.0).abs() < 1e-9);
        let pruned = paper_flops(&[[576].repeat(2), [288].repeat(30)].concat(), 4096, 11008);
        let share = pruned / full;
        assert!(share > 0.51 && share < 0.54, "{share}");
    }
}

//! What is attended to.

/// The sizes of one call: B, H, K, T, S, D.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    pub(super) batch: usize,
    pub(super) heads: usize,
    pub(super) groups: usize,
    pub(super) queries: usize,
    pub(super) keys: usize,
    pub(super) width: usize,
}

/// Sizes, scale and mask.
#[derive(Clone, Copy)]
pub(super) struct Problem<'a> {
    pub(super) sizes: Sizes,
    pub(super) scale: f32,
    pub(super) causal: bool,
    /// [B * S]; `None` where all keys are valid.
    pub(super) valid: Option<&'a [bool]>,
}

impl Problem<'_> {
    /// How many of the first keys a query may see.
    #[inline(always)]
    pub(super) fn seen(&self, query: usize) -> usize {
        if self.causal { query + self.sizes.keys - self.sizes.queries + 1 } else { self.sizes.keys }
    }

    /// Validity of the keys of a batch row, where not all are valid.
    pub(super) fn valid_keys(&self, batch: usize) -> Option<&[bool]> {
        let keys = self.sizes.keys;
        self.valid.map(|valid| &valid[batch * keys..][..keys]).filter(|valid| valid.contains(&false))
    }
}

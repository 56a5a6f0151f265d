//! Heads of a tensor where they lie.

use burn::backend::flex::FlexTensor;

/// [B, H, T, D] in any order of the first three axes; the D values of a row are contiguous.
#[derive(Clone, Copy)]
pub(super) struct Heads<'a> {
    values: &'a [f32],
    /// Distances between batch rows, heads and tokens.
    strides: [usize; 3],
    /// D.
    width: usize,
}

impl<'a> Heads<'a> {
    /// The tensor as [`Heads::new`] takes it; copied only where its rows are not contiguous.
    pub(super) fn prepare(tensor: FlexTensor) -> FlexTensor {
        let layout = tensor.layout();
        let rows_contiguous = layout.strides()[3] == 1 || layout.shape()[3] == 1;
        if rows_contiguous && layout.has_positive_strides() { tensor } else { tensor.to_contiguous() }
    }

    pub(super) fn new(tensor: &'a FlexTensor) -> Self {
        let layout = tensor.layout();
        let [batch, head, token] = [0, 1, 2].map(|axis| layout.strides()[axis].unsigned_abs());
        Self {
            values: &tensor.storage()[layout.start_offset()..],
            strides: [batch, head, token],
            width: layout.shape()[3],
        }
    }

    /// The rows of one head, [T, D].
    pub(super) fn head(&self, batch: usize, head: usize) -> Rows<'a> {
        let start = batch * self.strides[0] + head * self.strides[1];
        Rows { values: &self.values[start..], stride: self.strides[2], width: self.width }
    }
}

/// Rows of D values at equal distances.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    values: &'a [f32],
    stride: usize,
    width: usize,
}

impl<'a> Rows<'a> {
    #[inline(always)]
    pub(super) fn row(&self, index: usize) -> &'a [f32] {
        &self.values[index * self.stride..][..self.width]
    }
}

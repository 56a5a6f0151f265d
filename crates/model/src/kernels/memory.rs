//! Slices in and out of CPU tensors, and rows shared among threads.

use burn::backend::flex::{FlexTensor, Layout};
use burn::tensor::{Bytes, DType, Shape};

/// Work below this many elements stays on the calling thread.
const PARALLEL_ELEMENTS: usize = 1 << 15;

/// Elements of a piece of work; three operands of this size fit the second-level cache.
const PIECE_ELEMENTS: usize = 1 << 14;

/// A tensor from its values in row-major order.
pub(super) fn tensor(values: Vec<f32>, shape: impl Into<Shape>) -> FlexTensor {
    FlexTensor::new(Bytes::from_elems(values), Layout::contiguous(shape.into()), DType::F32)
}

/// The same values in row-major order.
pub(super) fn contiguous(tensor: FlexTensor) -> FlexTensor {
    if tensor.is_contiguous() { tensor } else { tensor.to_contiguous() }
}

/// The values of a contiguous tensor.
pub(super) fn values(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice().expect("a contiguous f32 tensor")
}

/// The values of a contiguous tensor for writing; copied first where somebody else holds them.
pub(super) fn values_mut(tensor: &mut FlexTensor) -> &mut [f32] {
    let (start, end) = tensor.layout().contiguous_offsets().expect("a contiguous f32 tensor");
    &mut tensor.storage_mut()[start..end]
}

/// Rows of a matrix with `width` columns that make one piece of work. Depends on the sizes alone, so that sums over
/// pieces do not depend on the number of threads.
pub(super) fn rows_per_piece(rows: usize, width: usize) -> usize {
    if rows * width < PARALLEL_ELEMENTS { rows.max(1) } else { (PIECE_ELEMENTS / width).max(1) }
}

/// Length of the last axis.
pub(super) fn last_axis(tensor: &FlexTensor) -> usize {
    tensor.layout().shape().last().copied().unwrap_or(1)
}

//! Between the bytes of a file and f32 values in the layout of the modules.

use half::slice::HalfFloatSliceExt;
use rayon::prelude::*;

use super::{Dtype, Layout, Parameter};

/// Side of the square blocks in which matrices are transposed, so that both sides stay in the cache.
const BLOCK: usize = 32;

/// Little-endian elements as f32.
pub(crate) fn decode(bytes: &[u8], dtype: Dtype) -> Vec<f32> {
    match dtype {
        Dtype::F32 => bytemuck::pod_collect_to_vec(bytes),
        Dtype::Bf16 => {
            let words: Vec<half::bf16> = bytemuck::pod_collect_to_vec(bytes);
            let mut values = vec![0.0; words.len()];
            words.convert_to_f32_slice(&mut values);
            values
        }
        Dtype::F16 => {
            let words: Vec<half::f16> = bytemuck::pod_collect_to_vec(bytes);
            let mut values = vec![0.0; words.len()];
            words.convert_to_f32_slice(&mut values);
            values
        }
    }
}

/// The bytes of `values` as elements of `dtype`, rounded to nearest even.
pub(crate) fn encode(values: &[f32], dtype: Dtype) -> Vec<u8> {
    match dtype {
        Dtype::F32 => bytemuck::cast_slice(values).to_vec(),
        Dtype::Bf16 => values.iter().flat_map(|value| half::bf16::from_f32(*value).to_le_bytes()).collect(),
        Dtype::F16 => values.iter().flat_map(|value| half::f16::from_f32(*value).to_le_bytes()).collect(),
    }
}

/// From the layout of the file to the layout of the modules.
pub(crate) fn to_memory(values: Vec<f32>, parameter: &Parameter) -> Vec<f32> {
    match parameter.layout {
        Layout::Same => values,
        Layout::Transposed | Layout::Patch => {
            let shape = parameter.shape();
            transpose(&values, shape[1], shape[0])
        }
    }
}

/// From the layout of the modules to the layout of the file.
pub(crate) fn to_file(values: Vec<f32>, parameter: &Parameter) -> Vec<f32> {
    match parameter.layout {
        Layout::Same => values,
        Layout::Transposed | Layout::Patch => {
            let shape = parameter.shape();
            transpose(&values, shape[0], shape[1])
        }
    }
}

/// [rows, columns] -> [columns, rows].
fn transpose(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let mut out = vec![0.0; values.len()];
    out.par_chunks_mut(BLOCK * rows).enumerate().for_each(|(band, out)| {
        let left = band * BLOCK;
        for top in (0..rows).step_by(BLOCK) {
            for (column, out) in out.chunks_mut(rows).enumerate() {
                for row in top..(top + BLOCK).min(rows) {
                    out[row] = values[row * columns + left + column];
                }
            }
        }
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposing_moves_every_element() {
        let (rows, columns) = (37, 70);
        let values: Vec<f32> = (0..rows * columns).map(|index| index as f32).collect();
        let out = transpose(&values, rows, columns);
        for row in 0..rows {
            for column in 0..columns {
                assert_eq!(out[column * rows + row], values[row * columns + column]);
            }
        }
        assert_eq!(transpose(&out, columns, rows), values);
    }

    #[test]
    fn half_precision_survives_the_way_through_f32() {
        let values = [0.0, 1.5, -2.25, 3.0e-3, 1.0e4];
        for dtype in [Dtype::Bf16, Dtype::F16] {
            let bytes = encode(&values, dtype);
            assert_eq!(encode(&decode(&bytes, dtype), dtype), bytes);
        }
        assert_eq!(decode(&encode(&values, Dtype::F32), Dtype::F32), values);
    }
}

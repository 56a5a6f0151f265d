//! Tables of rotary angles.
//!
//! Angles are formed on the host in f32: a frequency is `1 / theta^(2j/D)`, an angle is coordinate times frequency.
//! The tables are cast to the activations' dtype, as transformers does for the decoder.

use burn::Tensor;
use burn::tensor::{DType, Device, TensorData};

use crate::config::TextConfig;
use crate::position::MropeBatch;

/// Cosines and sines of a batch of rotations, each [B, T, D/2].
#[derive(Debug, Clone)]
pub(crate) struct RopeTable {
    pub(crate) cos: Tensor<3>,
    pub(crate) sin: Tensor<3>,
}

impl RopeTable {
    /// The decoder's table: frequency j turns with the frame, row or column coordinate by the section it lies in.
    pub(crate) fn mrope(batch: &MropeBatch, config: &TextConfig, device: &Device, dtype: DType) -> Self {
        let inverse = inverse_frequencies(config.rope_theta, config.head_dim);
        let axis_of: Vec<usize> = match config.mrope_section {
            None => vec![0; inverse.len()],
            Some([t, y, x]) => [vec![0; t], vec![1; y], vec![2; x]].concat(),
        };
        let rows = batch.batch() * batch.tokens();
        let mut angles = Vec::with_capacity(rows * inverse.len());
        for token in 0..rows {
            angles.extend(
                inverse.iter().zip(&axis_of).map(|(frequency, axis)| batch.axes()[*axis][token] as f32 * frequency),
            );
        }
        Self::from_angles(&angles, [batch.batch(), batch.tokens(), inverse.len()], device, dtype)
    }

    /// The vision tower's table for patches at (row, column): the first half of the frequencies turns with the row,
    /// the second with the column. Shapes [1, P, D/2]; always f32.
    pub(crate) fn axial(coordinates: &[(u32, u32)], head_dim: usize, device: &Device) -> Self {
        /// Base of the vision tower's frequencies; not a field of released configurations.
        const THETA: f64 = 10_000.0;
        let inverse = inverse_frequencies(THETA, head_dim / 2);
        let mut angles = Vec::with_capacity(coordinates.len() * head_dim / 2);
        for (row, column) in coordinates {
            for coordinate in [row, column] {
                angles.extend(inverse.iter().map(|frequency| *coordinate as f32 * frequency));
            }
        }
        Self::from_angles(&angles, [1, coordinates.len(), head_dim / 2], device, DType::F32)
    }

    fn from_angles(angles: &[f32], shape: [usize; 3], device: &Device, dtype: DType) -> Self {
        let table = |function: fn(f32) -> f32| {
            let values: Vec<f32> = angles.iter().map(|angle| function(*angle)).collect();
            Tensor::from_data(TensorData::new(values, shape), (device, dtype))
        };
        Self { cos: table(f32::cos), sin: table(f32::sin) }
    }
}

/// `theta^(-2j/width)` for j in 0..width/2.
fn inverse_frequencies(theta: f64, width: usize) -> Vec<f32> {
    (0..width / 2).map(|j| 1.0 / (theta as f32).powf((2 * j) as f32 / width as f32)).collect()
}

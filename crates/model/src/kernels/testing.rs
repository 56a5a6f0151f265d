//! Seeded values and comparisons for the tests of the kernels.

use std::ops::Deref;

use burn::Tensor;
use burn::tensor::{Device, TensorData};

/// The CPU.
pub(crate) fn device() -> Device {
    Device::flex()
}

/// Values with a shape, kept on the host so that a test can apply the formula to them.
pub(crate) struct Values<const D: usize> {
    shape: [usize; D],
    values: Vec<f32>,
}

/// Values between -1 and 1, the same for the same seed.
pub(crate) fn values<const D: usize>(shape: [usize; D], seed: u32) -> Values<D> {
    let mut state = seed.wrapping_mul(0x9e37_79b9) | 1;
    let values = (0..shape.iter().product::<usize>())
        .map(|_| {
            // xorshift32, Marsaglia 2003.
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            (f64::from(state) / f64::from(u32::MAX) * 2.0 - 1.0) as f32
        })
        .collect();
    Values { shape, values }
}

impl<const D: usize> Values<D> {
    pub(crate) fn tensor(&self, device: &Device) -> Tensor<D> {
        Tensor::from_data(TensorData::new(self.values.clone(), self.shape), device)
    }

    pub(crate) fn map(&self, function: impl Fn(f32) -> f32) -> Self {
        Self { shape: self.shape, values: self.values.iter().map(|value| function(*value)).collect() }
    }
}

impl<const D: usize> Deref for Values<D> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.values
    }
}

/// Asserts that all elements are finite and within `tolerance` of `expected`.
pub(crate) fn close<const D: usize>(found: &Tensor<D>, expected: &[f32], tolerance: f32) {
    let found: Vec<f32> = found.try_to_vec_as().expect("f32 values");
    assert_eq!(found.len(), expected.len(), "number of elements");
    let (mut largest, mut index) = (0.0_f32, 0);
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!(found.is_finite(), "element {at} is {found}");
        if (found - expected).abs() > largest {
            (largest, index) = ((found - expected).abs(), at);
        }
    }
    assert!(largest <= tolerance, "largest difference {largest:e} at element {index}, tolerance {tolerance:e}");
}

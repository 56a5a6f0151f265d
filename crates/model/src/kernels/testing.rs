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

/// Asserts that two functions of N tensors have the same value and the same gradients, for a gradient of the result
/// that differs from element to element. `tolerance` is relative to the largest element.
pub(crate) fn close_gradients<const N: usize, const D: usize, const R: usize>(
    found: impl Fn([Tensor<D>; N]) -> Tensor<R>,
    expected: impl Fn([Tensor<D>; N]) -> Tensor<R>,
    inputs: [Values<D>; N],
    tolerance: f32,
) {
    let device = device().autodiff();
    let run = |function: &dyn Fn([Tensor<D>; N]) -> Tensor<R>| {
        let inputs = inputs.each_ref().map(|input| input.tensor(&device).require_grad());
        let output = function(inputs.clone());
        let seen = values(output.dims(), 99).tensor(&device);
        let gradients = (output.clone() * seen).sum().backward();
        let vectors = inputs.map(|input| input.grad(&gradients).expect("a gradient").try_to_vec_as().unwrap());
        (output.try_to_vec_as::<f32>().unwrap(), vectors as [Vec<f32>; N])
    };
    let (output, gradients) = run(&found);
    let (expected_output, expected_gradients) = run(&expected);
    near("output", &output, &expected_output, tolerance);
    for (index, (found, expected)) in gradients.iter().zip(&expected_gradients).enumerate() {
        near(&format!("gradient {index}"), found, expected, tolerance);
    }
}

fn near(name: &str, found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len(), "number of elements of {name}");
    let scale = expected.iter().fold(1e-3_f32, |largest, value| largest.max(value.abs()));
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!(found.is_finite(), "{name}: element {at} is {found}");
        let difference = (found - expected).abs();
        assert!(
            difference <= tolerance * scale,
            "{name}: element {at} is {found}, expected {expected}, tolerance {tolerance:e} of {scale}"
        );
    }
}

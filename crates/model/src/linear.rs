//! The linear layer of the whole network, which may carry a low-rank adapter.

use burn::Tensor;
use burn::module::{Module, Param};
use burn::tensor::DType;
use burn::tensor::module::linear;

/// `x W + b`, and with an adapter `x W + b + scale (x A) B`.
///
/// burn has a LoRA of its own, which puts `W + scale A B` in the place of `W` in every pass: a gradient of the size of `W` for each
/// matrix, a second `W` kept for it, and in bf16 a sum in which a small product is rounded away. Here `W` is only read.
#[derive(Module, Debug)]
pub struct Linear {
    /// [in, out].
    pub weight: Param<Tensor<2>>,
    /// `[out]`.
    pub bias: Option<Param<Tensor<1>>>,
    /// What is learned beside a frozen weight.
    pub lora: Option<LowRank>,
}

impl Linear {
    /// Shapes: [.., in] -> [.., out].
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let bias = self.bias.as_ref().map(Param::val);
        match &self.lora {
            None => linear(x, self.weight.val(), bias),
            Some(lora) => linear(x.clone(), self.weight.val(), bias) + lora.forward(x),
        }
    }
}

/// A low-rank change of a matrix: `scale A B`, in the dtype of the matrix.
///
/// Source: Hu et al. 2021 (arXiv:2106.09685), equation 3, transposed as the weights are.
#[derive(Module, Debug)]
pub struct LowRank {
    /// [in, rank].
    pub a: Param<Tensor<2>>,
    /// [rank, out].
    pub b: Param<Tensor<2>>,
    #[module(skip)]
    scale: f64,
}

impl LowRank {
    pub(crate) fn new(a: Tensor<2>, b: Tensor<2>, scale: f64) -> Self {
        Self { a: Param::from_tensor(a), b: Param::from_tensor(b), scale }
    }

    /// Shapes: [.., in] -> [.., out].
    fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        // Scaled where it is narrowest.
        linear(linear(x, self.a.val(), None).mul_scalar(self.scale), self.b.val(), None)
    }

    /// The matrix with its change: `W + scale A B`, summed in f32.
    pub(crate) fn merged(&self, weight: Tensor<2>) -> Tensor<2> {
        let dtype = weight.dtype();
        let change = self.a.val().cast(DType::F32).matmul(self.b.val().cast(DType::F32)).mul_scalar(self.scale);
        (weight.cast(DType::F32) + change).cast(dtype).detach()
    }
}

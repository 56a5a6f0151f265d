//! The embedding matrix, which may also be the head.

use burn::Tensor;
use burn::module::{Module, Param};
use burn::tensor::Int;
use burn::tensor::module::linear;

use crate::weights::Weights;

/// One row of width C per vocabulary entry.
///
/// A matrix that is the head as well is stored [C, V], the layout of a linear layer: a few rows against a transposed
/// matrix cost several times more, and the head runs for every token, while reading columns for the embedding is cheap
/// beside one layer. A matrix of its own is stored [V, C].
#[derive(Module, Debug)]
pub struct Embedding {
    /// [C, V] when tied, [V, C] otherwise.
    pub weight: Param<Tensor<2>>,
    #[module(skip)]
    tied: bool,
}

impl Embedding {
    pub(crate) fn new(weights: &mut Weights, path: &str, tied: bool) -> Self {
        Self { weight: weights.matrix(&format!("{path}.weight")), tied }
    }

    /// Shapes: `ids` `[N]` -> [N, C].
    pub fn rows(&self, ids: Tensor<1, Int>) -> Tensor<2> {
        if self.tied { self.weight.val().select(1, ids).transpose() } else { self.weight.val().select(0, ids) }
    }

    /// The head of a tied checkpoint. Shapes: `hidden` [N, C] -> [N, V].
    ///
    /// # Panics
    /// The checkpoint has a head of its own.
    pub(crate) fn logits(&self, hidden: Tensor<2>) -> Tensor<2> {
        assert!(self.tied, "an untied checkpoint has its own head");
        linear(hidden, self.weight.val(), None)
    }
}

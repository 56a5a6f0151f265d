//! Operations with a kernel of their own on the CPU, and the gradient that goes with it.
//!
//! [`apply`] runs a [`Fused`] operation where all tensors are f32 on the `flex` device, with or without autodiff, and
//! hands the tensors back where they are not; the caller then composes the operation from burn's.

use std::array;
use std::cell::Cell;
use std::fmt::Debug;

use burn::Tensor;
use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::{BalancedCheckpointing, CheckpointStrategy, NoCheckpointing};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{
    Autodiff, AutodiffBackend, BackendTensor, DispatchAutodiffContext, DispatchTensor, DispatchTensorKind, Flex,
    GradientCheckpointingStrategy, TensorMetadata,
};
use burn::tensor::DType;

thread_local! {
    /// Whether operations are composed of burn's even where there is a kernel.
    static COMPOSED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `function` with all operations that it calls on this thread composed of burn's own, to compare with.
pub fn composed<R>(function: impl FnOnce() -> R) -> R {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            COMPOSED.set(self.0);
        }
    }
    let _restore = Restore(COMPOSED.replace(true));
    function()
}

/// A float tensor of the CPU that records gradients.
type Recorded = FloatTensor<Autodiff<Flex>>;

/// An operation on f32 tensors of the CPU, with N of them as inputs and one as output.
pub(super) trait Fused<const N: usize>: Clone + Debug + Send + 'static {
    /// What the backward pass needs beside the inputs; cheap to clone.
    type Saved: Clone + Debug + Send + 'static;

    /// Which inputs the backward pass reads. The others are freed, or written over, by the forward pass.
    const READS: [bool; N];

    /// The result, and what to keep.
    fn forward(&self, inputs: [FlexTensor; N]) -> (FlexTensor, Self::Saved);

    /// The gradients of the inputs that are `wanted`, in the shape of each, from the gradient of the result; inputs
    /// that are not read are `None`.
    fn backward(
        &self,
        inputs: [Option<FlexTensor>; N],
        saved: Self::Saved,
        gradient: FlexTensor,
        wanted: [bool; N],
    ) -> [Option<FlexTensor>; N];
}

/// Runs the operation, or gives the tensors back where they are not all f32 on the `flex` device.
pub(super) fn apply<O: Fused<N>, const N: usize>(
    operation: O,
    tensors: [DispatchTensor; N],
) -> Result<DispatchTensor, [DispatchTensor; N]> {
    if COMPOSED.get() || !tensors.iter().all(is_flex_f32) {
        return Err(tensors);
    }
    let strategy = tensors.iter().find_map(|tensor| match tensor.autodiff {
        DispatchAutodiffContext::Enabled(strategy) => Some(strategy),
        DispatchAutodiffContext::Disabled => None,
    });
    Ok(match strategy {
        None => {
            let (output, _) = operation.forward(tensors.map(plain));
            dispatch(DispatchTensorKind::Flex(BackendTensor::Float(output)), DispatchAutodiffContext::Disabled)
        }
        Some(strategy) => {
            let inputs = tensors.map(recorded);
            let output = match strategy {
                GradientCheckpointingStrategy::Disabled => record::<O, NoCheckpointing, N>(operation, inputs),
                GradientCheckpointingStrategy::Balanced => record::<O, BalancedCheckpointing, N>(operation, inputs),
            };
            let kind = DispatchTensorKind::Flex(BackendTensor::Autodiff(output));
            dispatch(DispatchTensorKind::Autodiff(Box::new(kind)), DispatchAutodiffContext::Enabled(strategy))
        }
    })
}

/// [`apply`] to tensors of one rank; the result may have another.
pub(super) fn apply_to<O: Fused<N>, const N: usize, const D: usize, const R: usize>(
    operation: O,
    tensors: [Tensor<D>; N],
) -> Result<Tensor<R>, [Tensor<D>; N]> {
    apply(operation, tensors.map(Tensor::into_dispatch))
        .map(Tensor::from_dispatch)
        .map_err(|tensors| tensors.map(Tensor::from_dispatch))
}

/// Whether an operation on this tensor and others like it has a kernel.
pub(super) fn runs_fused<const D: usize>(tensor: &Tensor<D>) -> bool {
    !COMPOSED.get() && is_flex_f32(&tensor.clone().into_dispatch())
}

/// What stands behind a tensor that records no gradients, where operations on it have a kernel.
pub(super) fn plain_f32<const D: usize>(tensor: &Tensor<D>) -> Option<FlexTensor> {
    match tensor.clone().into_dispatch().kind {
        DispatchTensorKind::Flex(BackendTensor::Float(tensor)) if !COMPOSED.get() && tensor.dtype() == DType::F32 => {
            Some(tensor)
        }
        _ => None,
    }
}

fn dispatch(kind: DispatchTensorKind, autodiff: DispatchAutodiffContext) -> DispatchTensor {
    DispatchTensor { kind, autodiff }
}

fn is_flex_f32(tensor: &DispatchTensor) -> bool {
    let mut kind = &tensor.kind;
    if let DispatchTensorKind::Autodiff(inner) = kind {
        kind = inner;
    }
    match kind {
        DispatchTensorKind::Flex(BackendTensor::Float(tensor)) => tensor.dtype() == DType::F32,
        DispatchTensorKind::Flex(BackendTensor::Autodiff(tensor)) => tensor.dtype() == DType::F32,
        _ => false,
    }
}

fn plain(tensor: DispatchTensor) -> FlexTensor {
    match tensor.kind {
        DispatchTensorKind::Flex(BackendTensor::Float(tensor)) => tensor,
        _ => unreachable!("checked by `is_flex_f32`, and no input records gradients"),
    }
}

/// Constants become tensors that record nothing.
fn recorded(tensor: DispatchTensor) -> Recorded {
    let mut kind = tensor.kind;
    if let DispatchTensorKind::Autodiff(inner) = kind {
        kind = *inner;
    }
    match kind {
        DispatchTensorKind::Flex(BackendTensor::Autodiff(tensor)) => tensor,
        DispatchTensorKind::Flex(BackendTensor::Float(tensor)) => Autodiff::<Flex>::from_inner(tensor),
        _ => unreachable!("checked by `is_flex_f32`"),
    }
}

fn record<O: Fused<N>, C: CheckpointStrategy, const N: usize>(operation: O, inputs: [Recorded; N]) -> Recorded {
    let nodes = inputs.each_ref().map(Recorded::node);
    match (Step { operation: std::marker::PhantomData::<fn() -> O> }).prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(mut prepared) => {
            let kept = array::from_fn(|i| O::READS[i].then(|| prepared.checkpoint(&inputs[i])));
            let (output, saved) = operation.forward(inputs.map(Recorded::into_primitive));
            prepared.finish((operation, saved, kept), output)
        }
        OpsKind::UnTracked(prepared) => {
            let (output, _) = operation.forward(inputs.map(Recorded::into_primitive));
            prepared.finish(output)
        }
    }
}

/// The backward pass of an operation on burn's tape.
struct Step<O> {
    operation: std::marker::PhantomData<fn() -> O>,
}

impl<O> Debug for Step<O> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(std::any::type_name::<O>())
    }
}

impl<O: Fused<N>, const N: usize> Backward<Flex, N> for Step<O> {
    type State = (O, O::Saved, [Option<NodeId>; N]);

    fn backward(self, ops: Ops<Self::State, N>, gradients: &mut Gradients, checkpointer: &mut Checkpointer) {
        let (operation, saved, kept) = ops.state;
        let gradient = gradients.consume::<Flex>(&ops.node);
        let inputs = kept.map(|id| id.map(|id| checkpointer.retrieve_node_output::<FlexTensor>(id)));
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let found = operation.backward(inputs, saved, gradient, wanted);
        for (parent, gradient) in ops.parents.into_iter().zip(found) {
            if let (Some(parent), Some(gradient)) = (parent, gradient) {
                gradients.register::<Flex>(parent.id, gradient);
            }
        }
    }
}

//! The operations where a forward pass spends its time, one file each.
//!
//! Every function takes and returns plain tensors and works on any device, under autodiff too. Each is composed of burn
//! operations; for f32 on the CPU (`flex`) the same file has a fused kernel behind the same signature, with its own
//! backward pass, that goes over memory once. [`composed`] switches the kernels off, to compare with. Statistics and
//! softmax are computed in f32 whatever the dtype of the inputs.
#![expect(clippy::inline_always, reason = "what is not inlined into a kernel is not compiled for its instruction set")]

mod attention;
mod cross_entropy;
mod fused;
mod memory;
mod rms_norm;
mod rope;
mod silu_mul;
mod simd;

pub use attention::{AttentionMask, attention, attention_received};
pub use cross_entropy::cross_entropy_rows;
pub use fused::composed;
pub use rms_norm::rms_norm;
pub use rope::rope;
pub use silu_mul::silu_mul;

/// What the tests of the kernels share.
#[cfg(test)]
pub(crate) mod testing;

//! The operations where a forward pass spends its time, one file each.
//!
//! Every function takes and returns plain tensors, works on any device and under autodiff, and is written in burn
//! operations; a fused implementation for a device goes into the same file behind the same signature. Statistics and
//! softmax are computed in f32 whatever the dtype of the inputs.

mod attention;
mod cross_entropy;
mod rms_norm;
mod rope;
mod silu_mul;

pub use attention::{AttentionMask, attention};
pub use cross_entropy::cross_entropy_rows;
pub use rms_norm::rms_norm;
pub use rope::rope;
pub use silu_mul::silu_mul;

/// What the tests of the kernels share.
#[cfg(test)]
pub(crate) mod testing;

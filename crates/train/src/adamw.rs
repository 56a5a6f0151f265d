//! AdamW, with PyTorch's arithmetic.

use rayon::prelude::*;

use crate::config::OptimizerSection;
use crate::optimizer::Moments;
use crate::parameters::Parameter;

/// Below this many numbers a parameter is not worth a task of its own.
const CHUNK: usize = 1 << 14;

/// AdamW with decoupled weight decay. For each parameter `p` with gradient `g`, at step `t` from 1:
///
/// `p *= 1 - lr * weight_decay`; `m = b1 m + (1 - b1) g`; `v = b2 v + (1 - b2) g^2`;
/// `p -= lr / (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + eps)`.
///
/// The constants of one step for one parameter.
///
/// Source: Loshchilov and Hutter 2019 (arXiv:1711.05101); the place of epsilon from PyTorch 2 `torch.optim.AdamW`.
pub(crate) struct AdamW {
    keep: f32,
    beta1: f32,
    beta2: f32,
    step_size: f32,
    root_correction: f32,
    eps: f32,
}

impl AdamW {
    /// The constants of step `step` (from 1) at learning rate `lr`.
    pub(crate) fn new(settings: &OptimizerSection, step: u64, lr: f64, parameter: &Parameter) -> Self {
        let [beta1, beta2] = settings.betas;
        let decays = parameter.shape.len() > 1 || settings.decay_norms_and_biases;
        let decay = if decays { settings.weight_decay } else { 0.0 };
        Self {
            keep: (1.0 - lr * decay) as f32,
            beta1: beta1 as f32,
            beta2: beta2 as f32,
            step_size: (lr / (1.0 - beta1.powf(step as f64))) as f32,
            root_correction: (1.0 - beta2.powf(step as f64)).sqrt() as f32,
            eps: settings.eps as f32,
        }
    }

    /// Changes the parameter and its running means.
    pub(crate) fn update(&self, parameter: &mut Parameter, gradient: &[f32], moments: &mut Moments) {
        parameter
            .values
            .par_chunks_mut(CHUNK)
            .zip(gradient.par_chunks(CHUNK))
            .zip(moments.mean.par_chunks_mut(CHUNK).zip(moments.square.par_chunks_mut(CHUNK)))
            .for_each(|((values, gradient), (mean, square))| self.update_chunk(values, gradient, mean, square));
    }

    fn update_chunk(&self, values: &mut [f32], gradient: &[f32], mean: &mut [f32], square: &mut [f32]) {
        let moments = mean.iter_mut().zip(square.iter_mut());
        for ((value, gradient), (mean, square)) in values.iter_mut().zip(gradient).zip(moments) {
            *mean += (gradient - *mean) * (1.0 - self.beta1);
            *square = self.beta2 * *square + (1.0 - self.beta2) * gradient * gradient;
            let root = square.sqrt() / self.root_correction + self.eps;
            *value = *value * self.keep - self.step_size * *mean / root;
        }
    }
}

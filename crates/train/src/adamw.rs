//! AdamW and gradient clipping, with PyTorch's arithmetic.

use rayon::prelude::*;

use crate::config::OptimizerSection;
use crate::parameters::{GradientBuffers, Parameter, Parameters};

/// Below this many numbers a parameter is not worth a task of its own.
const CHUNK: usize = 1 << 14;

/// AdamW with decoupled weight decay. For each parameter `p` with gradient `g`, at step `t` from 1:
///
/// `p *= 1 - lr * weight_decay`; `m = b1 m + (1 - b1) g`; `v = b2 v + (1 - b2) g^2`;
/// `p -= lr / (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + eps)`.
///
/// Everything in f32 on the host.
///
/// Source: Loshchilov and Hutter 2019 (arXiv:1711.05101); the place of epsilon from PyTorch 2 `torch.optim.AdamW`.
#[derive(Debug, Clone, PartialEq)]
pub struct AdamW {
    settings: OptimizerSection,
    steps: u64,
    moments: Vec<Moments>,
}

/// Running means of one parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Moments {
    /// Of the gradient.
    pub mean: Vec<f32>,
    /// Of its square.
    pub square: Vec<f32>,
}

impl AdamW {
    /// An optimizer that has seen nothing.
    pub fn new(settings: OptimizerSection, parameters: &Parameters) -> Self {
        let zeros = |one: &Parameter| vec![0.0; one.values.len()];
        let moments = parameters.iter().map(|one| Moments { mean: zeros(one), square: zeros(one) }).collect();
        Self { settings, steps: 0, moments }
    }

    /// An optimizer that goes on after `steps` steps; `moments` has one entry a parameter.
    pub(crate) fn resumed(settings: OptimizerSection, steps: u64, moments: Vec<Moments>) -> Self {
        Self { settings, steps, moments }
    }

    /// Steps taken.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Running means, parameter by parameter.
    pub fn moments(&self) -> &[Moments] {
        &self.moments
    }

    /// Changes the parameters by one step; the learning rate is `lr_factor` times the one of the settings.
    ///
    /// # Panics
    /// The gradients are not those of the parameters this optimizer was made for.
    pub fn step(&mut self, parameters: &mut Parameters, gradients: &GradientBuffers, lr_factor: f64) {
        assert_eq!(gradients.len(), self.moments.len(), "one gradient a parameter");
        assert_eq!(parameters.len(), self.moments.len(), "one pair of means a parameter");
        self.steps += 1;
        let lr = self.settings.lr * lr_factor;
        for ((parameter, gradient), moments) in parameters.iter_mut().zip(gradients).zip(&mut self.moments) {
            let decays = parameter.shape.len() > 1 || self.settings.decay_norms_and_biases;
            let lr = lr * self.settings.lr_factor(&parameter.name);
            let update = Update::new(&self.settings, self.steps, lr, decays);
            parameter
                .values
                .par_chunks_mut(CHUNK)
                .zip(gradient.par_chunks(CHUNK))
                .zip(moments.mean.par_chunks_mut(CHUNK).zip(moments.square.par_chunks_mut(CHUNK)))
                .for_each(|((values, gradient), (mean, square))| update.apply(values, gradient, mean, square));
        }
    }
}

/// The constants of one step.
struct Update {
    keep: f32,
    beta1: f32,
    beta2: f32,
    step_size: f32,
    root_correction: f32,
    eps: f32,
}

impl Update {
    fn new(settings: &OptimizerSection, step: u64, lr: f64, decays: bool) -> Self {
        let [beta1, beta2] = settings.betas;
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

    fn apply(&self, values: &mut [f32], gradient: &[f32], mean: &mut [f32], square: &mut [f32]) {
        let moments = mean.iter_mut().zip(square.iter_mut());
        for ((value, gradient), (mean, square)) in values.iter_mut().zip(gradient).zip(moments) {
            *mean += (gradient - *mean) * (1.0 - self.beta1);
            *square = self.beta2 * *square + (1.0 - self.beta2) * gradient * gradient;
            let root = square.sqrt() / self.root_correction + self.eps;
            *value = *value * self.keep - self.step_size * *mean / root;
        }
    }
}

/// The global norm of all gradients, the root of the sum of all squares; summed in f64.
pub fn global_norm(gradients: &GradientBuffers) -> f64 {
    let squares = |buffer: &Vec<f32>| buffer.iter().map(|value| f64::from(*value) * f64::from(*value)).sum::<f64>();
    gradients.iter().map(squares).sum::<f64>().sqrt()
}

/// Scales gradients whose global norm is `norm` down to `clip_norm` where it is larger: factor `clip_norm / (norm + 1e-6)`.
///
/// Source: PyTorch 2 `clip_grad_norm_`, with its 1e-6.
pub fn clip(gradients: &mut GradientBuffers, norm: f64, clip_norm: f64) {
    let factor = clip_norm / (norm + 1e-6);
    if factor < 1.0 {
        let factor = factor as f32;
        gradients.par_iter_mut().for_each(|buffer| buffer.iter_mut().for_each(|value| *value *= factor));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clipping_scales_all_gradients_to_the_norm_asked_for() {
        let mut gradients = vec![vec![3.0, 0.0], vec![4.0]];
        let norm = global_norm(&gradients);
        assert_eq!(norm, 5.0);
        clip(&mut gradients, norm, 1.0);
        assert!((global_norm(&gradients) - 1.0).abs() < 1e-6);
        assert!((gradients[0][0] - 0.6).abs() < 1e-6);
    }

    #[test]
    fn small_gradients_are_left_alone() {
        let mut gradients = vec![vec![0.3, -0.4]];
        clip(&mut gradients, 0.5, 1.0);
        assert_eq!(gradients, [[0.3, -0.4]]);
    }
}

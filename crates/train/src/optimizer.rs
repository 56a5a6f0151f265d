//! One update of all parameters: AdamW, and Muon for hidden matrices where the run file asks for it.

use rayon::prelude::*;

use crate::adamw::AdamW;
use crate::config::OptimizerSection;
use crate::muon;
use crate::parameters::{GradientBuffers, Parameter, Parameters};

/// Running means of all parameters, and the rules that turn them into updates.
///
/// Everything in f32 on the host.
#[derive(Debug, Clone, PartialEq)]
pub struct Optimizer {
    settings: OptimizerSection,
    steps: u64,
    moments: Vec<Moments>,
}

/// Running means of one parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Moments {
    /// Of the gradient.
    pub mean: Vec<f32>,
    /// Of its square; stays zero where Muon is at work.
    pub square: Vec<f32>,
}

impl Optimizer {
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
        let (settings, steps) = (&self.settings, self.steps);
        let jobs: Vec<_> = parameters.iter_mut().zip(gradients).zip(&mut self.moments).collect();
        jobs.into_par_iter().with_max_len(1).for_each(|((parameter, gradient), moments)| {
            let lr = settings.lr * lr_factor * settings.lr_factor(&parameter.name);
            match settings.muon {
                Some(muon) if muon::is_hidden_matrix(parameter) => {
                    muon::update(muon, lr, settings.weight_decay, parameter, gradient, &mut moments.mean);
                }
                _ => AdamW::new(settings, steps, lr, parameter).update(parameter, gradient, moments),
            }
        });
    }
}

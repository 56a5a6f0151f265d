//! Clipping of gradients by their global norm.

use rayon::prelude::*;

use crate::parameters::GradientBuffers;

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

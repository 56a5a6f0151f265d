//! Rotation of queries and keys.

use burn::Tensor;

/// Rotates the pairs (x_j, x_{j + D/2}) of every head by the angle of their token.
///
/// With halves `a` and `b` of the last axis: `[a cos - b sin, b cos + a sin]`, in the dtype of the inputs, which all
/// have the same.
///
/// Shapes: `x` [B, H, T, D], `cos` and `sin` [B, T, D/2] -> [B, H, T, D].
///
/// Source: Su et al. 2021 (arXiv:2104.09864), in the half-split pairing of transformers' `rotate_half`.
pub fn rope(x: Tensor<4>, cos: Tensor<3>, sin: Tensor<3>) -> Tensor<4> {
    let half = x.dims()[3] / 2;
    let cos = cos.unsqueeze_dim::<4>(1);
    let sin = sin.unsqueeze_dim::<4>(1);
    let a = x.clone().narrow(3, 0, half);
    let b = x.narrow(3, half, half);
    let first = a.clone() * cos.clone() - b.clone() * sin.clone();
    let second = b * cos + a * sin;
    Tensor::cat(vec![first, second], 3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{close, device, values};

    #[test]
    fn rotates_each_pair_by_the_angle_of_its_token() {
        let (batch, heads, tokens, half) = (2, 3, 4, 5);
        let x = values([batch, heads, tokens, 2 * half], 1);
        let angle = values([batch, tokens, half], 2);
        let cos = angle.map(f32::cos);
        let sin = angle.map(f32::sin);
        let mut expected = x.to_vec();
        for b in 0..batch {
            for h in 0..heads {
                for t in 0..tokens {
                    let row = ((b * heads + h) * tokens + t) * 2 * half;
                    for j in 0..half {
                        let (sin, cos) = angle[(b * tokens + t) * half + j].sin_cos();
                        expected[row + j] = x[row + j] * cos - x[row + half + j] * sin;
                        expected[row + half + j] = x[row + half + j] * cos + x[row + j] * sin;
                    }
                }
            }
        }

        let device = device();
        let found = rope(x.tensor(&device), cos.tensor(&device), sin.tensor(&device));
        close(&found, &expected, 1e-6);
    }
}

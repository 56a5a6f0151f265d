//! The pieces that both slow networks are made of, in f64.

use burn::Tensor;
use visionthink_model::{Linear, RmsNorm};

pub(crate) type Rows = Vec<Vec<f64>>;

pub(crate) fn rows<const D: usize>(tensor: &Tensor<D>) -> Rows {
    let width = tensor.dims()[D - 1];
    let values: Vec<f32> = tensor.try_to_vec_as().unwrap();
    values.chunks(width).map(|row| row.iter().map(|value| f64::from(*value)).collect()).collect()
}

/// `x W + b` for each row.
pub(crate) fn linear(layer: &Linear, x: &[Vec<f64>]) -> Rows {
    let weight = rows(&layer.weight.val());
    let bias: Option<Vec<f32>> = layer.bias.as_ref().map(|bias| bias.val().try_to_vec_as().unwrap());
    x.iter()
        .map(|x| {
            (0..weight[0].len())
                .map(|out| {
                    let product: f64 = x.iter().zip(&weight).map(|(x, row)| x * row[out]).sum();
                    product + bias.as_ref().map_or(0.0, |bias| f64::from(bias[out]))
                })
                .collect()
        })
        .collect()
}

pub(crate) fn norm(layer: &RmsNorm, eps: f64, x: &[Vec<f64>]) -> Rows {
    let weight: Vec<f32> = layer.weight.val().try_to_vec_as().unwrap();
    x.iter()
        .map(|x| {
            let square = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
            x.iter().zip(&weight).map(|(x, weight)| x / (square + eps).sqrt() * f64::from(*weight)).collect()
        })
        .collect()
}

/// Rotates each head of `width` by the angles of its row: element j with element j + width / 2.
pub(crate) fn rotate(x: &mut [Vec<f64>], width: usize, angles: &[Vec<f64>]) {
    for (x, angles) in x.iter_mut().zip(angles) {
        for head in x.chunks_mut(width) {
            for (j, angle) in angles.iter().enumerate() {
                let (a, b) = (head[j], head[j + width / 2]);
                head[j] = a * angle.cos() - b * angle.sin();
                head[j + width / 2] = b * angle.cos() + a * angle.sin();
            }
        }
    }
}

pub(crate) fn softmax(scores: &[f64]) -> Vec<f64> {
    let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let exponentials: Vec<f64> = scores.iter().map(|score| (score - most).exp()).collect();
    let sum: f64 = exponentials.iter().sum();
    exponentials.iter().map(|value| value / sum).collect()
}

pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The places of the `count` largest, ascending; the first of equals.
pub(crate) fn largest(scores: &[f64], count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*b].partial_cmp(&scores[*a]).unwrap().then(a.cmp(b)));
    order.truncate(count);
    order.sort_unstable();
    order
}

/// Asserts that `found` is `expected` up to `limit`.
pub(crate) fn close(what: &str, found: &[Vec<f64>], expected: &[Vec<f64>], limit: f64) {
    assert_eq!(found.len(), expected.len(), "{what}: rows");
    for (row, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert_eq!(found.len(), expected.len(), "{what}: width");
        for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
            let off = (found - expected).abs();
            assert!(off <= limit, "{what}: {found} at {row}, {at}; expected {expected}, limit {limit:e}");
        }
    }
}

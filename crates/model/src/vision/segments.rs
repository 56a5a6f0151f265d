//! Attention inside the segments of one packed sequence, without a mask.

use burn::Tensor;
use burn::tensor::{Device, Int};

use crate::kernels::{self, AttentionMask};

/// A partition of a packed sequence of P rows into segments that do not see each other.
///
/// Segments of one length are batched; a tower has at most a handful of lengths (whole windows, and smaller ones at the
/// borders). Where all lengths are equal nothing is moved.
#[derive(Debug)]
pub struct Segments {
    groups: Vec<Group>,
    /// Undoes the order in which the groups list the rows; `None` where it is the order of the sequence.
    inverse: Option<Tensor<1, Int>>,
}

/// All segments of one length.
#[derive(Debug)]
struct Group {
    count: usize,
    length: usize,
    /// Rows of the sequence, segment by segment; `None` for all of them.
    rows: Option<Tensor<1, Int>>,
}

impl Segments {
    /// Segments from running sums that start with 0 and end with P.
    pub fn new(cu_seqlens: &[u32], device: &Device) -> Self {
        let spans = || cu_seqlens.windows(2).filter(|pair| pair[1] > pair[0]);
        let mut lengths: Vec<u32> = spans().map(|pair| pair[1] - pair[0]).collect();
        let total = lengths.iter().sum::<u32>() as usize;
        lengths.sort_unstable_by(|a, b| b.cmp(a));
        lengths.dedup();
        if let [length] = lengths.as_slice() {
            let length = *length as usize;
            return Self { groups: vec![Group { count: total / length, length, rows: None }], inverse: None };
        }
        let mut inverse = vec![0_i64; total];
        let mut place = 0;
        let groups = lengths
            .into_iter()
            .map(|length| {
                let rows: Vec<i64> = spans()
                    .filter(|pair| pair[1] - pair[0] == length)
                    .flat_map(|pair| i64::from(pair[0])..i64::from(pair[1]))
                    .collect();
                for row in &rows {
                    inverse[*row as usize] = place;
                    place += 1;
                }
                let length = length as usize;
                let index = Tensor::from_ints(rows.as_slice(), device);
                Group { count: rows.len() / length, length, rows: Some(index) }
            })
            .collect();
        Self { groups, inverse: Some(Tensor::from_ints(inverse.as_slice(), device)) }
    }

    /// Bidirectional attention inside each segment. Shapes: `q`, `k`, `v` [1, H, P, D] -> [1, P, H * D].
    pub fn attention(&self, [q, k, v]: [Tensor<4>; 3], scale: f64) -> Tensor<3> {
        let [_, heads, patches, width] = q.dims();
        let outputs = self
            .groups
            .iter()
            .map(|group| {
                let [q, k, v] = [&q, &k, &v].map(|x| group.take(x));
                kernels::attention(q, k, v, &AttentionMask::full(), scale).reshape([
                    1,
                    group.count * group.length,
                    heads * width,
                ])
            })
            .collect::<Vec<_>>();
        let joined = Tensor::cat(outputs, 1);
        debug_assert_eq!(joined.dims()[1], patches);
        match &self.inverse {
            Some(inverse) => joined.select(1, inverse.clone()),
            None => joined,
        }
    }
}

impl Group {
    /// [1, H, P, D] -> [count, H, length, D].
    fn take(&self, x: &Tensor<4>) -> Tensor<4> {
        let [_, heads, _, width] = x.dims();
        let x = match &self.rows {
            Some(rows) => x.clone().select(2, rows.clone()),
            None => x.clone(),
        };
        x.reshape([heads, self.count, self.length, width]).swap_dims(0, 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{close, device, values};

    /// Attention of each segment alone, joined.
    fn one_by_one(cu_seqlens: &[u32], [q, k, v]: [Tensor<4>; 3]) -> Vec<f32> {
        let parts = cu_seqlens.windows(2).map(|pair| {
            let (start, length) = (pair[0] as usize, (pair[1] - pair[0]) as usize);
            let [q, k, v] = [&q, &k, &v].map(|x| x.clone().narrow(2, start, length));
            kernels::attention(q, k, v, &AttentionMask::full(), 0.5)
        });
        Tensor::cat(parts.collect(), 1).try_to_vec_as().unwrap()
    }

    #[test]
    fn segments_do_not_see_each_other_whatever_their_lengths() {
        let device = device();
        for cu_seqlens in [vec![0, 4, 8, 12], vec![0, 4, 6, 10, 12], vec![0, 12], vec![0, 1, 8, 9, 12]] {
            let qkv = [1, 2, 3].map(|seed| values([1, 2, 12, 4], seed).tensor(&device));
            let expected = one_by_one(&cu_seqlens, qkv.clone());
            let found = Segments::new(&cu_seqlens, &device).attention(qkv, 0.5);
            close(&found, &expected, 1e-6);
        }
    }
}

//! Clustering by density peaks, as SparseVLM's token recycling does it.

use crate::select::ranked;

/// Groups of rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clusters {
    /// The row that each group gathers around, best first.
    pub centres: Vec<usize>,
    /// The rows of each group, its centre among them, ascending.
    pub members: Vec<Vec<usize>>,
}

/// DPC-kNN over `features` [n, width] into `count` groups:
///
/// - `d_ij = |x_i - x_j| / sqrt(width)`,
/// - density `rho_i = exp(-mean of d_ij^2 over the count nearest j)`, i among them,
/// - distance `delta_i` to the nearest row of higher density, the largest distance of all where there is none,
/// - centres: the `count` largest `rho_i * delta_i`; every other row joins the nearest centre.
///
/// The reference adds noise of up to 1e-6 to the densities, to part equal ones; here the first of
/// equals is the denser.
///
/// # Panics
/// `features` are not whole rows.
///
/// Source: arXiv 2410.04417, section 3.4, after Rodriguez and Laio 2014 in the form of arXiv 2204.08680.
pub fn cluster(features: &[f32], width: usize, count: usize) -> Clusters {
    assert!(width > 0 && features.len().is_multiple_of(width), "features are rows of one width");
    let rows = features.len() / width;
    let count = count.min(rows);
    if count == 0 {
        return Clusters { centres: Vec::new(), members: Vec::new() };
    }
    let distances = distances(features, width);
    let row = |index: usize| &distances[index * rows..][..rows];
    let density: Vec<f32> = (0..rows)
        .map(|index| {
            let mut near = row(index).to_vec();
            near.sort_by(f32::total_cmp);
            (-near[..count].iter().map(|distance| distance * distance).sum::<f32>() / count as f32).exp()
        })
        .collect();
    let farthest = distances.iter().copied().fold(0.0, f32::max);
    let peaks: Vec<f32> = (0..rows)
        .map(|index| {
            let is_denser = |other: &usize| (density[*other], index) > (density[index], *other);
            let denser = (0..rows).filter(is_denser).map(|other| row(index)[other]);
            density[index] * denser.fold(farthest, f32::min)
        })
        .collect();
    let mut centres = ranked(&peaks);
    centres.truncate(count);

    let mut members = vec![Vec::new(); count];
    for index in 0..rows {
        let own = centres.iter().position(|centre| *centre == index);
        let group = own.unwrap_or_else(|| nearest(row(index), &centres));
        members[group].push(index);
    }
    Clusters { centres, members }
}

/// The first of the nearest centres.
fn nearest(distances: &[f32], centres: &[usize]) -> usize {
    let mut best = 0;
    for (group, centre) in centres.iter().enumerate() {
        if distances[*centre] < distances[centres[best]] {
            best = group;
        }
    }
    best
}

/// [n, n].
fn distances(features: &[f32], width: usize) -> Vec<f32> {
    let rows = features.len() / width;
    let mut distances = vec![0.0; rows * rows];
    for i in 0..rows {
        for j in 0..i {
            let [a, b] = [i, j].map(|row| &features[row * width..][..width]);
            let squares: f32 = a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum();
            let distance = (squares / width as f32).sqrt();
            distances[i * rows + j] = distance;
            distances[j * rows + i] = distance;
        }
    }
    distances
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_lie_together_are_one_group() {
        // Two heaps on a line, around 0 and around 10.
        let features = [0.0, 10.0, 0.1, 10.3, -0.2, 10.1];
        let found = cluster(&features, 1, 2);
        let mut members = found.members.clone();
        members.sort();
        assert_eq!(members, [vec![0, 2, 4], vec![1, 3, 5]]);
        for (centre, members) in found.centres.iter().zip(&found.members) {
            assert!(members.contains(centre));
        }
    }

    #[test]
    fn a_small_case_by_hand() {
        // Distances: 0-1: 1, 0-2: 4, 1-2: 3. Densities over the two nearest: exp(-1/2), exp(-1/2), exp(-9/2).
        // Row 0 is the first of the densest: 4. Row 1 has row 0 at 1, row 2 has row 1 at 3. Products: 2.43, 0.61, 0.03.
        let found = cluster(&[0.0, 1.0, 4.0], 1, 2);
        assert_eq!(found, Clusters { centres: vec![0, 1], members: vec![vec![0], vec![1, 2]] });
    }

    #[test]
    fn as_many_groups_as_rows_are_the_rows() {
        let found = cluster(&[1.0, 5.0, 2.0, 8.0], 1, 9);
        assert_eq!(found.centres.len(), 4);
        assert!(found.members.iter().all(|members| members.len() == 1));
        assert_eq!(cluster(&[3.0, 4.0], 2, 1), Clusters { centres: vec![0], members: vec![vec![0]] });
        assert!(cluster(&[], 2, 1).centres.is_empty());
    }
}

//! The order in which the tower visits patches, and who sees whom.

use visionthink_image::GridThw;

/// Window order of a batch of images, and the segments that attention stays within.
///
/// A *cell* is one image token: `merge` x `merge` patches, four consecutive rows of the pixel values. Windows are
/// `window_cells` x `window_cells` cells; those at the right and lower border are smaller, nothing is padded.
///
/// Source: transformers 5.23 `Qwen2_5_VisionTransformerPretrainedModel.get_window_index` and `rot_pos_emb`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowOrder {
    /// Raster cell numbers (over all images) in visiting order, `[M]`.
    pub window_index: Vec<u32>,
    /// 0 and the running sum of patches per window.
    pub cu_window_seqlens: Vec<u32>,
    /// 0 and the running sum of patches per frame.
    pub cu_seqlens: Vec<u32>,
    /// (row, column) of every patch in the row order of the pixel values, `[P]`.
    pub coordinates: Vec<(u32, u32)>,
    merge_unit: u32,
}

impl WindowOrder {
    /// The order for images of `grids` patches; their sides are multiples of `merge`.
    pub fn new(grids: &[GridThw], merge: u32, window_cells: u32) -> Self {
        let mut order = Self {
            window_index: Vec::new(),
            cu_window_seqlens: vec![0],
            cu_seqlens: vec![0],
            coordinates: Vec::new(),
            merge_unit: merge * merge,
        };
        for grid in grids {
            for _ in 0..grid.t {
                order.push_frame(grid.h / merge, grid.w / merge, merge, window_cells);
            }
        }
        order
    }

    fn push_frame(&mut self, rows: u32, columns: u32, merge: u32, window: u32) {
        let first_cell = self.window_index.len() as u32;
        for top in (0..rows).step_by(window as usize) {
            for left in (0..columns).step_by(window as usize) {
                let (bottom, right) = ((top + window).min(rows), (left + window).min(columns));
                for row in top..bottom {
                    self.window_index.extend((left..right).map(|column| first_cell + row * columns + column));
                }
                let patches = (bottom - top) * (right - left) * self.merge_unit;
                push_sum(&mut self.cu_window_seqlens, patches);
            }
        }
        for row in 0..rows {
            for column in 0..columns {
                for inner in 0..self.merge_unit {
                    self.coordinates.push((row * merge + inner / merge, column * merge + inner % merge));
                }
            }
        }
        push_sum(&mut self.cu_seqlens, rows * columns * self.merge_unit);
    }

    /// Row numbers of the pixel values in visiting order, `[P]`: cells move, the patches inside a cell keep their order.
    pub fn patch_index(&self) -> Vec<u32> {
        let unit = self.merge_unit;
        self.window_index.iter().flat_map(|cell| cell * unit..(cell + 1) * unit).collect()
    }

    /// Coordinates of the patches in visiting order, `[P]`.
    pub fn permuted_coordinates(&self) -> Vec<(u32, u32)> {
        self.patch_index().into_iter().map(|patch| self.coordinates[patch as usize]).collect()
    }

    /// For every raster cell, where the visiting order has it, `[M]`.
    pub fn inverse_window_index(&self) -> Vec<u32> {
        let mut inverse = vec![0; self.window_index.len()];
        for (place, cell) in self.window_index.iter().enumerate() {
            inverse[*cell as usize] = place as u32;
        }
        inverse
    }
}

fn push_sum(sums: &mut Vec<u32>, count: u32) {
    sums.push(sums.last().copied().unwrap_or(0) + count);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(h: u32, w: u32) -> GridThw {
        GridThw { t: 1, h, w }
    }

    #[test]
    fn windows_go_row_by_row_and_border_windows_are_smaller() {
        // 2 x 3 cells with windows of 2 x 2 cells: one whole window, one of a single column.
        let order = WindowOrder::new(&[grid(4, 6)], 2, 2);
        assert_eq!(order.window_index, [0, 1, 3, 4, 2, 5]);
        assert_eq!(order.cu_window_seqlens, [0, 16, 24]);
        assert_eq!(order.cu_seqlens, [0, 24]);
        assert_eq!(order.coordinates[..5], [(0, 0), (0, 1), (1, 0), (1, 1), (0, 2)]);
    }

    #[test]
    fn a_second_image_continues_the_numbers() {
        let order = WindowOrder::new(&[grid(2, 2), grid(2, 4)], 2, 4);
        assert_eq!(order.window_index, [0, 1, 2]);
        assert_eq!(order.cu_window_seqlens, [0, 4, 12]);
        assert_eq!(order.cu_seqlens, [0, 4, 12]);
    }

    #[test]
    fn the_inverse_undoes_the_order() {
        let order = WindowOrder::new(&[grid(10, 14), grid(6, 2)], 2, 2);
        let inverse = order.inverse_window_index();
        for (cell, place) in inverse.iter().enumerate() {
            assert_eq!(order.window_index[*place as usize] as usize, cell);
        }
    }
}

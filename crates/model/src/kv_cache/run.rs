//! Layers that hold the same tokens.

use crate::position::MropeBatch;

/// The columns of the layers from `first` on, up to the next run.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) first: usize,
    pub(super) columns: usize,
    /// `[B][columns]`.
    pub(super) valid: Vec<Vec<bool>>,
}

impl Run {
    pub(super) fn new(first: usize, batch: usize) -> Self {
        Self { first, columns: 0, valid: vec![Vec::new(); batch] }
    }

    /// Room for the tokens of `batch`.
    pub(super) fn open(&mut self, batch: &MropeBatch) {
        assert_eq!(self.valid.len(), batch.batch(), "the cache and the chunk have the same rows");
        let tokens = batch.tokens();
        for (row, valid) in self.valid.iter_mut().enumerate() {
            valid.extend_from_slice(&batch.valid()[row * tokens..][..tokens]);
        }
        self.columns += tokens;
    }

    /// Without the last `count` columns, or all there are.
    pub(super) fn forget(&mut self, count: usize) {
        self.columns -= count.min(self.columns);
        for row in &mut self.valid {
            row.truncate(self.columns);
        }
    }

    /// The columns that are a token in some row.
    pub(super) fn used(&self) -> Vec<usize> {
        (0..self.columns).filter(|column| self.valid.iter().any(|row| row[*column])).collect()
    }

    /// With these columns only.
    pub(super) fn keep(&mut self, kept: &[usize]) {
        for row in &mut self.valid {
            *row = kept.iter().map(|column| row[*column]).collect();
        }
        self.columns = kept.len();
    }

    /// Holes in front, `columns` in all.
    pub(super) fn pad_left(&mut self, columns: usize) {
        let holes = columns - self.columns;
        for row in &mut self.valid {
            *row = std::iter::repeat_n(false, holes).chain(row.iter().copied()).collect();
        }
        self.columns = columns;
    }
}

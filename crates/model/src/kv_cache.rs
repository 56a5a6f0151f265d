//! Keys and values of past tokens, kept between passes.

use burn::Tensor;
use burn::tensor::{DType, Device, Int};

use crate::config::TextConfig;
use crate::position::MropeBatch;

/// Columns are allocated in multiples of this.
const COLUMN_BLOCK: usize = 64;

/// A batch of sequences: per layer keys and values [B, K, columns, D], and which columns of a row are tokens.
///
/// Rows may have holes (padding); attention masks them, and positions are explicit, so a hole costs memory and nothing
/// else. [`Model::forward`](crate::Model::forward) appends to the cache it is given.
///
/// Storage grows by a quarter at a time and new columns are written in place where the device can; cloning is cheap
/// until one of the clones is appended to.
#[derive(Debug, Clone)]
pub struct KvCache {
    layers: Vec<Layer>,
    /// `[B][columns]`.
    valid: Vec<Vec<bool>>,
    columns: usize,
}

/// Keys and values of one layer, [B, K, capacity, D]; taken out while they are written, so that the only handle is in
/// the writer's hand and the write happens in place.
#[derive(Debug, Clone)]
struct Layer {
    keys: Option<Tensor<4>>,
    values: Option<Tensor<4>>,
}

impl Layer {
    fn map(&self, function: impl Fn(Tensor<4>) -> Tensor<4>) -> Self {
        Self { keys: self.keys.clone().map(&function), values: self.values.clone().map(&function) }
    }
}

impl KvCache {
    /// An empty cache for `batch` sequences.
    pub fn new(config: &TextConfig, batch: usize) -> Self {
        Self {
            layers: vec![Layer { keys: None, values: None }; config.num_hidden_layers],
            valid: vec![Vec::new(); batch],
            columns: 0,
        }
    }

    /// B.
    pub fn batch(&self) -> usize {
        self.valid.len()
    }

    /// Columns in use, holes included.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Which columns of a row are tokens.
    pub fn valid(&self, row: usize) -> &[bool] {
        &self.valid[row]
    }

    /// Tokens of a row.
    pub fn tokens(&self, row: usize) -> usize {
        self.valid[row].iter().filter(|valid| **valid).count()
    }

    /// Memory held, in bytes, unused capacity included.
    pub fn bytes(&self) -> usize {
        let tensors = self.layers.iter().flat_map(|layer| [&layer.keys, &layer.values]).flatten();
        tensors.map(|tensor| tensor.shape().num_elements() * tensor.dtype().size()).sum()
    }

    /// The rows given, in the order given; a row may be given several times (a fork) or not at all (it leaves).
    ///
    /// # Panics
    /// A row outside the batch.
    #[must_use]
    pub fn select(&self, rows: &[usize]) -> Self {
        let valid = rows.iter().map(|row| self.valid[*row].clone()).collect();
        let indices: Vec<i64> = rows.iter().map(|row| *row as i64).collect();
        let layers =
            self.map_used(|tensor, device| tensor.select(0, Tensor::<1, Int>::from_ints(indices.as_slice(), device)));
        Self { layers, valid, columns: self.columns }
    }

    /// Every row `times` times, copies side by side: 0, 0, 1, 1 for two.
    #[must_use]
    pub fn repeat(&self, times: usize) -> Self {
        let rows: Vec<usize> = (0..self.batch()).flat_map(|row| std::iter::repeat_n(row, times)).collect();
        self.select(&rows)
    }

    /// The rows of all caches in one batch; shorter ones get holes at the left.
    ///
    /// # Panics
    /// Without caches, or with caches of different models.
    #[must_use]
    pub fn concat(caches: &[Self]) -> Self {
        let columns = caches.iter().map(Self::columns).max().expect("at least one cache");
        let padded: Vec<Self> = caches.iter().map(|cache| cache.pad_left(columns)).collect();
        let layers = (0..caches[0].layers.len())
            .map(|index| {
                let part = |of: fn(&Layer) -> &Option<Tensor<4>>| {
                    join(padded.iter().map(|cache| (cache.batch(), of(&cache.layers[index]).clone())).collect())
                };
                Layer { keys: part(|layer| &layer.keys), values: part(|layer| &layer.values) }
            })
            .collect();
        Self { layers, valid: padded.into_iter().flat_map(|cache| cache.valid).collect(), columns }
    }

    /// Forgets all columns from `columns` on.
    pub fn truncate(&mut self, columns: usize) {
        self.columns = self.columns.min(columns);
        for row in &mut self.valid {
            row.truncate(columns);
        }
        self.release_if_empty();
    }

    /// Drops the columns that are a token in no row, as after long rows have left.
    pub fn compact(&mut self) {
        let kept: Vec<usize> = (0..self.columns).filter(|column| self.valid.iter().any(|row| row[*column])).collect();
        if kept.len() == self.columns {
            return;
        }
        if !kept.is_empty() {
            let indices: Vec<i64> = kept.iter().map(|column| *column as i64).collect();
            self.layers = self
                .map_used(|tensor, device| tensor.select(2, Tensor::<1, Int>::from_ints(indices.as_slice(), device)));
        }
        for row in &mut self.valid {
            *row = kept.iter().map(|column| row[*column]).collect();
        }
        self.columns = kept.len();
        self.release_if_empty();
    }

    /// Storage without a column in use is given back, so that there are no tensors without elements.
    fn release_if_empty(&mut self) {
        if self.columns == 0 {
            self.layers.fill(Layer { keys: None, values: None });
        }
    }

    /// Makes room in the books for the tokens of `batch` and returns the validity of all columns, [B * columns].
    ///
    /// # Panics
    /// The batch has another number of rows.
    pub(crate) fn open_columns(&mut self, batch: &MropeBatch) -> Vec<bool> {
        assert_eq!(self.batch(), batch.batch(), "the cache and the chunk have the same rows");
        let tokens = batch.tokens();
        for (row, valid) in self.valid.iter_mut().enumerate() {
            valid.extend_from_slice(&batch.valid()[row * tokens..][..tokens]);
        }
        self.columns += tokens;
        self.valid.concat()
    }

    /// Writes keys and values [B, K, T, D] of the columns opened last and returns views of all columns
    /// [B, K, columns, D].
    pub(crate) fn append(&mut self, layer: usize, keys: Tensor<4>, values: Tensor<4>) -> (Tensor<4>, Tensor<4>) {
        let columns = self.columns;
        let layer = &mut self.layers[layer];
        let write = |slot: &mut Option<Tensor<4>>, new: Tensor<4>| {
            let stored = write_columns(slot.take(), new, columns);
            let view = stored.clone().narrow(2, 0, columns);
            *slot = Some(stored);
            view
        };
        (write(&mut layer.keys, keys), write(&mut layer.values, values))
    }

    /// The layers with `function` applied to the columns in use.
    fn map_used(&self, function: impl Fn(Tensor<4>, &Device) -> Tensor<4>) -> Vec<Layer> {
        let apply = |tensor: Tensor<4>| {
            let device = tensor.device();
            function(tensor.narrow(2, 0, self.columns), &device)
        };
        self.layers.iter().map(|layer| layer.map(apply)).collect()
    }

    /// The same rows with holes in front, `columns` in all, and no spare capacity.
    fn pad_left(&self, columns: usize) -> Self {
        let holes = columns - self.columns;
        let layers = self.map_used(|tensor, device| {
            if holes == 0 {
                return tensor;
            }
            let [batch, groups, _, width] = tensor.dims();
            let front = Tensor::zeros([batch, groups, holes, width], (device, tensor.dtype()));
            Tensor::cat(vec![front, tensor], 2)
        });
        let pad = |row: &Vec<bool>| std::iter::repeat_n(false, holes).chain(row.iter().copied()).collect();
        Self { layers, valid: self.valid.iter().map(pad).collect(), columns }
    }
}

/// The parts one below the other; a part that holds nothing yet becomes holes for its rows.
fn join(parts: Vec<(usize, Option<Tensor<4>>)>) -> Option<Tensor<4>> {
    let like = parts.iter().find_map(|(_, tensor)| tensor.clone())?;
    let [_, groups, columns, width] = like.dims();
    let holes = |batch| Tensor::zeros([batch, groups, columns, width], (&like.device(), like.dtype()));
    let filled = parts.into_iter().map(|(batch, tensor)| tensor.unwrap_or_else(|| holes(batch)));
    Some(Tensor::cat(filled.collect(), 0))
}

/// `stored` with `new` as the last of its first `columns` columns, reallocated where it is too small.
fn write_columns(stored: Option<Tensor<4>>, new: Tensor<4>, columns: usize) -> Tensor<4> {
    let [batch, groups, tokens, width] = new.dims();
    let start = columns - tokens;
    let target = match stored {
        Some(stored) if stored.dims()[2] >= columns => stored,
        stored => {
            let capacity = (columns + columns / 4).next_multiple_of(COLUMN_BLOCK);
            let dtype: DType = new.dtype();
            let larger = Tensor::zeros([batch, groups, capacity, width], (&new.device(), dtype));
            match stored {
                Some(stored) => {
                    let used = stored.narrow(2, 0, start);
                    larger.slice_assign([0..batch, 0..groups, 0..start, 0..width], used)
                }
                None => larger,
            }
        }
    };
    target.slice_assign([0..batch, 0..groups, start..columns, 0..width], new)
}

//! Keys and values of past tokens, kept between passes.

mod run;

use burn::Tensor;
use burn::tensor::{DType, Device, Int};

use crate::config::TextConfig;
use crate::position::MropeBatch;
use run::Run;

/// Columns are allocated in multiples of this.
const COLUMN_BLOCK: usize = 64;

/// A batch of sequences: per layer keys and values [B, K, columns, D], and which columns of a row are tokens.
///
/// Rows may have holes (padding); attention masks them, and positions are explicit, so a hole costs memory and nothing
/// else. [`Model::forward`](crate::Model::forward) appends to the cache it is given.
///
/// All layers hold the same tokens until some are dropped between layers
/// ([`Model::forward_pruned`](crate::Model::forward_pruned)); then runs of layers have columns of their own. What is said of *the*
/// columns and tokens is that of the first layer.
///
/// Storage grows by a quarter at a time and new columns are written in place where the device can; cloning is cheap
/// until one of the clones is appended to.
#[derive(Debug, Clone)]
pub struct KvCache {
    layers: Vec<Layer>,
    /// By their first layers, the first of which is 0.
    runs: Vec<Run>,
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
            runs: vec![Run::new(0, batch)],
        }
    }

    /// B.
    pub fn batch(&self) -> usize {
        self.runs[0].valid.len()
    }

    /// Columns in use, holes included.
    pub fn columns(&self) -> usize {
        self.runs[0].columns
    }

    /// Which columns of a row are tokens.
    pub fn valid(&self, row: usize) -> &[bool] {
        &self.runs[0].valid[row]
    }

    /// Tokens of a row.
    pub fn tokens(&self, row: usize) -> usize {
        self.tokens_in(0, row)
    }

    /// Tokens of a row in a layer.
    pub fn tokens_in(&self, layer: usize, row: usize) -> usize {
        self.run_of(layer).valid[row].iter().filter(|valid| **valid).count()
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
        let indices: Vec<i64> = rows.iter().map(|row| *row as i64).collect();
        let layers = self
            .map_used(|_, tensor, device| tensor.select(0, Tensor::<1, Int>::from_ints(indices.as_slice(), device)));
        let runs = self.runs.iter().map(|run| {
            let valid = rows.iter().map(|row| run.valid[*row].clone()).collect();
            Run { valid, ..*run }
        });
        Self { layers, runs: runs.collect() }
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
        assert!(!caches.is_empty(), "at least one cache");
        let mut caches = caches.to_vec();
        let mut firsts: Vec<usize> = caches.iter().flat_map(|cache| cache.runs.iter().map(|run| run.first)).collect();
        firsts.sort_unstable();
        firsts.dedup();
        for cache in &mut caches {
            for first in &firsts {
                cache.begin_run(*first, 0);
            }
        }
        let columns: Vec<usize> = (0..firsts.len())
            .map(|run| caches.iter().map(|cache| cache.runs[run].columns).max().unwrap_or(0))
            .collect();
        let padded: Vec<Self> = caches.iter().map(|cache| cache.pad_left(&columns)).collect();
        let layers = (0..padded[0].layers.len())
            .map(|index| {
                let part = |of: fn(&Layer) -> &Option<Tensor<4>>| {
                    join(padded.iter().map(|cache| (cache.batch(), of(&cache.layers[index]).clone())).collect())
                };
                Layer { keys: part(|layer| &layer.keys), values: part(|layer| &layer.values) }
            })
            .collect();
        let mut padded = padded.into_iter();
        let mut runs = padded.next().map(|cache| cache.runs).unwrap_or_default();
        for cache in padded {
            for (run, other) in runs.iter_mut().zip(cache.runs) {
                run.valid.extend(other.valid);
            }
        }
        Self { layers, runs }
    }

    /// Forgets all columns from `columns` on; layers with fewer columns forget as many of their last ones.
    pub fn truncate(&mut self, columns: usize) {
        let forgotten = self.columns().saturating_sub(columns);
        self.runs.iter_mut().for_each(|run| run.forget(forgotten));
        self.release_if_empty();
    }

    /// Drops the columns that are a token in no row, as after long rows have left.
    pub fn compact(&mut self) {
        let used: Vec<Vec<usize>> = self.runs.iter().map(Run::used).collect();
        if self.runs.iter().zip(&used).all(|(run, used)| run.columns == used.len()) {
            return;
        }
        self.layers = self.map_used(|run, tensor, device| {
            if used[run].is_empty() || used[run].len() == self.runs[run].columns {
                return tensor;
            }
            let indices: Vec<i64> = used[run].iter().map(|column| *column as i64).collect();
            tensor.select(2, Tensor::<1, Int>::from_ints(indices.as_slice(), device))
        });
        self.runs.iter_mut().zip(&used).for_each(|(run, used)| run.keep(used));
        self.release_if_empty();
    }

    /// Storage without a column in use is given back, so that there are no tensors without elements.
    fn release_if_empty(&mut self) {
        for run in (0..self.runs.len()).filter(|run| self.runs[*run].columns == 0) {
            let layers = self.layers_of(run);
            self.layers[layers].fill(Layer { keys: None, values: None });
        }
    }

    /// Whether a layer may hold other tokens than the one in front of it.
    pub(crate) fn begins_run(&self, layer: usize) -> bool {
        self.runs.iter().any(|run| run.first == layer)
    }

    /// From `layer` on tokens may be others than in front of it. The last `opened` columns, which the layers in front have been
    /// opened for, are not there from `layer` on.
    pub(crate) fn begin_run(&mut self, layer: usize, opened: usize) {
        if self.begins_run(layer) {
            return;
        }
        let mut run = Run { first: layer, ..self.run_of(layer).clone() };
        run.forget(opened);
        let place = self.runs.partition_point(|run| run.first < layer);
        self.runs.insert(place, run);
    }

    /// Makes room in the books for the tokens of `batch` in the run that begins at `layer`, and returns the validity of all its
    /// columns, [B * columns].
    ///
    /// # Panics
    /// The batch has another number of rows, or no run begins at the layer.
    pub(crate) fn open_columns(&mut self, layer: usize, batch: &MropeBatch) -> Vec<bool> {
        let run = self.runs.iter_mut().find(|run| run.first == layer).expect("a run begins at the layer");
        run.open(batch);
        run.valid.concat()
    }

    /// The validity of the columns of a layer, row by row, `[B][columns]`.
    pub(crate) fn valid_in(&self, layer: usize) -> &[Vec<bool>] {
        &self.run_of(layer).valid
    }

    /// The keys of a layer, [B, K, columns, D]; `None` where there are no columns.
    pub(crate) fn keys(&self, layer: usize) -> Option<Tensor<4>> {
        let keys = self.layers[layer].keys.clone()?;
        Some(keys.narrow(2, 0, self.run_of(layer).columns))
    }

    /// Writes keys and values [B, K, T, D] of the columns opened last and returns views of all columns
    /// [B, K, columns, D].
    pub(crate) fn append(&mut self, layer: usize, keys: Tensor<4>, values: Tensor<4>) -> (Tensor<4>, Tensor<4>) {
        let columns = self.run_of(layer).columns;
        let layer = &mut self.layers[layer];
        let write = |slot: &mut Option<Tensor<4>>, new: Tensor<4>| {
            let stored = write_columns(slot.take(), new, columns);
            let view = stored.clone().narrow(2, 0, columns);
            *slot = Some(stored);
            view
        };
        (write(&mut layer.keys, keys), write(&mut layer.values, values))
    }

    fn run_of(&self, layer: usize) -> &Run {
        &self.runs[self.runs.partition_point(|run| run.first <= layer) - 1]
    }

    fn layers_of(&self, run: usize) -> std::ops::Range<usize> {
        self.runs[run].first..self.runs.get(run + 1).map_or(self.layers.len(), |next| next.first)
    }

    /// The layers with `function` applied to the columns in use; it is told which run they are of.
    fn map_used(&self, function: impl Fn(usize, Tensor<4>, &Device) -> Tensor<4>) -> Vec<Layer> {
        let apply = |run: usize, tensor: Tensor<4>| {
            let device = tensor.device();
            function(run, tensor.narrow(2, 0, self.runs[run].columns), &device)
        };
        let runs = (0..self.runs.len()).flat_map(|run| self.layers_of(run).map(move |layer| (run, layer)));
        runs.map(|(run, layer)| self.layers[layer].map(|tensor| apply(run, tensor))).collect()
    }

    /// The same rows with holes in front, so many columns in all by run, and no spare capacity.
    fn pad_left(&self, columns: &[usize]) -> Self {
        let layers = self.map_used(|run, tensor, device| {
            let holes = columns[run] - self.runs[run].columns;
            if holes == 0 {
                return tensor;
            }
            let [batch, groups, _, width] = tensor.dims();
            let front = Tensor::zeros([batch, groups, holes, width], (device, tensor.dtype()));
            Tensor::cat(vec![front, tensor], 2)
        });
        let mut runs = self.runs.clone();
        runs.iter_mut().zip(columns).for_each(|(run, columns)| run.pad_left(*columns));
        Self { layers, runs }
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

//! A prefill that goes on without some of its visual tokens.

use burn::Tensor;
use burn::tensor::{DType, Int, TensorData};
use visionthink_prune::{Clusters, Pruning, Stage, Survivors, cluster};

use super::glance::{Queries, attention_paid};
use super::line::{Choice, Line, lines};
use super::{Decoder, Geometry};
use crate::config::Config;
use crate::error::ModelError;
use crate::kv_cache::KvCache;
use crate::position::{MropeBatch, MropePositions};
use crate::rope::RopeTable;

/// What the rows of a chunk hold that may be dropped, and how.
#[derive(Debug, Clone, Copy)]
pub struct PrunedChunk<'a> {
    /// Where the tokens of each row stand; no row is empty.
    pub positions: &'a [MropePositions],
    /// The places of each row's visual tokens, ascending, counted from the first token of the row.
    pub visual: &'a [Vec<usize>],
    /// The method. One that cuts in front of the decoder drops nothing here.
    pub pruning: &'a Pruning,
}

/// What became of the visual tokens of a row.
#[derive(Debug, Clone, PartialEq)]
pub struct PrunedRow {
    /// How many each layer has computed, and keeps in the cache.
    pub visual_tokens: Vec<usize>,
    /// What each stage has left, as far as it was one.
    pub cuts: Vec<Cut>,
    /// Operations spent on choosing.
    pub scoring_flops: f64,
}

/// What a stage has left; tokens by their places in the row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The first layer without the dropped tokens.
    pub layer: usize,
    /// Visual tokens that stayed, ascending.
    pub kept: Vec<usize>,
    /// The centres of the clusters that dropped ones became, in the order in which the clusters stand.
    pub centres: Vec<usize>,
}

impl Decoder {
    /// See [`Model::forward_pruned`](crate::Model::forward_pruned).
    pub(crate) fn forward_pruned(
        &self,
        embeds: Tensor<3>,
        chunk: PrunedChunk<'_>,
        cache: &mut KvCache,
        config: &Config,
    ) -> Result<(Tensor<3>, Vec<PrunedRow>), ModelError> {
        let batch = MropeBatch::left_padded(chunk.positions);
        let [rows, tokens, _] = embeds.dims();
        assert_eq!([rows, tokens], [batch.batch(), batch.tokens()], "embeddings and positions describe one batch");
        assert_eq!(rows, chunk.visual.len(), "visual tokens for every row");
        let geometry = Geometry::new(&embeds, &batch, Some(cache), config);
        let row = PrunedRow { visual_tokens: Vec::new(), cuts: Vec::new(), scoring_flops: 0.0 };
        let mut found = vec![row; rows];
        let lines = lines(&embeds, chunk, config, &mut found)?;
        let mut pass = Pass { chunk, config, batch, geometry, lines, found };

        let stages = chunk.pruning.stages();
        let (mut before, mut x) = (embeds.clone(), embeds);
        for (index, layer) in self.layers.iter().enumerate() {
            if let Some(stage) = stages.iter().find(|stage| stage.layer == index) {
                x = self.cut(*stage, x, before, &mut pass, cache)?;
            }
            pass.geometry.enter(index, &pass.batch, cache);
            before = x.clone();
            x = layer.forward(x, &pass.geometry, Some((cache, index)));
            for (row, line) in pass.found.iter_mut().zip(&pass.lines) {
                row.visual_tokens.push(line.visual().len());
            }
        }
        Ok((self.norm.forward(x), pass.found))
    }

    /// The input of a stage's first layer without what the stage drops. `before` is the input of the layer in front of it.
    ///
    /// Shapes: [B, T, C] -> [B, T', C].
    fn cut(
        &self,
        stage: Stage,
        x: Tensor<3>,
        before: Tensor<3>,
        pass: &mut Pass<'_>,
        cache: &mut KvCache,
    ) -> Result<Tensor<3>, ModelError> {
        let pruning = pass.chunk.pruning;
        let wanted: Vec<Survivors> =
            pass.lines.iter().map(|line| pruning.survivors(stage, line.initial, line.visual().len())).collect();
        let drops = |(line, wanted): (&Line, &Survivors)| wanted.kept < line.visual().len();
        if !pass.lines.iter().zip(&wanted).any(drops) {
            return Ok(x);
        }
        cache.begin_run(stage.layer, pass.batch.tokens());
        let scores = self.scores(stage.layer, &x, before, pass, cache)?;
        let [rows, tokens, width] = x.dims();
        let (device, dtype) = (x.device(), x.dtype());
        let flat = x.reshape([rows * tokens, width]);

        let mut index = Vec::with_capacity(rows);
        let mut means = Vec::new();
        for (row, (line, wanted)) in pass.lines.iter_mut().zip(&wanted).enumerate() {
            let first = row * tokens + tokens - line.tokens.len();
            let choice = Choice::new(line, &scores[row].received, *wanted);
            let clusters = if choice.recycled.is_empty() {
                Clusters { centres: Vec::new(), members: Vec::new() }
            } else {
                let rows: Vec<i64> = choice.recycled.iter().map(|token| (first + token) as i64).collect();
                let features = read(flat.clone().select(0, Tensor::<1, Int>::from_ints(rows.as_slice(), &device)))?;
                let clusters = cluster(&features, width, wanted.clusters);
                means.extend(clusters.members.iter().flat_map(|members| mean(&features, width, members)));
                let pairs = (choice.recycled.len() * choice.recycled.len()) as f64 / 2.0;
                pass.found[row].scoring_flops += 3.0 * pairs * width as f64;
                clusters
            };
            let made = rows * tokens + means.len() / width - clusters.centres.len();
            let centres: Vec<usize> = clusters.centres.iter().map(|centre| choice.recycled[*centre]).collect();
            if wanted.kept < line.visual().len() {
                pass.found[row].scoring_flops += scores[row].flops;
                pass.found[row].cuts.push(Cut {
                    layer: stage.layer,
                    kept: choice.kept.iter().map(|token| line.tokens[*token].place).collect(),
                    centres: centres.iter().map(|token| line.tokens[*token].place).collect(),
                });
            }
            index.push(line.replace(&choice.kept, &centres, first, made));
        }

        let positions: Vec<MropePositions> =
            pass.lines.iter().zip(pass.chunk.positions).map(|(line, all)| line.positions(all)).collect();
        pass.batch = MropeBatch::left_padded(&positions);
        pass.geometry.rope = RopeTable::mrope(&pass.batch, &pass.config.text, &device, dtype);
        let table = if means.is_empty() {
            flat
        } else {
            let made = means.len() / width;
            Tensor::cat(vec![flat, Tensor::from_data(TensorData::new(means, [made, width]), (&device, dtype))], 0)
        };
        let longest = pass.batch.tokens();
        let padded: Vec<i64> = index
            .iter()
            .flat_map(|row| {
                // Whatever stands in padding is seen by nobody.
                let padding = row.first().copied().unwrap_or(0);
                std::iter::repeat_n(padding, longest - row.len()).chain(row.iter().copied())
            })
            .collect();
        let index = Tensor::<1, Int>::from_ints(padded.as_slice(), &device);
        Ok(table.select(0, index).reshape([rows, longest, width]))
    }

    /// The attention that each token of each row receives from the queries of its row.
    fn scores(
        &self,
        index: usize,
        x: &Tensor<3>,
        before: Tensor<3>,
        pass: &Pass<'_>,
        cache: &KvCache,
    ) -> Result<Vec<Scores>, ModelError> {
        let config = pass.config;
        // PyramidDrop asks the layer that comes next, the others the one that has run.
        let ahead = matches!(pass.chunk.pruning, Pruning::PyramidDrop(_));
        let layer = &self.layers[if ahead { index } else { index - 1 }];
        let tokens = pass.batch.tokens();
        let (hidden, keys, valid) = if ahead {
            let own = layer.self_attn.keys(layer.input_layernorm.forward(x.clone()), &pass.geometry.rope);
            let keys = match cache.keys(index) {
                Some(past) => Tensor::cat(vec![past, own], 2),
                None => own,
            };
            let own = pass.batch.valid().chunks(tokens);
            let valid = cache.valid_in(index).iter().zip(own).map(|(past, own)| [past.as_slice(), own].concat());
            (x.clone(), keys, valid.collect())
        } else {
            let keys = cache.keys(index - 1).expect("the layer has run");
            (before, keys, cache.valid_in(index - 1).to_vec())
        };

        let queries = Queries { from_end: pass.lines.iter().map(|line| line.queries.clone()).collect() };
        let positions: Vec<MropePositions> = pass
            .lines
            .iter()
            .zip(pass.chunk.positions)
            .map(|(line, all)| {
                let places = line.queries.iter().map(|from_end| line.tokens[line.tokens.len() - from_end].place);
                all.select(&places.collect::<Vec<_>>())
            })
            .collect();
        let asked = queries.most();
        let [rows, _, width] = hidden.dims();
        let index = Tensor::<1, Int>::from_ints(queries.rows(tokens).as_slice(), &hidden.device());
        let asking = hidden.reshape([rows * tokens, width]).select(0, index).reshape([rows, asked, width]);
        let rope = query_rope(&positions, asked, config, &asking);
        let q = layer.self_attn.queries(layer.input_layernorm.forward(asking), &rope);
        let past = keys.dims()[2] - tokens;
        let paid = attention_paid(q, keys, &valid, &queries, layer.self_attn.scale());
        let paid = read(paid.narrow(1, past, tokens))?;

        Ok((0..rows)
            .map(|row| {
                let line = &pass.lines[row];
                let keys = valid[row].iter().filter(|valid| **valid).count();
                let extra = if ahead { config.key_flops(line.tokens.len()) } else { 0.0 };
                let flops = config.glance_flops(line.queries.len(), keys) + extra;
                let end = (row + 1) * tokens;
                Scores { received: paid[end - line.tokens.len()..end].to_vec(), flops }
            })
            .collect())
    }
}

/// What the tokens of a row receive from its queries, and what it costs to know.
struct Scores {
    received: Vec<f32>,
    flops: f64,
}

/// What the stages of a pass share.
struct Pass<'a> {
    chunk: PrunedChunk<'a>,
    config: &'a Config,
    /// Of the tokens that are left.
    batch: MropeBatch,
    geometry: Geometry,
    lines: Vec<Line>,
    found: Vec<PrunedRow>,
}

/// The angles of queries at `positions`, left-padded to `asked`.
fn query_rope(positions: &[MropePositions], asked: usize, config: &Config, asking: &Tensor<3>) -> RopeTable {
    let batch = MropeBatch::left_padded(positions);
    debug_assert_eq!(batch.tokens(), asked, "the row with the most queries has them all");
    RopeTable::mrope(&batch, &config.text, &asking.device(), asking.dtype())
}

fn mean(rows: &[f32], width: usize, members: &[usize]) -> Vec<f32> {
    (0..width).map(|at| members.iter().map(|row| rows[row * width + at]).sum::<f32>() / members.len() as f32).collect()
}

/// The values in f32, on the host.
pub(crate) fn read<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, ModelError> {
    let failed = |reason: String| ModelError::Device { reason };
    let data = tensor.cast(DType::F32).try_into_data().map_err(|error| failed(error.to_string()))?;
    data.try_into_vec().map_err(|error| failed(error.to_string()))
}

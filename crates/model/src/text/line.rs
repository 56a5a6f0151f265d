//! The tokens of a row that are left, and whose attention decides about them.

use burn::Tensor;
use burn::tensor::activation::softmax;
use burn::tensor::{DType, Int};
use visionthink_prune::{Pruning, Survivors, raters, top};

use super::pruning::{PrunedChunk, PrunedRow, read};
use crate::config::Config;
use crate::error::ModelError;
use crate::position::MropePositions;

/// A row on its way through the layers.
pub(super) struct Line {
    pub(super) tokens: Vec<Token>,
    /// Visual tokens that entered.
    pub(super) initial: usize,
    /// Whose attention counts, by the distance from the end.
    pub(super) queries: Vec<usize>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Token {
    /// In the chunk; a cluster stands where its centre stood.
    pub(super) place: usize,
    visual: bool,
}

impl Line {
    pub(super) fn visual(&self) -> Vec<usize> {
        (0..self.tokens.len()).filter(|index| self.tokens[*index].visual).collect()
    }

    pub(super) fn positions(&self, all: &MropePositions) -> MropePositions {
        all.select(&self.tokens.iter().map(|token| token.place).collect::<Vec<_>>())
    }

    /// Goes on with the text, the kept visual tokens and, behind the last place of a visual token, the clusters. Returns where the
    /// hidden states of its tokens are: token i of old is `first + i`, cluster i is `made + i`.
    pub(super) fn replace(&mut self, kept: &[usize], centres: &[usize], first: usize, made: usize) -> Vec<i64> {
        // A prompt that ends with an image still ends with its own last token.
        let behind_visual = self.visual().last().map_or(0, |last| last + 1);
        let clusters_at = behind_visual.min(self.tokens.len() - 1);
        let mut tokens = Vec::with_capacity(self.tokens.len());
        let mut index = Vec::with_capacity(self.tokens.len());
        for (at, token) in self.tokens.iter().enumerate() {
            if at == clusters_at {
                tokens.extend(centres.iter().map(|centre| self.tokens[*centre]));
                index.extend((0..centres.len()).map(|cluster| (made + cluster) as i64));
            }
            if !token.visual || kept.binary_search(&at).is_ok() {
                tokens.push(*token);
                index.push((first + at) as i64);
            }
        }
        self.tokens = tokens;
        index
    }
}

/// Which tokens of a line stay, and which of the others come back as clusters.
pub(super) struct Choice {
    pub(super) kept: Vec<usize>,
    pub(super) recycled: Vec<usize>,
}

impl Choice {
    pub(super) fn new(line: &Line, scores: &[f32], wanted: Survivors) -> Self {
        let visual = line.visual();
        // What comes next is said behind the last token, so it stays even where a prompt ends with an image.
        let last = line.tokens.len() - 1;
        let score = |token: &usize| if *token == last { f32::INFINITY } else { scores[*token] };
        let best = |from: &[usize], count: usize| -> Vec<usize> {
            let scores: Vec<f32> = from.iter().map(score).collect();
            top(&scores, count).into_iter().map(|index| from[index]).collect()
        };
        let kept = best(&visual, wanted.kept);
        let dropped: Vec<usize> = visual.iter().copied().filter(|token| kept.binary_search(token).is_err()).collect();
        Self { recycled: best(&dropped, wanted.recycled), kept }
    }
}

/// The rows at their start, with whose attention is asked for.
pub(super) fn lines(
    embeds: &Tensor<3>,
    chunk: PrunedChunk<'_>,
    config: &Config,
    found: &mut [PrunedRow],
) -> Result<Vec<Line>, ModelError> {
    let tokens = embeds.dims()[1];
    let mut lines = Vec::with_capacity(chunk.visual.len());
    for (row, visual) in chunk.visual.iter().enumerate() {
        let length = chunk.positions[row].len();
        let mut own: Vec<Token> = (0..length).map(|place| Token { place, visual: false }).collect();
        for place in visual {
            own[*place].visual = true;
        }
        // Words behind the images.
        let words = visual.last().map_or(0, |last| length - 1 - last);
        let rates = matches!(chunk.pruning, Pruning::SparseVlm(_))
            && words > 0
            && chunk.pruning.visual_tokens(&[visual.len()], config.text.num_hidden_layers).last()
                != Some(&visual.len());
        let queries = if rates {
            found[row].scoring_flops += 2.0 * (visual.len() * words * config.text.hidden_size) as f64;
            let first = tokens - length;
            let visual: Vec<i64> = visual.iter().map(|place| (first + place) as i64).collect();
            let row = embeds.clone().narrow(0, row, 1).squeeze_dim::<2>(0);
            let relevance = relevance(row, &visual, words)?;
            raters(&relevance).into_iter().map(|word| words - word).collect()
        } else {
            vec![1]
        };
        lines.push(Line { tokens: own, initial: visual.len(), queries });
    }
    Ok(lines)
}

/// How much the visual tokens find themselves in each of the last `words` tokens: `mean over v of softmax over words of (v . w)`.
///
/// Shapes: `embeds` [T, C] -> `[words]`.
///
/// Source: SparseVLM (arXiv 2410.04417), section 3.2, over input embeddings as its repository does.
fn relevance(embeds: Tensor<2>, visual: &[i64], words: usize) -> Result<Vec<f32>, ModelError> {
    let tokens = embeds.dims()[0];
    let embeds = embeds.cast(DType::F32);
    let spoken = embeds.clone().narrow(0, tokens - words, words);
    let seen = embeds.clone().select(0, Tensor::<1, Int>::from_ints(visual, &embeds.device()));
    read(softmax(seen.matmul(spoken.transpose()), 1).mean_dim(0))
}

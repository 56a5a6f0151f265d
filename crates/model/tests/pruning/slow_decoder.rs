//! The decoder without a cache, over all chunks of a sequence at once, and the cuts of the three methods inside it.

use visionthink_model::{Cut, Model};
use visionthink_prune::Pruning;

use crate::chunks::Chunk;
use crate::slow::{Rows, dot, largest, linear, norm, rotate, rows, softmax};

/// What a sequence comes to.
pub(crate) struct Outcome {
    /// Of the last token, behind the last norm.
    pub(crate) hidden: Vec<f64>,
    /// Of each chunk.
    pub(crate) cuts: Vec<Vec<Cut>>,
    /// Visual tokens of each chunk in each layer.
    pub(crate) visual: Vec<Vec<usize>>,
}

#[derive(Clone)]
struct Token {
    chunk: usize,
    place: usize,
    visual: bool,
    position: [u32; 3],
    hidden: Vec<f64>,
}

/// Runs all chunks through all layers. A later token never changes what an earlier one has seen, so the cuts of a chunk are those
/// that were made when it was the last.
pub(crate) fn run(model: &Model, chunks: &[Chunk], pruning: Option<&Pruning>) -> Outcome {
    let mut tokens: Vec<Token> = Vec::new();
    for (number, chunk) in chunks.iter().enumerate() {
        for (place, hidden) in rows(&chunk.embeds).into_iter().enumerate() {
            let position = [&chunk.positions.t, &chunk.positions.y, &chunk.positions.x].map(|axis| axis[place]);
            tokens.push(Token { chunk: number, place, visual: chunk.visual.contains(&place), position, hidden });
        }
    }
    let raters: Vec<Vec<usize>> = chunks.iter().map(raters).collect();
    let mut outcome =
        Outcome { hidden: Vec::new(), cuts: vec![Vec::new(); chunks.len()], visual: vec![Vec::new(); chunks.len()] };
    let mut attention: Rows = Vec::new();
    for layer in 0..model.config().text.num_hidden_layers {
        let stage = pruning.and_then(|pruning| pruning.stages().into_iter().find(|stage| stage.layer == layer));
        if let (Some(stage), Some(pruning)) = (stage, pruning) {
            for (number, chunk) in chunks.iter().enumerate() {
                let initial = chunk.visual.len();
                let own: Vec<usize> = (0..tokens.len()).filter(|at| tokens[*at].chunk == number).collect();
                let visual: Vec<usize> = own.iter().copied().filter(|at| tokens[*at].visual).collect();
                let share = stage.keep * initial as f64;
                let keep = match pruning {
                    Pruning::FastV(_) => share.round() as usize,
                    Pruning::PyramidDrop(_) => share.floor() as usize,
                    Pruning::SparseVlm(_) if stage.keep < 1.0 => (share as usize).min(visual.len().saturating_sub(1)),
                    _ => visual.len(),
                };
                if keep >= visual.len() {
                    continue;
                }
                let queries: Vec<usize> = match pruning {
                    Pruning::SparseVlm(_) => own
                        .iter()
                        .copied()
                        .filter(|at| !tokens[*at].visual && raters[number].contains(&tokens[*at].place))
                        .collect(),
                    _ => vec![*own.last().unwrap()],
                };
                if matches!(pruning, Pruning::PyramidDrop(_)) {
                    // The next layer sees of earlier chunks what they have left in it.
                    attention = attend(model, layer, &tokens).1;
                }
                let score = |at: &usize| queries.iter().map(|query| attention[*query][*at]).sum::<f64>();
                let scores: Vec<f64> = visual.iter().map(score).collect();
                let kept: Vec<usize> = largest(&scores, keep).into_iter().map(|index| visual[index]).collect();
                let clusters = if matches!(pruning, Pruning::SparseVlm(_)) {
                    recycled(&tokens, &visual, &scores, &kept)
                } else {
                    Vec::new()
                };
                outcome.cuts[number].push(Cut {
                    layer,
                    kept: kept.iter().map(|at| tokens[*at].place).collect(),
                    centres: clusters.iter().map(|cluster| cluster.place).collect(),
                });
                let last = *visual.last().unwrap();
                let mut left = Vec::new();
                for (at, token) in tokens.iter().enumerate() {
                    if !visual.contains(&at) || kept.contains(&at) {
                        left.push(token.clone());
                    }
                    if at == last {
                        left.extend(clusters.iter().cloned());
                    }
                }
                // The rows of the other chunks' tokens have moved; so has the matrix.
                let stays: Vec<Option<usize>> = places_after(&tokens, &visual, &kept, last, clusters.len());
                attention = moved(&attention, &stays);
                tokens = left;
            }
        }
        let (mixed, paid) = attend(model, layer, &tokens);
        attention = paid;
        let weights = &model.language_model.layers[layer];
        for (token, mixed) in tokens.iter_mut().zip(mixed) {
            token.hidden = token.hidden.iter().zip(mixed).map(|(x, y)| x + y).collect();
        }
        let eps = model.config().text.rms_norm_eps;
        let x = norm(&weights.post_attention_layernorm, eps, &hidden(&tokens));
        let (gate, up) = (linear(&weights.mlp.gate_proj, &x), linear(&weights.mlp.up_proj, &x));
        let inner: Rows = gate
            .iter()
            .zip(&up)
            .map(|(gate, up)| gate.iter().zip(up).map(|(g, u)| g / (1.0 + (-g).exp()) * u).collect())
            .collect();
        for (token, added) in tokens.iter_mut().zip(linear(&weights.mlp.down_proj, &inner)) {
            token.hidden = token.hidden.iter().zip(added).map(|(x, y)| x + y).collect();
        }
        for (number, counts) in outcome.visual.iter_mut().enumerate() {
            counts.push(tokens.iter().filter(|token| token.chunk == number && token.visual).count());
        }
    }
    let eps = model.config().text.rms_norm_eps;
    outcome.hidden = norm(&model.language_model.norm, eps, &hidden(&tokens)).pop().unwrap();
    outcome
}

fn hidden(tokens: &[Token]) -> Rows {
    tokens.iter().map(|token| token.hidden.clone()).collect()
}

/// The output of a layer's attention, and the whole matrix of attention, mean over heads.
fn attend(model: &Model, layer: usize, tokens: &[Token]) -> (Rows, Rows) {
    let config = &model.config().text;
    let weights = &model.language_model.layers[layer];
    let x = norm(&weights.input_layernorm, config.rms_norm_eps, &hidden(tokens));
    let [mut q, mut k, v] =
        [&weights.self_attn.q_proj, &weights.self_attn.k_proj, &weights.self_attn.v_proj].map(|w| linear(w, &x));
    let width = config.head_dim;
    let [t, y, _] = config.mrope_section.unwrap();
    let angles: Rows = tokens
        .iter()
        .map(|token| {
            let axis = |j: usize| usize::from(j >= t) + usize::from(j >= t + y);
            let frequency = |j: usize| config.rope_theta.powf(-2.0 * j as f64 / width as f64);
            (0..width / 2).map(|j| f64::from(token.position[axis(j)]) * frequency(j)).collect()
        })
        .collect();
    rotate(&mut q, width, &angles);
    rotate(&mut k, width, &angles);
    let share = config.num_attention_heads / config.num_key_value_heads;
    let mut output = vec![Vec::new(); tokens.len()];
    let mut matrix = vec![vec![0.0; tokens.len()]; tokens.len()];
    for query in 0..tokens.len() {
        for head in 0..config.num_attention_heads {
            let own = |x: &[f64], head: usize| x[head * width..][..width].to_vec();
            let q = own(&q[query], head);
            let scores: Vec<f64> =
                (0..=query).map(|key| dot(&q, &own(&k[key], head / share)) / (width as f64).sqrt()).collect();
            let paid = softmax(&scores);
            for (key, paid) in paid.iter().enumerate() {
                matrix[query][key] += paid / config.num_attention_heads as f64;
            }
            output[query].extend(
                (0..width).map(|at| (0..=query).map(|key| paid[key] * v[key][head / share * width + at]).sum::<f64>()),
            );
        }
    }
    (linear(&weights.self_attn.o_proj, &output), matrix)
}

/// SparseVLM's raters, by their places: of the words behind the last image those above the mean.
fn raters(chunk: &Chunk) -> Vec<usize> {
    let Some(last) = chunk.visual.last() else { return Vec::new() };
    let embeds = rows(&chunk.embeds);
    let words: Vec<usize> = (last + 1..embeds.len()).collect();
    let mut relevance = vec![0.0; words.len()];
    for visual in &chunk.visual {
        let scores: Vec<f64> = words.iter().map(|word| dot(&embeds[*visual], &embeds[*word])).collect();
        for (sum, share) in relevance.iter_mut().zip(softmax(&scores)) {
            *sum += share / chunk.visual.len() as f64;
        }
    }
    let mean = relevance.iter().sum::<f64>() / words.len() as f64;
    words.iter().zip(&relevance).filter(|(_, relevance)| **relevance > mean).map(|(word, _)| *word).collect()
}

/// The best 30 % of the dropped tokens, clustered by DPC-kNN.
fn recycled(tokens: &[Token], visual: &[usize], scores: &[f64], kept: &[usize]) -> Vec<Token> {
    let dropped: Vec<usize> = (0..visual.len()).filter(|index| !kept.contains(&visual[*index])).collect();
    let best = largest(&dropped.iter().map(|index| scores[*index]).collect::<Vec<_>>(), dropped.len() * 3 / 10 + 1);
    let rows: Vec<&Token> = best.iter().map(|index| &tokens[visual[dropped[*index]]]).collect();
    let count = rows.len() / 10 + 1;
    let distance = |a: usize, b: usize| {
        let squares: f64 = rows[a].hidden.iter().zip(&rows[b].hidden).map(|(a, b)| (a - b).powi(2)).sum();
        (squares / rows[a].hidden.len() as f64).sqrt()
    };
    let density: Vec<f64> = (0..rows.len())
        .map(|a| {
            let mut near: Vec<f64> = (0..rows.len()).map(|b| distance(a, b).powi(2)).collect();
            near.sort_by(f64::total_cmp);
            (-near[..count].iter().sum::<f64>() / count as f64).exp()
        })
        .collect();
    let farthest = (0..rows.len()).flat_map(|a| (0..rows.len()).map(move |b| (a, b)));
    let farthest = farthest.map(|(a, b)| distance(a, b)).fold(0.0, f64::max);
    let peaks: Vec<f64> = (0..rows.len())
        .map(|a| {
            // The first of equals is the denser; in f64 equal ones are those that are each other's nearest.
            let denser =
                |b: &usize| density[*b] > density[a] + 1e-12 || ((density[*b] - density[a]).abs() <= 1e-12 && *b < a);
            density[a] * (0..rows.len()).filter(denser).map(|b| distance(a, b)).fold(farthest, f64::min)
        })
        .collect();
    let mut centres: Vec<usize> = (0..rows.len()).collect();
    centres.sort_by(|a, b| peaks[*b].total_cmp(&peaks[*a]));
    centres.truncate(count);
    let mut members = vec![Vec::new(); count];
    for row in 0..rows.len() {
        let nearest = (0..count).min_by(|a, b| distance(row, centres[*a]).total_cmp(&distance(row, centres[*b])));
        members[centres.iter().position(|centre| *centre == row).or(nearest).unwrap()].push(row);
    }
    let mean = |members: &[usize]| -> Vec<f64> {
        let width = rows[0].hidden.len();
        (0..width)
            .map(|at| members.iter().map(|row| rows[*row].hidden[at]).sum::<f64>() / members.len() as f64)
            .collect()
    };
    centres
        .iter()
        .zip(&members)
        .map(|(centre, members)| Token { hidden: mean(members), ..rows[*centre].clone() })
        .collect()
}

/// For each token behind the cut which one it was before; `None` for clusters.
fn places_after(
    tokens: &[Token],
    visual: &[usize],
    kept: &[usize],
    last: usize,
    clusters: usize,
) -> Vec<Option<usize>> {
    let mut places = Vec::new();
    for at in 0..tokens.len() {
        if !visual.contains(&at) || kept.contains(&at) {
            places.push(Some(at));
        }
        if at == last {
            places.extend(vec![None; clusters]);
        }
    }
    places
}

fn moved(matrix: &[Vec<f64>], places: &[Option<usize>]) -> Rows {
    let value = |row: &Option<usize>, column: &Option<usize>| match (row, column) {
        (Some(row), Some(column)) => matrix[*row][*column],
        _ => 0.0,
    };
    places.iter().map(|row| places.iter().map(|column| value(row, column)).collect()).collect()
}

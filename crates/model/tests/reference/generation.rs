//! Greedy continuations over the cache, and their log-probabilities.

use burn::Tensor;
use burn::tensor::activation::log_softmax;
use visionthink_model::{KvCache, Model, MropeBatch};

use crate::report::{Run, values};

/// A row of a running batch: all ids so far, and the coordinate of its next token.
pub(crate) struct Row {
    pub(crate) ids: Vec<u32>,
    pub(crate) next: u32,
}

/// What a continuation recorded.
#[derive(Default)]
struct Step {
    id: u32,
    logprob: f32,
    gap: f32,
}

/// Continues `rows` greedily from the logits of their last tokens and compares ids, log-probabilities and margins with
/// `prefix.*`; repetition is punished by `penalty`.
pub(crate) fn compare(
    run: &mut Run,
    model: &Model,
    mut cache: KvCache,
    mut rows: Vec<Row>,
    mut logits: Tensor<2>,
    (prefix, penalty): (&str, f32),
    expected: &crate::files::File,
) {
    let ids = expected.ids(&format!("{prefix}.ids"));
    let steps = ids.len() / rows.len();
    let mut found: Vec<Vec<Step>> = rows.iter().map(|_| Vec::with_capacity(steps)).collect();
    for step in 0..steps {
        let vocabulary = logits.dims()[1];
        for (index, scores) in values(&logits).chunks_mut(vocabulary).enumerate() {
            punish(scores, &rows[index].ids, penalty);
            let choice = choose(scores);
            rows[index].ids.push(choice.id);
            found[index].push(choice);
        }
        if step + 1 == steps {
            break;
        }
        let last: Vec<[u32; 1]> = rows.iter().map(|row| [*row.ids.last().unwrap()]).collect();
        let coordinates: Vec<Option<u32>> = rows.iter().map(|row| Some(row.next + step as u32)).collect();
        let embeds = model.embed(&last, None).unwrap();
        let hidden = model.forward(embeds, &MropeBatch::decode(&coordinates), Some(&mut cache));
        logits = model.logits(Model::last_rows(hidden));
    }
    let found: Vec<Step> = found.into_iter().flatten().collect();
    let column = |of: fn(&Step) -> f32| found.iter().map(of).collect::<Vec<_>>();
    run.equal(&format!("{prefix}.ids"), &found.iter().map(|step| step.id).collect::<Vec<_>>(), &ids);
    let name = format!("{prefix}.logprobs");
    run.close(&name, &column(|step| step.logprob), expected.floats(&name), 1e-4);
    // The difference of two logits, each of which may be off by 5e-4.
    let name = format!("{prefix}.top2_gap");
    run.close(&name, &column(|step| step.gap), expected.floats(&name), 1e-3);
}

fn punish(scores: &mut [f32], ids: &[u32], penalty: f32) {
    let mut seen = ids.to_vec();
    seen.sort_unstable();
    seen.dedup();
    for id in seen {
        let score = &mut scores[id as usize];
        *score = if *score < 0.0 { *score * penalty } else { *score / penalty };
    }
}

fn choose(scores: &[f32]) -> Step {
    let best = (0..scores.len()).max_by(|a, b| scores[*a].total_cmp(&scores[*b])).unwrap();
    let second = (0..scores.len()).filter(|index| *index != best).map(|index| scores[index]).fold(f32::MIN, f32::max);
    let device = burn::tensor::Device::flex();
    let row = log_softmax(Tensor::<1>::from_floats(scores, &device), 0);
    Step { id: best as u32, logprob: values(&row)[best], gap: scores[best] - second }
}

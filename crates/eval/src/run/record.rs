//! What a run writes of one sample.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use visionthink_protocol::Decision;

/// Which question of which cell of the run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Name of the model.
    pub model: String,
    /// Name of the method.
    pub method: String,
    /// Name of the benchmark.
    pub benchmark: String,
    /// Place in the split, counted from 0.
    pub index: u64,
}

/// One line of `samples.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Which question.
    pub source: Source,
    /// Its name in the data set.
    pub id: String,
    /// The text that was asked.
    pub question: String,
    /// Its columns, as the rules of the benchmark read them.
    pub row: Value,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a sample. Whatever it is it has a line: a score over rows that are not there would not be one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Outcome {
    /// A model answered.
    Answered {
        /// What it said and what that cost.
        answer: Answer,
    },
    /// It could not be asked or scored: a broken picture, no question, no answer in the data set.
    Defective {
        /// What is wrong with it.
        problem: String,
    },
    /// The engine could not finish it; a later run asks again.
    Failed {
        /// Why.
        problem: String,
    },
}

/// What a model said and what that cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// The answer as the protocol takes it out of the last reply, which is scored; empty where there is none.
    pub text: String,
    /// What the first turn turned out to be.
    pub decision: Decision,
    /// The replies of all turns.
    pub turns: Vec<String>,
    /// Tokens.
    pub ledger: Ledger,
    /// Time.
    pub seconds: Seconds,
}

/// What an answer cost in tokens, in the terms that methods save differently; a sum over all turns.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    /// Patches through the vision tower.
    pub patches_encoded: u64,
    /// Visual tokens that enter the first layer of the decoder.
    pub visual_tokens: u64,
    /// Visual tokens in a layer, mean over layers.
    pub visual_tokens_per_layer: f64,
    /// Visual entries of the KV cache that are kept for decoding, summed over layers.
    pub visual_kv_entries: u64,
    /// Tokens sampled.
    pub generated_tokens: u64,
    /// Prompt tokens run through the decoder.
    pub prefilled_tokens: u64,
    /// Prompt tokens whose keys and values were reused.
    pub reused_tokens: u64,
    /// Floating-point operations, counted by the engine.
    pub flops: f64,
    /// The same of its prompts alone, by the formula of papers on pruning; see [`visionthink_prune::paper_flops`].
    pub flops_by_formula: f64,
}

/// Wall-clock by phase. Answers that were made together share passes, so their times overlap.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seconds {
    /// Making views of pictures.
    pub image: f64,
    /// In the vision tower.
    pub vision: f64,
    /// In the decoder, until first tokens.
    pub prefill: f64,
    /// From first tokens to last ones.
    pub decode: f64,
    /// From submission to end.
    pub total: f64,
    /// Since the answers before it in the same run, shared with those that came with it: what a benchmark took is the sum over its answers.
    pub share: f64,
}

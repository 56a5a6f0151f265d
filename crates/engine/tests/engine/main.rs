//! What the engine and the rollout loop promise, on tiny checkpoints with random weights.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod batching;
mod continuing;
mod ending;
mod pruning;
mod refusing;
mod rollout;
mod sharing;
#[path = "../vectors/mod.rs"]
mod vectors;

use burn::tensor::Device;
use vectors::{Row, finish, fixture};
use visionthink_engine::{Backend, EmbeddedEngine, Past, Sampling, TurnReply, TurnRequest};
use visionthink_model::{Config, Dtype, InitOptions, Model, PatchEmbedInit};

/// An engine with a tiny checkpoint.
pub(crate) fn engine(max_rows: usize) -> EmbeddedEngine {
    fixture("qwen2_5_vl-a").engine(max_rows)
}

/// Prompts with no, one and two images.
pub(crate) fn prompts() -> Vec<Row> {
    let checkpoint = fixture("qwen2_5_vl-a");
    ["text_only", "one_image", "two_images"].map(|name| checkpoint.case(name).rows[0].clone()).to_vec()
}

pub(crate) fn request(row: &Row, sampling: Sampling, max_new_tokens: usize) -> TurnRequest {
    TurnRequest {
        new_images: row.images.clone(),
        logprobs: true,
        ..TurnRequest::new(row.ids.clone(), sampling, max_new_tokens)
    }
}

pub(crate) fn greedy(row: &Row, max_new_tokens: usize) -> TurnRequest {
    request(row, Sampling::greedy(), max_new_tokens)
}

pub(crate) fn generate(engine: &mut EmbeddedEngine, request: TurnRequest) -> TurnReply {
    let turn = engine.submit(request).unwrap();
    finish(engine, &[turn]).remove(0)
}

/// A turn that goes on behind a reply, of whose sequence `tokens` ids stay.
pub(crate) fn behind(reply: &TurnReply, tokens: usize, ids: &[u32], max_new_tokens: usize) -> TurnRequest {
    TurnRequest {
        past: Past::Sequence { id: reply.sequence, tokens },
        logprobs: true,
        ..TurnRequest::new(ids.to_vec(), Sampling::greedy(), max_new_tokens)
    }
}

/// A random model with the sizes of a checkpoint, changed.
pub(crate) fn random_model(change: impl FnOnce(&mut Config)) -> Model {
    let mut config = Config::from_folder(&fixture("qwen2_5_vl-b").path).unwrap();
    change(&mut config);
    let options = InitOptions { seed: 3, patch_embed: PatchEmbedInit::Normal, dtype: Dtype::F32 };
    Model::init(config, &options, &Device::flex())
}

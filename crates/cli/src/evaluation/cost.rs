//! What an answer cost, from what the engine reports of it.

use visionthink_engine::Rollout;
use visionthink_eval::run::{Ledger, Seconds};

/// The ledger of a rollout, a sum over its turns.
pub(crate) fn ledger(rollout: &Rollout) -> Ledger {
    let (usage, ledger) = (&rollout.usage, &rollout.ledger);
    Ledger {
        patches_encoded: ledger.patches as u64,
        visual_tokens: ledger.visual_tokens as u64,
        visual_tokens_per_layer: ledger.visual_tokens_per_layer,
        visual_kv_entries: ledger.visual_kv_entries as u64,
        generated_tokens: usage.completion_tokens as u64,
        prefilled_tokens: usage.prefilled_tokens as u64,
        reused_tokens: usage.reused_tokens as u64,
        flops: ledger.flops,
        flops_by_formula: ledger.flops_by_formula,
    }
}

/// The clock of a rollout, its share of the run's left open.
pub(crate) fn seconds(rollout: &Rollout) -> Seconds {
    let timing = &rollout.timing;
    Seconds {
        image: timing.image.as_secs_f64(),
        vision: timing.vision.as_secs_f64(),
        prefill: timing.prefill.as_secs_f64(),
        decode: timing.decode.as_secs_f64(),
        total: timing.total.as_secs_f64(),
        share: 0.0,
    }
}

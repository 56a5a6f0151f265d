//! Means over answers, without intervals.

use serde::Serialize;

use crate::run::record::Answer;

/// Means over answers of the ledger and of the clock.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the fields are those of `Ledger` and `Seconds`, which say what they are")]
pub struct Means {
    pub patches_encoded: f64,
    pub visual_tokens_per_layer: f64,
    pub visual_kv_entries: f64,
    pub generated_tokens: f64,
    pub prefilled_tokens: f64,
    pub reused_tokens: f64,
    pub flops: f64,
    pub flops_by_formula: f64,
    pub image_seconds: f64,
    pub vision_seconds: f64,
    pub prefill_seconds: f64,
    pub decode_seconds: f64,
    pub total_seconds: f64,
}

pub(super) fn plain_mean(answers: &[&Answer], of: impl Fn(&Answer) -> f64) -> Option<f64> {
    let sum: f64 = answers.iter().map(|answer| of(answer)).sum();
    (!answers.is_empty()).then(|| sum / answers.len() as f64)
}

impl Means {
    pub(super) fn of(answers: &[&Answer]) -> Option<Self> {
        let mean = |of: fn(&Answer) -> f64| plain_mean(answers, of);
        Some(Self {
            patches_encoded: mean(|one| one.ledger.patches_encoded as f64)?,
            visual_tokens_per_layer: mean(|one| one.ledger.visual_tokens_per_layer)?,
            visual_kv_entries: mean(|one| one.ledger.visual_kv_entries as f64)?,
            generated_tokens: mean(|one| one.ledger.generated_tokens as f64)?,
            prefilled_tokens: mean(|one| one.ledger.prefilled_tokens as f64)?,
            reused_tokens: mean(|one| one.ledger.reused_tokens as f64)?,
            flops: mean(|one| one.ledger.flops)?,
            flops_by_formula: mean(|one| one.ledger.flops_by_formula)?,
            image_seconds: mean(|one| one.seconds.image)?,
            vision_seconds: mean(|one| one.seconds.vision)?,
            prefill_seconds: mean(|one| one.seconds.prefill)?,
            decode_seconds: mean(|one| one.seconds.decode)?,
            total_seconds: mean(|one| one.seconds.total)?,
        })
    }
}

//! What an answer cost, from what the engine reports of it.

use visionthink_engine::Rollout;
use visionthink_eval::run::flops::{self, DecoderSizes, VisionSizes};
use visionthink_eval::run::{Ledger, Seconds};
use visionthink_model::Config;
use visionthink_protocol::ImageTokens;

/// The sizes of a model that decide what a token costs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    decoder: DecoderSizes,
    vision: Option<VisionSizes>,
}

impl Sizes {
    pub(crate) fn of(config: &Config) -> Self {
        let text = &config.text;
        Self {
            decoder: DecoderSizes {
                layers: text.num_hidden_layers,
                width: text.hidden_size,
                query_width: text.num_attention_heads * text.head_dim,
                key_value_width: text.num_key_value_heads * text.head_dim,
                inner_width: text.intermediate_size,
                vocabulary: text.vocab_size,
            },
            vision: config.vision.as_ref().map(|vision| VisionSizes {
                blocks: vision.depth,
                full_blocks: vision.fullatt_block_indexes.len(),
                width: vision.hidden_size,
                inner_width: vision.intermediate_size,
                patch_values: vision.patch_values(),
                window_patches: vision.window_cells().pow(2) * vision.merge_unit(),
                merge_unit: vision.merge_unit(),
                out_width: vision.out_hidden_size,
            }),
        }
    }

    /// The ledger of a rollout about pictures of these costs. Nothing is pruned here: what enters the decoder stays in every layer.
    pub(crate) fn ledger(&self, rollout: &Rollout, pictures: &[ImageTokens]) -> Ledger {
        let usage = &rollout.usage;
        let images = rollout.conversation.images().iter();
        let tokens: Vec<u64> =
            images.map(|image| pictures.get(image.source).map_or(0, |picture| picture.of(image.view) as u64)).collect();
        let visual_tokens: u64 = tokens.iter().sum();
        let unit = self.vision.map_or(1, |vision| vision.merge_unit as u64);
        let (generated, prefilled) = (usage.completion_tokens as u64, usage.prefilled_tokens as u64);
        // The last token of a turn is run with the next prompt, which counts it, or not at all.
        let decoded = generated.saturating_sub(rollout.conversation.turns().len() as u64);
        let vision: f64 =
            self.vision.iter().flat_map(|sizes| tokens.iter().map(|tokens| flops::vision(sizes, tokens * unit))).sum();
        Ledger {
            patches_encoded: visual_tokens * unit,
            visual_tokens,
            visual_tokens_per_layer: visual_tokens as f64,
            visual_kv_entries: visual_tokens * self.decoder.layers as u64,
            generated_tokens: generated,
            prefilled_tokens: prefilled,
            reused_tokens: usage.reused_tokens as u64,
            flops: vision + flops::decoder(&self.decoder, prefilled + decoded, generated),
            flops_by_formula: flops::by_formula(&self.decoder, prefilled),
        }
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

//! What a prompt costs.

use std::sync::Arc;

use visionthink_model::PrunedRow;
use visionthink_prune::{Pruning, paper_flops};

use crate::backend::TurnLedger;
use crate::engine::EmbeddedEngine;
use crate::entering::Entering;
use crate::queue::Prompt;

impl EmbeddedEngine {
    /// What a prompt cost, and the tokens that each layer holds behind it; `past` is what it held before.
    pub(crate) fn ledger(
        &self,
        prompt: &Prompt,
        entering: &Entering,
        seen: &PrunedRow,
        past: &[usize],
    ) -> (TurnLedger, Arc<[usize]>) {
        let config = self.model.config();
        let zips = matches!(self.options.pruning, Some(Pruning::VisionZip(_)));
        let image = |grid| config.image_flops(grid) + if zips { config.received_attention_flops(grid) } else { 0.0 };
        let text = entering.ids.len() - entering.visual.len();
        let new = seen.visual_tokens.iter().map(|visual| text + visual);
        let layers: f64 = new.clone().zip(past).map(|(new, past)| config.layer_flops(new, *past)).sum();
        // A layer keeps what it has computed.
        let entries: usize = seen.visual_tokens.iter().sum();
        let ledger = TurnLedger {
            patches: prompt.images.iter().map(|image| image.grid.patches()).sum(),
            visual_tokens: entering.visual.len(),
            visual_tokens_per_layer: entries as f64 / seen.visual_tokens.len().max(1) as f64,
            visual_kv_entries: entries,
            flops: prompt.images.iter().map(|patches| image(patches.grid)).sum::<f64>()
                + layers
                + config.head_flops()
                + seen.scoring_flops,
            flops_by_formula: paper_flops(
                &new.clone().collect::<Vec<_>>(),
                config.text.hidden_size,
                config.text.intermediate_size,
            ),
        };
        (ledger, new.zip(past).map(|(new, past)| past + new).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use burn::tensor::Device;
    use visionthink_image::{GridThw, Patches};
    use visionthink_model::{LoadOptions, Model};
    use visionthink_prune::Method;

    use crate::backend::{Backend, Event, TurnReply, TurnRequest};
    use crate::engine::{EmbeddedEngine, EngineOptions};
    use crate::sampling::Sampling;

    fn reply(engine: &mut EmbeddedEngine, request: TurnRequest) -> TurnReply {
        engine.submit(request).unwrap();
        loop {
            for event in engine.step().unwrap() {
                if let Event::Finished { reply, .. } = event {
                    return reply;
                }
            }
        }
    }

    #[test]
    fn the_ledger_is_what_the_cache_of_the_sequence_holds() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/models/qwen2_5_vl-a");
        let model = Model::load(&folder, &LoadOptions::default(), &Device::flex()).unwrap();
        let pad = model.config().image_token_id().unwrap();
        let grid = GridThw { t: 1, h: 12, w: 16 };
        let values = (0..grid.patches() * 1176).map(|at| ((at * 37) % 211) as f32 / 105.0 - 1.0).collect();
        let image = Arc::new(Patches { values, grid });
        let text = 9;
        let ids = [vec![1, 2, 3], vec![pad; 48], vec![4, 5, 6, 7, 8, 9]].concat();
        for method in [None].into_iter().chain(Method::ALL.map(Some)) {
            let pruning = method.map(|method| method.at_share(0.6, 4).unwrap());
            let expected = pruning.as_ref().map_or(vec![48; 4], |pruning| pruning.visual_tokens(&[48], 4));
            let options = EngineOptions { pruning, ..EngineOptions::default() };
            let mut engine = EmbeddedEngine::new(model.clone(), None, options);
            let request = TurnRequest::new(ids.clone(), Sampling::greedy(), 5);
            let reply = reply(&mut engine, TurnRequest { new_images: vec![image.clone()], ..request });
            let cache = engine.parked[&reply.sequence].cache.as_ref().unwrap();
            // The last sampled id was not run.
            let held: Vec<usize> = (0..4).map(|layer| cache.tokens_in(layer, 0) - text - 4).collect();
            assert_eq!(held, expected, "{method:?}");
            assert_eq!(reply.ledger.patches, grid.patches());
            assert_eq!(reply.ledger.visual_tokens, expected[0], "{method:?}");
            assert_eq!(reply.ledger.visual_kv_entries, expected.iter().sum::<usize>());
            assert_eq!(reply.ledger.visual_tokens_per_layer, expected.iter().sum::<usize>() as f64 / 4.0);
            assert_eq!(reply.prefilled_tokens, text + expected[0]);
            if method.is_none() {
                // 57 prompt tokens and 4 more one by one are 61 in each layer; logits for the prompt's last and for the 4.
                let config = engine.model.config();
                let all = config.image_flops(grid) + 4.0 * config.layer_flops(61, 0) + 5.0 * config.head_flops();
                assert_eq!(reply.ledger.flops, all);
            }
        }
    }
}

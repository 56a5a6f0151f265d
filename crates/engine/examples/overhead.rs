#![allow(warnings)]
use burn::tensor::Device;
use std::path::Path;
use std::time::Instant;
use visionthink_engine::*;
use visionthink_model::*;

fn config(small: bool) -> Config {
    let (h, i, l, v, heads, kv, d) =
        if small { (192, 512, 4, 600, 6, 2, 32) } else { (768, 2304, 12, 16000, 12, 4, 64) };
    let json = format!(
        r#"{{"architectures":["Qwen2_5_VLForConditionalGeneration"],"model_type":"qwen2_5_vl","vocab_size":{v},"hidden_size":{h},"intermediate_size":{i},"num_hidden_layers":{l},"num_attention_heads":{heads},"num_key_value_heads":{kv},"hidden_act":"silu","rms_norm_eps":1e-6,"rope_theta":1e6,"rope_scaling":{{"type":"mrope","mrope_section":[{},{},{}]}},"max_position_embeddings":4096,"initializer_range":0.02,"tie_word_embeddings":true,"image_token_id":5,"vision_config":{{"depth":3,"hidden_size":128,"intermediate_size":256,"num_heads":4,"in_chans":3,"patch_size":14,"temporal_patch_size":2,"spatial_merge_size":2,"window_size":56,"fullatt_block_indexes":[1],"out_hidden_size":{h},"initializer_range":0.02}}}}"#,
        d / 8,
        d / 8,
        d / 4
    );
    Config::from_json(&json, Path::new("c")).unwrap()
}
fn main() {
    for small in [true, false] {
        let device = Device::flex();
        let c = config(small);
        let v = c.text.vocab_size as u32;
        let model =
            Model::init(c, &InitOptions { seed: 1, patch_embed: PatchEmbedInit::Normal, dtype: Dtype::F32 }, &device);
        let params: usize = parameters(model.config()).iter().map(|p| p.shape().iter().product::<usize>()).sum();
        println!("params {params}");
        for rows in [1usize, 16] {
            let n = 128usize;
            let steps = if small { 200 } else { 30 };
            // direct
            let ids: Vec<Vec<u32>> =
                (0..rows).map(|r| (0..n).map(|i| ((i * 7 + r) as u32 % (v - 10)) + 6).collect()).collect();
            let pos: Vec<MropePositions> =
                ids.iter().map(|i| PositionCursor::new().advance(i, None, &[], 2).unwrap()).collect();
            let mut cache = model.new_cache(rows);
            let t = Instant::now();
            let h = model.forward(model.embed(&ids, None).unwrap(), &MropeBatch::left_padded(&pos), Some(&mut cache));
            let l: Vec<f32> = model.logits(Model::last_rows(h)).try_to_vec_as().unwrap();
            let prefill = t.elapsed();
            let t = Instant::now();
            for s in 0..steps {
                let last: Vec<[u32; 1]> = vec![[9]; rows];
                let co: Vec<Option<u32>> = vec![Some((n + s) as u32); rows];
                let h = model.forward(model.embed(&last, None).unwrap(), &MropeBatch::decode(&co), Some(&mut cache));
                let l: Vec<f32> = model.logits(Model::last_rows(h)).try_to_vec_as().unwrap();
            }
            let direct = t.elapsed() / steps as u32;
            for (name, sampling, lp) in [
                ("greedy", Sampling::greedy(), false),
                ("greedy+lp", Sampling::greedy(), true),
                ("sampled", Sampling::at_temperature(1.0, 1), true),
                (
                    "top_p+pen",
                    Sampling { top_p: 0.9, repetition_penalty: 1.05, ..Sampling::at_temperature(1.0, 1) },
                    true,
                ),
            ] {
                let mut e = EmbeddedEngine::new(model.clone(), None, EngineOptions::default());
                for i in &ids {
                    e.submit(TurnRequest { logprobs: lp, ..TurnRequest::new(i.clone(), sampling.clone(), steps + 1) })
                        .unwrap();
                }
                let t = Instant::now();
                while !e.step().unwrap().is_empty() {}
                let c = e.counters();
                println!(
                    "rows {rows} {name}: direct prefill {prefill:?} step {direct:?}; engine prefill {:?} step {:?}",
                    c.prefill_time,
                    c.decode_time / c.decode_steps as u32
                );
            }
        }
    }
}

//! The measurements.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use burn::Tensor;
use burn::tensor::{Device, TensorData};
use serde::Serialize;
use visionthink_engine::{Backend, EmbeddedEngine, EngineOptions, Event, Past, Sampling, TurnReply, TurnRequest};
use visionthink_image::{DecodeOptions, Patches, Processor, full_view, low_view, open};
use visionthink_model::{LoadOptions, parameters};

use crate::memory;
use crate::workload::Workload;

/// One line of the report. The peers print the same names.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) unit: &'static str,
    pub(crate) value: f64,
}

/// What was measured, and the sizes that the limits are held against.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) rows: Vec<Row>,
    pub(crate) sizes: Sizes,
    pub(crate) load: LoadMemory,
    pub(crate) cache_kept: TurnTokens,
    pub(crate) prefilled_again: TurnTokens,
}

/// Sizes of the network, in f32.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Sizes {
    pub(crate) parameters: usize,
    /// All weights.
    pub(crate) bytes: usize,
    /// Weights that one decode step reads: the decoder's layers and the head.
    pub(crate) decode_bytes: usize,
    /// Multiplications and additions of one prefilled token with the decoder's weights; attention is not counted.
    pub(crate) prefill_flop: f64,
    /// The same of one patch in the vision tower.
    pub(crate) patch_flop: f64,
    /// Patches of the picture.
    pub(crate) patches: usize,
}

/// Memory around the reading of the checkpoint.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct LoadMemory {
    /// The peak while reading, without what the process held before; `None` where it cannot be read.
    pub(crate) peak_bytes: Option<u64>,
    /// The largest weight file.
    pub(crate) largest_shard_bytes: u64,
}

/// Prompt tokens of the second of two turns.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct TurnTokens {
    pub(crate) prefilled: usize,
    pub(crate) reused: usize,
}

/// A loaded checkpoint and the work to do with it.
pub(crate) struct Bench<'a> {
    workload: &'a Workload,
    engine: EmbeddedEngine,
    device: Device,
    processor: Arc<Processor>,
    load_time: Duration,
    load: LoadMemory,
}

impl<'a> Bench<'a> {
    /// Reads the weights, f32.
    pub(crate) fn load(workload: &'a Workload, device: &Device) -> Result<Self> {
        let processor = workload.folder.processor.clone().context("the checkpoint has no image processor")?;
        // Images are measured, not remembered.
        let options = EngineOptions { max_cached_image_tokens: 0, ..EngineOptions::default() };
        memory::forget_peak();
        let before = memory::resident_bytes();
        let start = Instant::now();
        let engine = workload.folder.engine(&LoadOptions::default(), device, options)?;
        let load_time = start.elapsed();
        let peak = memory::peak_bytes().zip(before).map(|(peak, before)| peak.saturating_sub(before));
        let load = LoadMemory { peak_bytes: peak, largest_shard_bytes: largest_shard(workload)? };
        Ok(Self { workload, engine, device: device.clone(), processor, load_time, load })
    }

    /// All rows, in the order of a request's life.
    pub(crate) fn run(&mut self) -> Result<Measured> {
        let mut rows = vec![row("load", "ms", self.load_time.as_secs_f64() * 1e3)];
        rows.push(row("image_preparation", "ms", self.image_preparation()?));
        rows.push(row("vision_tower", "ms", self.vision_tower()?));
        rows.push(row("prefill", "tokens/s", self.prefill()?));
        for batch in self.workload.decode.batches {
            rows.push(row(&format!("decode_batch_{batch}"), "tokens/s", self.decode(batch)?));
        }
        let (kept_ms, cache_kept) = self.two_turns(true)?;
        rows.push(row("two_turns_cache_kept", "ms", kept_ms));
        let (again_ms, prefilled_again) = self.two_turns(false)?;
        rows.push(row("two_turns_prefilled_again", "ms", again_ms));
        if let Some(peak) = memory::peak_bytes() {
            rows.push(row("peak_memory", "MiB", peak as f64 / f64::from(1 << 20)));
        }
        Ok(Measured { rows, sizes: self.sizes()?, load: self.load, cache_kept, prefilled_again })
    }

    /// From the bytes of the file to patches, at full size.
    fn image_preparation(&self) -> Result<f64> {
        median_ms(self.workload.repeats, || self.full_patches().map(drop))
    }

    fn full_patches(&self) -> Result<Patches> {
        let picture = open(&self.workload.image, &DecodeOptions::default())?;
        Ok(self.processor.process(full_view(&picture)?.as_ref())?)
    }

    fn vision_tower(&self) -> Result<f64> {
        let Patches { values, grid } = self.full_patches()?;
        let shape = [grid.patches(), self.processor.patch_values()];
        let pixels = Tensor::<2>::from_data(TensorData::new(values, shape), &self.device);
        median_ms(self.workload.repeats, || {
            let merged = self.engine.model().encode_images(pixels.clone(), &[grid])?;
            self.device.sync().context("the device failed")?;
            drop(merged);
            Ok(())
        })
    }

    /// Tokens a second of one prompt, up to its first sampled token.
    fn prefill(&mut self) -> Result<f64> {
        let ids = self.workload.prefill.ids.clone();
        let tokens = ids.len() as f64;
        let ms = median_ms(self.workload.repeats, || {
            let reply = self.turn(TurnRequest::new(ids.clone(), Sampling::greedy(), 1))?;
            self.engine.release(reply.sequence);
            Ok(())
        })?;
        Ok(tokens / ms * 1e3)
    }

    /// Tokens a second of a batch, without its prefill.
    fn decode(&mut self, batch: usize) -> Result<f64> {
        let mut rates = Vec::new();
        // The first time warms up: caches are allocated, pages touched.
        for round in 0..=self.workload.repeats {
            for ids in &self.workload.decode.ids[..batch] {
                // The first token is the prefill's, the second is decoded in the same step.
                let tokens = self.workload.decode.new_tokens + 2;
                self.engine.submit(TurnRequest::new(ids.clone(), Sampling::greedy(), tokens))?;
            }
            let mut sequences = self.step()?;
            let (start, before) = (Instant::now(), self.engine.counters().decoded_tokens);
            while sequences.len() < batch {
                sequences.extend(self.step()?);
            }
            let seconds = start.elapsed().as_secs_f64();
            let decoded = self.engine.counters().decoded_tokens - before;
            for reply in sequences {
                self.engine.release(reply.sequence);
            }
            if round > 0 {
                rates.push(decoded as f64 / seconds);
            }
        }
        Ok(median(&mut rates))
    }

    /// Milliseconds of a question about the half-size picture and the answer to it, then of the full picture and the
    /// second answer; and what the second turn had to prefill.
    fn two_turns(&mut self, keep_cache: bool) -> Result<(f64, TurnTokens)> {
        let picture = open(&self.workload.image, &DecodeOptions::default())?;
        let low = Arc::new(self.processor.process(&low_view(&picture)?)?);
        let full = Arc::new(self.processor.process(full_view(&picture)?.as_ref())?);
        let mut tokens = TurnTokens::default();
        let ms = median_ms(self.workload.repeats, || {
            let turns = &self.workload.two_turns;
            let first = TurnRequest {
                new_images: vec![low.clone()],
                suppressed_ids: self.workload.folder.suppressed_ids(),
                ..TurnRequest::new(turns.first_ids.clone(), Sampling::greedy(), turns.new_tokens)
            };
            let reply = self.turn(first.clone())?;
            let conversation = [turns.first_ids.as_slice(), &reply.ids].concat();
            let second = if keep_cache {
                TurnRequest {
                    past: Past::Sequence { id: reply.sequence, tokens: conversation.len() },
                    new_ids: turns.second_ids.clone(),
                    new_images: vec![full.clone()],
                    ..first
                }
            } else {
                self.engine.release(reply.sequence);
                TurnRequest {
                    new_ids: [conversation.as_slice(), &turns.second_ids].concat(),
                    new_images: vec![low.clone(), full.clone()],
                    ..first
                }
            };
            let reply = self.turn(second)?;
            tokens = TurnTokens { prefilled: reply.prefilled_tokens, reused: reply.reused_tokens };
            self.engine.release(reply.sequence);
            Ok(())
        })?;
        Ok((ms, tokens))
    }

    /// Generates one turn to its end.
    fn turn(&mut self, request: TurnRequest) -> Result<TurnReply> {
        self.engine.submit(request)?;
        loop {
            if let Some(reply) = self.step()?.pop() {
                return Ok(reply);
            }
        }
    }

    /// One step of the engine; the turns that ended in it.
    fn step(&mut self) -> Result<Vec<TurnReply>> {
        let mut replies = Vec::new();
        let events = self.engine.step()?;
        if events.is_empty() {
            bail!("the engine has nothing to do and a turn has not ended");
        }
        for event in events {
            match event {
                Event::Finished { reply, .. } => replies.push(reply),
                Event::Failed { error, .. } => return Err(error.into()),
                Event::Token { .. } => {}
            }
        }
        Ok(replies)
    }

    fn sizes(&self) -> Result<Sizes> {
        let config = &self.workload.folder.config;
        let all = parameters(config);
        let count = |wanted: &dyn Fn(&str) -> bool| -> usize {
            all.iter()
                .filter(|parameter| wanted(&parameter.path))
                .map(|parameter| parameter.file_shape.iter().product::<usize>())
                .sum()
        };
        let layers = count(&|path| path.starts_with("language_model.layers."));
        let head = config.text.vocab_size * config.text.hidden_size;
        let parameters = count(&|_| true);
        Ok(Sizes {
            parameters,
            bytes: parameters * size_of::<f32>(),
            decode_bytes: (layers + head) * size_of::<f32>(),
            prefill_flop: 2.0 * layers as f64,
            patch_flop: 2.0 * count(&|path| path.starts_with("visual.blocks.")) as f64,
            patches: self.full_patches()?.grid.patches(),
        })
    }
}

fn largest_shard(workload: &Workload) -> Result<u64> {
    let mut largest = 0;
    for entry in fs_err::read_dir(&workload.checkpoint)? {
        let entry = entry?;
        if entry.path().extension().is_some_and(|ending| ending == "safetensors") {
            largest = largest.max(entry.metadata()?.len());
        }
    }
    Ok(largest)
}

/// Says on stderr how far the run is: a large checkpoint takes minutes.
fn row(name: &str, unit: &'static str, value: f64) -> Row {
    eprintln!("measured {name}");
    Row { name: name.to_owned(), unit, value }
}

/// Median over the repeats, after one call that is not counted.
fn median_ms(repeats: usize, mut call: impl FnMut() -> Result<()>) -> Result<f64> {
    call()?;
    let mut times = Vec::with_capacity(repeats);
    for _ in 0..repeats {
        let start = Instant::now();
        call()?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    Ok(median(&mut times))
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len().is_multiple_of(2) { f64::midpoint(values[middle - 1], values[middle]) } else { values[middle] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_two_in_the_middle() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&mut [4.0, 1.0, 3.0, 2.0]), 2.5);
    }

    #[test]
    fn the_call_that_warms_up_is_not_counted() {
        let mut calls = 0;
        let ms = median_ms(3, || {
            calls += 1;
            if calls == 1 {
                std::thread::sleep(Duration::from_millis(50));
            }
            Ok(())
        });
        assert_eq!(calls, 4);
        assert!(ms.unwrap() < 50.0);
    }
}

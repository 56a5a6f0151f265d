//! From waiting prompts to rows of the batch.

use std::sync::Arc;
use std::time::{Duration, Instant};

use burn::Tensor;
use burn::tensor::TensorData;
use visionthink_image::{GridThw, Patches};
use visionthink_model::{KvCache, Model, MropeBatch, MropePositions, PrunedChunk, PrunedRow};
use visionthink_prune::Pruning;

use crate::batch::{Batch, take_rows};
use crate::engine::{EmbeddedEngine, read};
use crate::entering::{Entering, ImageRows};
use crate::error::EngineError;
use crate::queue::{Fork, Member, Prompt, Stem, similar_lengths};
use crate::row::{Opening, Row};

impl EmbeddedEngine {
    /// Fills free rows with forks that wait for one and with the prompts that came next.
    pub(crate) fn admit(&mut self) -> Result<(), EngineError> {
        let mut free = self.options.max_rows.saturating_sub(self.batch.rows.len());
        let forks = self.queue.take_forks(free);
        free -= forks.len();
        let mut joining = self.queue.take_paused(free);
        free -= joining.len();
        let prompts = self.queue.take_prompts(free, self.options.max_prefill_tokens);

        joining.extend(forks.into_iter().map(|fork| self.open_fork(fork)));
        let images: Vec<&Arc<Patches>> = prompts.iter().flat_map(|prompt| &prompt.images).collect();
        let began = Instant::now();
        let mut image_tokens = self.encode_images(&images)?.into_iter();
        let vision = began.elapsed();
        let mut prompts: Vec<(Prompt, Vec<ImageRows>)> = prompts
            .into_iter()
            .map(|prompt| {
                let count = prompt.images.len();
                (prompt, image_tokens.by_ref().take(count).collect())
            })
            .collect();
        for group in batches(&mut prompts) {
            joining.push(self.prefill(group, vision, &mut free)?);
        }
        self.batch.join(joining);
        Ok(())
    }

    /// Image tokens of each image; those seen lately are not computed again.
    pub(crate) fn encode_images(&mut self, images: &[&Arc<Patches>]) -> Result<Vec<ImageRows>, EngineError> {
        let keys: Vec<_> = images.iter().map(|image| self.image_cache.key(image)).collect();
        let mut tokens: Vec<Option<ImageRows>> = keys.iter().map(|key| self.image_cache.get(key)).collect();
        // The first of equal images is computed for all of them.
        let missing: Vec<usize> =
            (0..keys.len()).filter(|&index| tokens[index].is_none() && !keys[..index].contains(&keys[index])).collect();
        self.counters.images_reused += (keys.len() - missing.len()) as u64;
        let mut missing = missing.as_slice();
        while !missing.is_empty() {
            let count = self.fitting(missing, images);
            let (now, later) = missing.split_at(count);
            let encoded = self.run_vision(&now.iter().map(|index| images[*index].as_ref()).collect::<Vec<_>>())?;
            for (index, rows) in now.iter().zip(encoded) {
                for (slot, key) in tokens.iter_mut().zip(&keys) {
                    if *key == keys[*index] {
                        *slot = Some(rows.clone());
                    }
                }
                self.image_cache.insert(keys[*index], rows);
            }
            missing = later;
        }
        Ok(tokens.into_iter().flatten().collect())
    }

    /// How many of the next images fit into one pass of the vision tower.
    fn fitting(&self, indices: &[usize], images: &[&Arc<Patches>]) -> usize {
        let mut patches = 0;
        let fits = indices.iter().take_while(|index| {
            patches += images[**index].grid.patches();
            patches <= self.options.max_vision_patches
        });
        fits.count().max(1)
    }

    /// One pass of the vision tower.
    fn run_vision(&mut self, images: &[&Patches]) -> Result<Vec<ImageRows>, EngineError> {
        let grids: Vec<GridThw> = images.iter().map(|image| image.grid).collect();
        let patches: usize = grids.iter().map(|grid| grid.patches()).sum();
        let _span = tracing::debug_span!("vision_encode", images = images.len(), patches).entered();
        let began = Instant::now();
        let device = self.model.device();
        let values: Vec<f32> = images.iter().flat_map(|image| &image.values).copied().collect();
        let width = values.len() / patches.max(1);
        let pixels = Tensor::from_data(TensorData::new(values, [patches, width]), &device);
        let merge = self.image_tokens().merge;
        let sizes: Vec<usize> = grids.iter().map(|grid| grid.tokens(merge)).collect();
        let rows = if let Some(Pruning::VisionZip(zip)) = self.options.pruning {
            let zipped = self.model.encode_images_zipped(pixels, &grids, zip)?.into_iter().zip(sizes);
            zipped.map(|(image, whole)| ImageRows { rows: image.rows, whole, kept: Some(image.kept.into()) }).collect()
        } else {
            let rows = self.model.encode_images(pixels, &grids)?.split_with_sizes(sizes, 0).into_iter();
            rows.map(|rows| ImageRows { whole: rows.dims()[0], rows, kept: None }).collect()
        };
        device.sync().map_err(|error| EngineError::Device { reason: error.to_string() })?;
        self.counters.images_encoded += images.len() as u64;
        self.counters.vision_patches += patches as u64;
        self.counters.vision_time += began.elapsed();
        Ok(rows)
    }

    /// Runs prompts of similar length and samples their first tokens. Members without a free row wait as forks.
    fn prefill(
        &mut self,
        prompts: Vec<(Prompt, Vec<ImageRows>)>,
        vision: Duration,
        free_rows: &mut usize,
    ) -> Result<Batch, EngineError> {
        let tokens: usize = prompts.iter().map(|(prompt, _)| prompt.chunk.ids.len()).sum();
        let _span = tracing::debug_span!("prefill", sequences = prompts.len(), tokens).entered();
        let began = Instant::now();
        let placeholder = self.image_tokens().id;
        let (mut prompts, mut entering): (Vec<Prompt>, Vec<Entering>) = prompts
            .into_iter()
            .map(|(prompt, images)| {
                let entering = Entering::new(&prompt.chunk, images, placeholder, self.options.pruning.as_ref());
                (prompt, entering)
            })
            .unzip();
        let images: Vec<Tensor<2>> =
            entering.iter_mut().flat_map(|entering| std::mem::take(&mut entering.images)).collect();
        let images = (!images.is_empty()).then(|| Tensor::cat(images, 0));
        let ids: Vec<&[u32]> = entering.iter().map(|entering| entering.ids.as_slice()).collect();
        let embeds = self.model.embed(&ids, images)?;
        let mut cache = take_caches(&self.model, &mut prompts);
        let layers = self.model.config().text.num_hidden_layers;
        let past: Vec<Vec<usize>> =
            (0..prompts.len()).map(|row| (0..layers).map(|layer| cache.tokens_in(layer, row)).collect()).collect();
        let (hidden, seen) = self.forward(embeds, &entering, &mut cache)?;
        // Only the last token of a prompt has a successor that anybody asks for.
        let logits = read(self.model.logits(Model::last_rows(hidden)))?;
        let prefill = began.elapsed();
        self.counters.prefill_time += prefill;

        let vocabulary = logits.len() / prompts.len();
        let mut rows = Vec::new();
        let mut sources = Vec::new();
        let mut first_logits = Vec::new();
        for (index, (mut prompt, logits)) in prompts.into_iter().zip(logits.chunks(vocabulary)).enumerate() {
            let (ledger, layer_tokens) = self.ledger(&prompt, &entering[index], &seen[index], &past[index]);
            let opening = Opening {
                prefilled_tokens: entering[index].ids.len(),
                reused_tokens: prompt.past.cached(),
                queued: began.saturating_duration_since(prompt.queued_at).saturating_sub(vision),
                vision: if prompt.images.is_empty() { Duration::ZERO } else { vision },
                prefill,
                ledger,
                layer_tokens,
            };
            let members = std::mem::take(&mut prompt.members);
            let absent = prompt.chunk.ids.len() - entering[index].ids.len();
            prompt.past.push_chunk(&prompt.chunk, absent);
            let stem = Arc::new(Stem { sequence: prompt.past, settings: prompt.settings, opening });
            self.count_prompt(&stem, members.len());
            let (now, later) = members.split_at(members.len().min(*free_rows));
            *free_rows -= now.len();
            for member in now {
                rows.push(open_row(*member, &stem, *member == members[0]));
                sources.push(index);
                first_logits.extend_from_slice(logits);
            }
            let all_wait = now.is_empty();
            self.keep_forks(later, all_wait, &stem, || take_rows(&cache, &[index]), logits);
        }
        if rows.is_empty() {
            return Ok(Batch::default());
        }
        let cache = if sources.iter().copied().eq(0..cache.batch()) { cache } else { take_rows(&cache, &sources) };
        Ok(self.open_rows(Batch::new(rows, cache), &mut first_logits))
    }

    /// Hidden states of what enters, and what became of the visual tokens of each row.
    fn forward(
        &self,
        embeds: Tensor<3>,
        entering: &[Entering],
        cache: &mut KvCache,
    ) -> Result<(Tensor<3>, Vec<PrunedRow>), EngineError> {
        let positions: Vec<MropePositions> = entering.iter().map(|row| row.positions.clone()).collect();
        if let Some(pruning) = self.options.pruning.as_ref().filter(|pruning| pruning.is_inside_decoder()) {
            let visual: Vec<Vec<usize>> = entering.iter().map(|row| row.visual.clone()).collect();
            let chunk = PrunedChunk { positions: &positions, visual: &visual, pruning };
            return Ok(self.model.forward_pruned(embeds, chunk, cache)?);
        }
        let hidden = self.model.forward(embeds, &MropeBatch::left_padded(&positions), Some(cache));
        let layers = self.model.config().text.num_hidden_layers;
        let all = |row: &Entering| PrunedRow {
            visual_tokens: vec![row.visual.len(); layers],
            cuts: Vec::new(),
            scoring_flops: 0.0,
        };
        Ok((hidden, entering.iter().map(all).collect()))
    }

    fn count_prompt(&mut self, stem: &Stem, members: usize) {
        let Opening { prefilled_tokens, reused_tokens, .. } = stem.opening;
        self.counters.prefilled_tokens += prefilled_tokens as u64;
        let forked = (members - 1) * (prefilled_tokens + reused_tokens);
        self.counters.reused_tokens += (reused_tokens + forked) as u64;
    }

    /// Queues members; `all` where none of the group has a row yet.
    fn keep_forks(
        &mut self,
        members: &[Member],
        all: bool,
        stem: &Arc<Stem>,
        cache: impl FnOnce() -> KvCache,
        logits: &[f32],
    ) {
        if members.is_empty() {
            return;
        }
        let (cache, logits) = (cache(), Arc::<[f32]>::from(logits));
        self.queue.forks.extend(members.iter().enumerate().map(|(index, member)| Fork {
            member: *member,
            runs_prompt: all && index == 0,
            stem: stem.clone(),
            cache: cache.clone(),
            logits: logits.clone(),
        }));
    }

    /// Samples the first token of a member whose prompt was run before.
    fn open_fork(&mut self, fork: Fork) -> Batch {
        let row = open_row(fork.member, &fork.stem, fork.runs_prompt);
        let mut logits = fork.logits.to_vec();
        self.open_rows(Batch::new(vec![row], fork.cache), &mut logits)
    }
}

/// A row behind the prompt of a group; only its first member has run it, the others have reused it.
fn open_row(member: Member, stem: &Stem, runs_prompt: bool) -> Row {
    let mut sequence = stem.sequence.clone();
    sequence.sample = member.sample;
    let mut opening = stem.opening.clone();
    if !runs_prompt {
        opening.reused_tokens += std::mem::take(&mut opening.prefilled_tokens);
    }
    Row::new((member.turn, member.id), sequence, stem.settings.clone(), opening)
}

/// The pasts of the prompts as one cache. They all have one, or none has.
fn take_caches(model: &Model, prompts: &mut [Prompt]) -> KvCache {
    let caches: Vec<KvCache> = prompts.iter_mut().filter_map(|prompt| prompt.past.cache.take()).collect();
    match caches.len() {
        0 => model.new_cache(prompts.len()),
        // Moved, so that it grows in place.
        1 => caches.into_iter().next().expect("there is one"),
        _ => KvCache::concat(&caches),
    }
}

/// Takes the prompts apart into passes: similar lengths together, and new sequences apart from continued ones.
fn batches<T>(prompts: &mut Vec<(Prompt, T)>) -> Vec<Vec<(Prompt, T)>> {
    let (continued, new): (Vec<_>, Vec<_>) =
        std::mem::take(prompts).into_iter().partition(|(prompt, _)| prompt.past.cache.is_some());
    let mut batches = Vec::new();
    for kind in [new, continued] {
        let lengths: Vec<usize> = kind.iter().map(|(prompt, _)| prompt.chunk.ids.len()).collect();
        let mut kind: Vec<Option<_>> = kind.into_iter().map(Some).collect();
        for group in similar_lengths(&lengths) {
            batches.push(group.into_iter().filter_map(|index| kind[index].take()).collect());
        }
    }
    batches
}

//! What values of a run file have to satisfy beyond their types.

use std::path::Path;

use visionthink_model::{Adapter, Config, Dtype};
use visionthink_protocol::ProfileName;

use super::{
    CheckpointSection, FilesSection, LrFactor, ModelSection, OptimizerSection, PerView, ResizeShare, RunSection,
    ScheduleSection, StageSection, StepSection, SyntheticSection, TrainConfig, Trainable,
};

/// All violations, in the order of the file.
pub(super) fn problems(config: &TrainConfig) -> Problems {
    let mut found = Problems::default();
    found.run(&config.run);
    found.model(&config.model);
    found.lora(&config.model, &config.optimizer);
    found.data(config);
    found.optimizer(&config.optimizer);
    found.schedule(&config.schedule, config.total_steps(), "the stages have");
    found.step(&config.step);
    found.saving(&config.checkpoint);
    found.need(config.log.every > 0, "log.every", 0, "at least 1");
    found.need(config.log.eval_every > 0, "log.eval_every", 0, "at least 1");
    found.need(config.log.eval_questions > 0, "log.eval_questions", 0, "at least 1");
    if config.stages.is_empty() {
        found.add("there is no `[[stage]]`; a run needs at least one");
    }
    for stage in &config.stages {
        found.stage(stage, config.step.micro_batch, config.data.files.is_some());
    }
    found
}

/// More than any run takes; sums over stages stay far from overflowing.
const MOST_STEPS: u64 = 1 << 40;

/// Collects what is wrong with a run file; the sections that run files share have a method each.
#[derive(Default)]
pub(crate) struct Problems {
    wrong: Vec<String>,
    /// Files and folders that are not there: nothing can run without them, but the run file may be right.
    missing: Vec<String>,
}

impl Problems {
    /// What is wrong, in the order it was found, and what is not there.
    pub(crate) fn into_parts(self) -> (Vec<String>, Vec<String>) {
        (self.wrong, self.missing)
    }

    pub(crate) fn add(&mut self, problem: impl Into<String>) {
        self.wrong.push(problem.into());
    }

    pub(crate) fn add_all(&mut self, problems: Vec<String>) {
        self.wrong.extend(problems);
    }

    /// Notes that `path` is not there.
    pub(crate) fn there(&mut self, key: &str, path: &Path, expected: &str) {
        if !path.exists() {
            self.missing.push(format!("`{key}` is `{}`, which is not there, expected {expected}", path.display()));
        }
    }

    /// Complains about `key` unless `holds`.
    pub(crate) fn need(&mut self, holds: bool, key: &str, found: impl std::fmt::Display, expected: &str) {
        if !holds {
            self.add(format!("`{key}` is {found}, expected {expected}"));
        }
    }

    pub(crate) fn run(&mut self, run: &RunSection) {
        let name = &run.name;
        let plain =
            !name.is_empty() && name.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter));
        let plain = plain && !name.starts_with('.');
        self.need(plain, "run.name", format!("`{name}`"), "letters, digits, `-`, `_` and `.`: it names a folder");
    }

    pub(crate) fn model(&mut self, model: &ModelSection) {
        match (&model.init, &model.checkpoint) {
            (Some(_), Some(_)) => {
                self.add("`model.init` and `model.checkpoint` are both given; keep the one to start from");
            }
            (None, None) => {
                self.add("neither `model.init` nor `model.checkpoint` is given; one says where weights start");
            }
            _ => {}
        }
        if let Some(checkpoint) = &model.checkpoint {
            self.there("model.checkpoint", checkpoint, "a checkpoint folder");
        }
        if let Some(init) = &model.init {
            self.there("model.init.config", &init.config, "a `config.json`");
            self.there("model.init.tokenizer", &init.tokenizer, "a folder with a tokenizer");
        }
        if let Trainable::Prefixes(prefixes) = &model.trainable {
            self.need(
                !prefixes.is_empty() || model.lora.is_some(),
                "model.trainable",
                "empty",
                "`\"all\"` or at least one prefix of parameter names",
            );
        }
    }

    /// What an adapter asks of the rest of the run file.
    pub(crate) fn lora(&mut self, model: &ModelSection, optimizer: &OptimizerSection) {
        let Some(lora) = &model.lora else {
            self.need(
                model.dtype() == Dtype::F32,
                "model.dtype",
                "`bf16`",
                "`f32` without `model.lora`: small steps are lost where weights are saved in bf16",
            );
            return;
        };
        self.need(lora.rank > 0, "model.lora.rank", 0, "at least 1");
        let alpha = lora.alpha;
        self.need(alpha.is_finite() && alpha > 0.0, "model.lora.alpha", alpha, "more than zero");
        let dropout = lora.dropout.unwrap_or(0.0);
        self.need(dropout == 0.0, "model.lora.dropout", dropout, "0: dropping inputs is not implemented");
        self.need(!lora.target_modules.is_empty(), "model.lora.target_modules", "empty", "at least one module");
        if matches!(model.trainable, Trainable::All(_)) {
            self.add(
                "`model.trainable` is `all` and `model.lora` is given: the base of an adapter is frozen; name what learns in full beside it, or nothing: `[]`",
            );
        }
        if optimizer.muon.is_some() {
            self.add(
                "`optimizer.muon` and `model.lora` are both given: Muon is for whole matrices, the factors of an adapter learn by AdamW",
            );
        }
        let Some(base) = &model.checkpoint else {
            self.add("`model.lora` is given without `model.checkpoint`: an adapter belongs to a checkpoint that stays");
            return;
        };
        // A checkpoint without a readable configuration is refused when it is loaded.
        let Ok(config) = Config::from_folder(base) else { return };
        match Adapter::adapted(&config, &lora.target_modules) {
            Err(error) => self.add(format!("`model.lora.target_modules`: {error}")),
            Ok(modules) => {
                let Trainable::Prefixes(prefixes) = &model.trainable else { return };
                for prefix in prefixes {
                    if let Some(module) = modules.iter().find(|module| format!("{module}.weight").starts_with(prefix)) {
                        self.add(format!(
                            "`model.trainable` names `{prefix}`, and `model.lora` adapts `{module}`: its weight is frozen; take one of them out"
                        ));
                    }
                }
                let embedding = "language_model.embed_tokens.weight";
                if config.tie_word_embeddings && prefixes.iter().any(|prefix| embedding.starts_with(prefix)) {
                    self.add(
                        "`model.trainable` names the embedding, which is the head of this checkpoint too: adapters in the layout of PEFT cannot hold it",
                    );
                }
            }
        }
    }

    pub(crate) fn sources(&mut self, synthetic: Option<&SyntheticSection>, files: Option<&FilesSection>) {
        self.one_source(synthetic.is_some(), files.is_some());
        if let Some(files) = files {
            self.there("data.files.train", &files.train, "a file or folder of rows");
            self.there("data.files.eval", &files.eval, "a file or folder of rows");
        }
        if let Some(synthetic) = synthetic {
            self.need(!synthetic.families.is_empty(), "data.synthetic.families", "empty", "at least one family");
        }
    }

    pub(crate) fn one_source(&mut self, synthetic: bool, files: bool) {
        match (synthetic, files) {
            (true, true) => self.add("`data.synthetic` and `data.files` are both given; keep one"),
            (false, false) => {
                self.add("neither `data.synthetic` nor `data.files` is given; one says where questions come from");
            }
            _ => {}
        }
    }

    pub(crate) fn profile(&mut self, name: &str) {
        let names: Vec<String> = ProfileName::ALL.iter().map(|name| format!("`{name}`")).collect();
        self.need(
            name.parse::<ProfileName>().is_ok(),
            "data.profile",
            format!("`{name}`"),
            &format!("one of {}", names.join(", ")),
        );
    }

    fn data(&mut self, config: &TrainConfig) {
        let data = &config.data;
        self.sources(data.synthetic.as_ref(), data.files.as_ref());
        self.profile(&data.profile);
        self.need((1..=64).contains(&data.threads), "data.threads", data.threads, "1 to 64");
        for (key, weight) in [
            ("loss.answer_weight", config.loss.answer_weight),
            ("loss.tag_weight", config.loss.tag_weight),
            ("loss.blind_weight", config.loss.blind_weight),
        ] {
            self.need(weight.is_finite() && weight >= 0.0, key, weight, "zero or more");
        }
        self.need(config.loss.answer_weight > 0.0, "loss.answer_weight", config.loss.answer_weight, "more than zero");
    }

    pub(crate) fn optimizer(&mut self, optimizer: &OptimizerSection) {
        let positive = |value: f64| value.is_finite() && value > 0.0;
        self.need(positive(optimizer.lr), "optimizer.lr", optimizer.lr, "more than zero");
        self.need(positive(optimizer.eps), "optimizer.eps", optimizer.eps, "more than zero");
        for beta in optimizer.betas {
            self.need((0.0..1.0).contains(&beta), "optimizer.betas", beta, "numbers from 0 to below 1");
        }
        if let Some(muon) = optimizer.muon {
            let momentum = muon.momentum;
            self.need((0.0..1.0).contains(&momentum), "optimizer.muon.momentum", momentum, "0 to below 1");
        }
        let decay = optimizer.weight_decay;
        self.need(decay.is_finite() && decay >= 0.0, "optimizer.weight_decay", decay, "zero or more");
        for LrFactor { prefix, factor } in &optimizer.lr_factors {
            let key = format!("optimizer.lr_factors.{prefix}");
            self.need(factor.is_finite() && *factor >= 0.0, &key, factor, "zero or more");
        }
    }

    /// `total` steps there are, as `what` says.
    pub(crate) fn schedule(&mut self, schedule: &ScheduleSection, total: u64, what: &str) {
        self.need((0.0..=1.0).contains(&schedule.min_ratio), "schedule.min_ratio", schedule.min_ratio, "0 to 1");
        let used = schedule.warmup_steps.saturating_add(schedule.hold_steps);
        if used > total {
            self.add(format!(
                "`schedule.warmup_steps` and `schedule.hold_steps` are {used} steps together, {what} {total}"
            ));
        }
    }

    pub(crate) fn step(&mut self, step: &StepSection) {
        let positive = step.clip_norm.is_finite() && step.clip_norm > 0.0;
        self.need(positive, "step.clip_norm", step.clip_norm, "more than zero");
        self.need(step.micro_batch > 0, "step.micro_batch", 0, "at least 1");
        self.need(step.logit_chunk > 0, "step.logit_chunk", 0, "at least 1");
        self.need((1..=256).contains(&step.workers), "step.workers", step.workers, "1 to 256");
    }

    pub(crate) fn saving(&mut self, checkpoint: &CheckpointSection) {
        self.need(checkpoint.every > 0, "checkpoint.every", 0, "at least 1");
        self.need(checkpoint.keep > 0, "checkpoint.keep", 0, "at least 1: resuming needs the last one");
    }

    fn stage(&mut self, stage: &StageSection, micro_batch: usize, classes: bool) {
        let key = |name: &str| format!("stage.{}.{name}", stage.name);
        self.need((1..=MOST_STEPS).contains(&stage.steps), &key("steps"), stage.steps, "1 to 2^40");
        let fits = stage.batch_size > 0 && (micro_batch == 0 || stage.batch_size.is_multiple_of(micro_batch));
        self.need(
            fits,
            &key("batch_size"),
            stage.batch_size,
            &format!("a multiple of `step.micro_batch` ({micro_batch})"),
        );
        self.need(stage.questions_per_image > 0, &key("questions_per_image"), 0, "at least 1");
        let close_ups = stage.close_up_share;
        self.need((0.0..=1.0).contains(&close_ups), &key("close_up_share"), close_ups, "0 to 1");
        match stage.resize_share {
            ResizeShare::Coin(share) => {
                self.need((0.0..=1.0).contains(&share), &key("resize_share"), share, "0 to 1");
            }
            ResizeShare::ByClass(_) => {
                self.need(
                    classes,
                    &key("resize_share"),
                    "`by-class`",
                    "a share: only rows of `data.files` have a class",
                );
            }
        }
        for (view, weight) in stage.mixture.named() {
            self.need(weight.is_finite() && weight >= 0.0, &key(&format!("mixture.{view}")), weight, "zero or more");
        }
        let PerView { full, low, adaptive } = stage.mixture;
        self.need(full + low + adaptive > 0.0, &key("mixture"), "all zero", "at least one view to draw");
        for (view, share) in stage.hard_share.named() {
            self.need((0.0..=1.0).contains(&share), &key(&format!("hard_share.{view}")), share, "0 to 1");
        }
    }
}

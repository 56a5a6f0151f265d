//! What values of a run file have to satisfy beyond their types.

use super::{LrFactor, ModelSection, PerView, StageSection, TrainConfig, Trainable};

/// All violations, in the order of the file.
pub(super) fn problems(config: &TrainConfig) -> Vec<String> {
    let mut found = Problems::default();
    found.run(config);
    found.model(&config.model);
    found.data(config);
    found.optimizer(config);
    found.steps(config);
    if config.stages.is_empty() {
        found.add("there is no `[[stage]]`; a run needs at least one");
    }
    for stage in &config.stages {
        found.stage(stage, config.step.micro_batch);
    }
    found.0
}

#[derive(Default)]
struct Problems(Vec<String>);

impl Problems {
    fn add(&mut self, problem: impl Into<String>) {
        self.0.push(problem.into());
    }

    /// Complains about `key` unless `holds`.
    fn need(&mut self, holds: bool, key: &str, found: impl std::fmt::Display, expected: &str) {
        if !holds {
            self.add(format!("`{key}` is {found}, expected {expected}"));
        }
    }

    fn run(&mut self, config: &TrainConfig) {
        let name = &config.run.name;
        let plain =
            !name.is_empty() && name.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter));
        let plain = plain && !name.starts_with('.');
        self.need(plain, "run.name", format!("`{name}`"), "letters, digits, `-`, `_` and `.`: it names a folder");
    }

    fn model(&mut self, model: &ModelSection) {
        match (&model.init, &model.checkpoint) {
            (Some(_), Some(_)) => {
                self.add("`model.init` and `model.checkpoint` are both given; keep the one to start from");
            }
            (None, None) => {
                self.add("neither `model.init` nor `model.checkpoint` is given; one says where weights start");
            }
            _ => {}
        }
        if let Trainable::Prefixes(prefixes) = &model.trainable {
            self.need(
                !prefixes.is_empty(),
                "model.trainable",
                "empty",
                "`\"all\"` or at least one prefix of parameter names",
            );
        }
    }

    fn data(&mut self, config: &TrainConfig) {
        let data = &config.data;
        match (&data.synthetic, &data.files) {
            (Some(_), Some(_)) => {
                self.add("`data.synthetic` and `data.files` are both given; keep one");
            }
            (None, None) => {
                self.add("neither `data.synthetic` nor `data.files` is given; one says where questions come from");
            }
            _ => {}
        }
        if let Some(synthetic) = &data.synthetic {
            self.need(!synthetic.families.is_empty(), "data.synthetic.families", "empty", "at least one family");
        }
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

    fn optimizer(&mut self, config: &TrainConfig) {
        let optimizer = &config.optimizer;
        let positive = |value: f64| value.is_finite() && value > 0.0;
        self.need(positive(optimizer.lr), "optimizer.lr", optimizer.lr, "more than zero");
        self.need(positive(optimizer.eps), "optimizer.eps", optimizer.eps, "more than zero");
        for beta in optimizer.betas {
            self.need((0.0..1.0).contains(&beta), "optimizer.betas", beta, "numbers from 0 to below 1");
        }
        let decay = optimizer.weight_decay;
        self.need(decay.is_finite() && decay >= 0.0, "optimizer.weight_decay", decay, "zero or more");
        for LrFactor { prefix, factor } in &optimizer.lr_factors {
            let key = format!("optimizer.lr_factors.{prefix}");
            self.need(factor.is_finite() && *factor >= 0.0, &key, factor, "zero or more");
        }
        let schedule = &config.schedule;
        self.need((0.0..=1.0).contains(&schedule.min_ratio), "schedule.min_ratio", schedule.min_ratio, "0 to 1");
        let (used, total) = (schedule.warmup_steps.saturating_add(schedule.hold_steps), config.total_steps());
        if used > total {
            self.add(format!(
                "`schedule.warmup_steps` and `schedule.hold_steps` are {used} steps together, the stages have {total}"
            ));
        }
        self.need(positive(config.step.clip_norm), "step.clip_norm", config.step.clip_norm, "more than zero");
    }

    fn steps(&mut self, config: &TrainConfig) {
        self.need(config.step.micro_batch > 0, "step.micro_batch", 0, "at least 1");
        let workers = config.step.workers;
        self.need((1..=256).contains(&workers), "step.workers", workers, "1 to 256");
        self.need(config.checkpoint.every > 0, "checkpoint.every", 0, "at least 1");
        self.need(config.checkpoint.keep > 0, "checkpoint.keep", 0, "at least 1: resuming needs the last one");
        self.need(config.log.every > 0, "log.every", 0, "at least 1");
        self.need(config.log.eval_every > 0, "log.eval_every", 0, "at least 1");
        self.need(config.log.eval_questions > 0, "log.eval_questions", 0, "at least 1");
    }

    fn stage(&mut self, stage: &StageSection, micro_batch: usize) {
        let key = |name: &str| format!("stage.{}.{name}", stage.name);
        self.need(stage.steps > 0, &key("steps"), stage.steps, "at least 1");
        let fits = stage.batch_size > 0 && (micro_batch == 0 || stage.batch_size.is_multiple_of(micro_batch));
        self.need(
            fits,
            &key("batch_size"),
            stage.batch_size,
            &format!("a multiple of `step.micro_batch` ({micro_batch})"),
        );
        self.need(stage.questions_per_image > 0, &key("questions_per_image"), 0, "at least 1");
        for (name, share) in [("resize_share", stage.resize_share), ("close_up_share", stage.close_up_share)] {
            self.need((0.0..=1.0).contains(&share), &key(name), share, "0 to 1");
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

//! Runs that learn a low-rank adapter: what they save, how they go on, and that the base stays.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use burn::tensor::Device;
use visionthink_image::RgbImage;
use visionthink_model::{Adapter, Dtype, LoadOptions, Model, Scaling};
use visionthink_protocol::Tokenizer;
use visionthink_train::config::{LoraSection, LossSection, ModelSection, Trainable};
use visionthink_train::grpo::{GrpoConfig, GrpoEvent, train_policy};
use visionthink_train::{
    ImageTokens, MicroBatch, Question, Shown, Start, TrainConfig, TrainError, TranscriptBuilder, export_merged,
    target_logits,
};

use crate::{grpo, run, tiny_checkpoint, tiny_run};

fn adapted(section: &mut ModelSection) {
    section.trainable = Trainable::Prefixes(vec!["visual.merger.ln_q.".to_owned()]);
    section.lora = Some(LoraSection {
        rank: 4,
        alpha: 8.0,
        scaling: Scaling::Standard,
        dropout: None,
        target_modules: ["q_proj", "v_proj", "down_proj", "visual.attn.qkv"].map(str::to_owned).to_vec(),
    });
}

fn imitation(out: &Path) -> TrainConfig {
    let mut config = tiny_run(out);
    adapted(&mut config.model);
    config.optimizer.lr_factors = Vec::new();
    config
}

fn reinforcement(out: &Path) -> GrpoConfig {
    let mut config = grpo::small_run(out);
    adapted(&mut config.model);
    config.optimizer.lr_factors = Vec::new();
    config
}

fn adapter(checkpoint: &Path) -> Vec<u8> {
    fs_err::read(checkpoint.join("adapter_model.safetensors")).unwrap()
}

#[test]
fn a_run_saves_its_adapter_alone_and_resumed_is_uninterrupted() {
    let folder = tempfile::tempdir().unwrap();
    let whole = run(&imitation(&folder.path().join("whole")), Start::Fresh, None).unwrap();
    let config = imitation(&folder.path().join("parts"));
    let first = run(&config, Start::Fresh, Some(3)).unwrap();
    let second = run(&config, Start::Resume, None).unwrap();
    assert_eq!([first.losses, second.losses].concat(), whole.losses);
    assert!(adapter(&second.checkpoint) == adapter(&whole.checkpoint), "the adapters differ");
    assert!(!whole.checkpoint.join("model.safetensors").exists());
    let settings = fs_err::read_to_string(whole.checkpoint.join("adapter_config.json")).unwrap();
    assert!(settings.contains(&*tiny_checkpoint().to_string_lossy()), "it names its base: {settings}");
    let base = fs_err::metadata(tiny_checkpoint().join("model.safetensors")).unwrap().len();
    let small = adapter(&whole.checkpoint).len() as u64;
    assert!(small * 2 < base, "{small} bytes beside a base of {base}");
}

#[test]
fn reinforcement_under_an_adapter_resumes_too_and_begins_at_its_base() {
    let folder = tempfile::tempdir().unwrap();
    let whole = grpo::run(&reinforcement(&folder.path().join("whole")), Start::Fresh, None).unwrap();
    let config = reinforcement(&folder.path().join("parts"));
    let first = grpo::run(&config, Start::Fresh, Some(1)).unwrap();
    let second = grpo::run(&config, Start::Resume, None).unwrap();
    assert_eq!([first.rewards, second.rewards].concat(), whole.rewards);
    assert_eq!(second.evaluation, whole.evaluation);
    assert!(adapter(&second.checkpoint) == adapter(&whole.checkpoint), "the adapters differ");

    let mut divergences = Vec::new();
    let observed = reinforcement(&folder.path().join("observed"));
    train_policy(&observed, &Device::flex(), Start::Fresh, &AtomicBool::new(false), &mut |event| {
        if let GrpoEvent::Step { outcome, .. } = event {
            divergences.push(outcome.kl);
        }
    })
    .unwrap();
    // The factor B begins at zero, so the first update is computed at the base itself.
    assert_eq!(divergences[0], 0.0);
    assert!(divergences[2] > 0.0, "{divergences:?}");
}

#[test]
fn a_merged_adapter_answers_as_an_applied_one() {
    let folder = tempfile::tempdir().unwrap();
    let trained = run(&imitation(folder.path()), Start::Fresh, None).unwrap();
    let merged = folder.path().join("merged");
    export_merged(&trained.checkpoint, &tiny_checkpoint(), &merged, Dtype::F32, &Device::flex()).unwrap();
    let load = |folder: &Path| Model::load(folder, &LoadOptions { dtype: Dtype::F32 }, &Device::flex()).unwrap();
    let base = load(&tiny_checkpoint());
    let applied = load(&tiny_checkpoint());
    let learned = Adapter::read(&trained.checkpoint, applied.config()).unwrap();
    let applied = applied.with_adapter(&learned);
    let (of_base, of_applied, of_merged) = (logits(&base), logits(&applied), logits(&load(&merged)));
    let away = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0f32, f32::max);
    assert!(of_merged.iter().all(|logit| logit.is_finite()));
    // f32: one sum of products in two orders, logits of the order of ten.
    assert!(away(&of_applied, &of_merged) < 1e-4, "{}", away(&of_applied, &of_merged));
    assert!(away(&of_base, &of_merged) > 1e-2, "six steps at this rate change what it says");
}

#[test]
fn an_adapter_that_cannot_be_is_refused_with_the_key_at_fault() {
    let text = toml::to_string(&imitation(Path::new("runs"))).unwrap();
    let problems = |from: &str, to: &str| {
        assert!(text.contains(from), "{from} is not in {text}");
        match TrainConfig::from_toml(&text.replacen(from, to, 1), Path::new("run.toml")) {
            Err(TrainError::Config { problems, .. }) => problems.join("\n"),
            other => panic!("{from} -> {to}: {other:?}"),
        }
    };
    assert!(TrainConfig::from_toml(&text, Path::new("run.toml")).is_ok());
    let checkpoint = text.lines().find(|line| line.starts_with("checkpoint = ")).unwrap();
    for (from, to, expected) in [
        ("rank = 4", "rank = 0", "`model.lora.rank` is 0, expected at least 1"),
        ("alpha = 8.0", "alpha = -8.0", "`model.lora.alpha` is -8, expected more than zero"),
        ("alpha = 8.0", "alpha = 8.0\ndropout = 0.1", "`model.lora.dropout` is 0.1, expected 0"),
        ("alpha = 8.0", "alpha = 8.0\nbias = \"none\"", "unknown key `model.lora.bias`"),
        ("scaling = \"standard\"", "scaling = \"root\"", "`root`"),
        ("\"down_proj\"", "\"o_proj_\"", "`model.lora.target_modules`: "),
        (
            "trainable = [\"visual.merger.ln_q.\"]",
            "trainable = \"all\"",
            "`model.trainable` is `all` and `model.lora` is given",
        ),
        (
            "trainable = [\"visual.merger.ln_q.\"]",
            "trainable = [\"language_model.layers.0.self_attn.q_proj\"]",
            "`model.lora` adapts",
        ),
        (checkpoint, "", "`model.lora` is given without `model.checkpoint`"),
    ] {
        let found = problems(from, to);
        assert!(found.contains(expected), "{to}: `{expected}` is not in {found}");
    }
}

fn logits(model: &Model) -> Vec<f32> {
    let loss = LossSection { answer_weight: 1.0, tag_weight: 1.0, blind_weight: 1.0 };
    let builder = TranscriptBuilder::new(&tiny_checkpoint(), "compact", loss, 4096).unwrap();
    let image = RgbImage::new(112, 112, (0..112 * 112 * 3).map(|at| (at % 251) as u8).collect()).unwrap();
    let question = Question {
        text: "What number is on it?".to_owned(),
        answer: "47".to_owned(),
        topic: "any".to_owned(),
        needs_full: true,
    };
    let transcript = builder.build(&image, &[question], Shown::Resized).unwrap();
    let pad = Tokenizer::from_dir(&tiny_checkpoint()).unwrap().special().image_pad;
    let batch = MicroBatch::collate(vec![transcript], ImageTokens { id: Some(pad), merge: 2 }).unwrap();
    target_logits(model, &batch).unwrap().try_to_vec_as().unwrap()
}

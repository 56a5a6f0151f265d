//! Settings that trade time for memory change nothing else.

use burn::tensor::Device;
use visionthink_image::{Processor, RgbImage};
use visionthink_model::{LoadOptions, Model};
use visionthink_train::config::{AllParameters, StepSection, Trainable};
use visionthink_train::{
    ImageTokens, MicroBatch, Parameters, Question, Shown, TranscriptBuilder, backward, micro_batches, target_logits,
};

use crate::{tiny_checkpoint, tiny_run};

/// A direct answer and one behind the full image, of different lengths.
fn batch(model: &Model) -> MicroBatch {
    batch_of(model, &[("7", Shown::Direct), ("a longer answer", Shown::Resized)])
}

/// Answers to one question.
fn batch_of(model: &Model, answers: &[(&str, Shown)]) -> MicroBatch {
    let folder = tempfile::tempdir().unwrap();
    let builder = TranscriptBuilder::new(&tiny_checkpoint(), "compact", tiny_run(folder.path()).loss, 4096).unwrap();
    let pixels = (0..112 * 168 * 3).map(|at| (at * 31 % 251) as u8).collect();
    let image = RgbImage::new(112, 168, pixels).unwrap();
    let question = |answer: &str| Question {
        text: "What?".into(),
        answer: answer.into(),
        topic: "code".into(),
        needs_full: false,
    };
    let build = |(answer, shown): &(&str, Shown)| builder.build(&image, &[question(answer)], *shown).unwrap();
    let mut transcripts: Vec<_> = answers.iter().map(build).collect();
    // As the samples of a group do.
    for at in 1..transcripts.len() {
        let (earlier, rest) = transcripts.split_at_mut(at);
        if let Some(first) = earlier.iter().find(|one| one.shown == rest[0].shown) {
            rest[0].images.clone_from(&first.images);
        }
    }
    let merge = Processor::from_dir(&tiny_checkpoint()).unwrap().merge_size;
    let image_tokens = ImageTokens { id: model.config().image_token_id(), merge };
    micro_batches(transcripts, answers.len(), image_tokens).unwrap().remove(0)
}

#[test]
fn chunks_of_logits_and_blocks_computed_twice_give_the_same_loss_and_gradients() {
    let model = Model::load(&tiny_checkpoint(), &LoadOptions::default(), &Device::flex().autodiff()).unwrap();
    let parameters = Parameters::of(&model, &Trainable::All(AllParameters::All)).unwrap();
    let batch = batch(&model);
    let run = |logit_chunk, activation_checkpointing| {
        let step = StepSection {
            micro_batch: 2,
            workers: 1,
            clip_norm: 1.0,
            max_skipped: 0,
            logit_chunk,
            activation_checkpointing,
        };
        backward(&model, &parameters, &batch, &step, batch.weight()).unwrap()
    };
    let whole = run(1000, false);
    assert!(whole.loss.is_finite() && whole.loss > 0.0);
    for (logit_chunk, activation_checkpointing) in [(1, false), (4, false), (1000, true), (4, true)] {
        let found = run(logit_chunk, activation_checkpointing);
        // f32: the shares of chunks are added up in another order.
        assert!((found.loss - whole.loss).abs() <= 1e-6 * whole.loss, "{} and {}", found.loss, whole.loss);
        assert_eq!(found.hits, whole.hits);
        for ((found, whole), parameter) in found.gradients.iter().zip(&whole.gradients).zip(parameters.iter()) {
            let largest = whole.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
            let near = |(found, whole): (&f32, &f32)| (found - whole).abs() <= 1e-4 * largest;
            assert!(largest.is_finite() && found.iter().zip(whole).all(near), "{}", parameter.name);
        }
    }
}

#[test]
fn what_sequences_begin_with_alike_is_computed_once_and_changes_nothing() {
    let model = Model::load(&tiny_checkpoint(), &LoadOptions::default(), &Device::flex().autodiff()).unwrap();
    let parameters = Parameters::of(&model, &Trainable::All(AllParameters::All)).unwrap();
    let answers = ["7", "8", "a longer answer", "7", "brown"];
    let group: Vec<_> = answers.map(|answer| (answer, Shown::Resized)).into_iter().collect();
    let mixed: Vec<_> = group.iter().copied().chain(answers.map(|answer| (answer, Shown::Direct))).collect();
    for (answers, heads) in [(group, 1), (mixed, 2)] {
        let batch = batch_of(&model, &answers);
        let shared = batch.shared.as_ref().expect("a group shares its prompt");
        assert_eq!(shared.heads.ids.len(), heads);
        let inside = shared.heads.ids.len() * shared.heads.positions.tokens();
        assert!(
            shared.rows.iter().any(|row| (*row as usize) < inside),
            "calls of the tool are predicted inside a head"
        );
        let apart = MicroBatch { shared: None, ..batch.clone() };

        let [found, expected] = [&batch, &apart].map(|batch| target_logits(&model, batch).unwrap().inner());
        let difference: f32 = (found - expected.clone()).abs().max().into_scalar();
        let largest: f32 = expected.abs().max().into_scalar();
        assert!(largest.is_finite() && difference <= 1e-5 * largest, "logits differ by {difference} of {largest}");

        let step = tiny_run(std::path::Path::new("runs")).step;
        let [found, expected] =
            [&batch, &apart].map(|batch| backward(&model, &parameters, batch, &step, batch.weight()).unwrap());
        assert!((found.loss - expected.loss).abs() <= 1e-6 * expected.loss, "{} and {}", found.loss, expected.loss);
        for ((found, expected), parameter) in found.gradients.iter().zip(&expected.gradients).zip(parameters.iter()) {
            let largest = expected.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
            let near = |(found, expected): (&f32, &f32)| (found - expected).abs() <= 1e-4 * largest;
            assert!(largest.is_finite() && found.iter().zip(expected).all(near), "{}", parameter.name);
        }
    }
}

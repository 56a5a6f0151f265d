//! Losses that are not numbers.

use burn::tensor::Device;
use visionthink_image::Processor;
use visionthink_model::{LoadOptions, Model};
use visionthink_train::config::{AllParameters, Trainable};
use visionthink_train::{
    ImageTokens, Optimizer, Parameters, Question, Shown, Start, TrainError, TranscriptBuilder, Workers, micro_batches,
    step,
};

use crate::{run, tiny_checkpoint, tiny_run};

#[test]
fn a_step_without_a_finite_loss_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let config = tiny_run(folder.path());
    let model = Model::load(&tiny_checkpoint(), &LoadOptions::default(), &Device::flex().autodiff()).unwrap();
    let image_tokens = ImageTokens {
        id: model.config().image_token_id(),
        merge: Processor::from_dir(&tiny_checkpoint()).unwrap().merge_size,
    };
    let builder = TranscriptBuilder::new(&tiny_checkpoint(), "compact", config.loss, 4096).unwrap();
    let image = visionthink_image::RgbImage::new(56, 56, vec![128; 56 * 56 * 3]).unwrap();
    let question = Question { text: "What?".into(), answer: "7".into(), topic: "code".into(), needs_full: false };
    let transcript = builder.build(&image, &[question], Shown::Full).unwrap();
    let batches = micro_batches(vec![transcript], 1, image_tokens).unwrap();

    let mut parameters = Parameters::of(&model, &Trainable::All(AllParameters::All)).unwrap();
    parameters.iter_mut().last().unwrap().values[0] = f32::NAN;
    let mut optimizer = Optimizer::new(config.optimizer.clone(), &parameters);
    let mut workers = Workers::new(parameters.write_into(model), 1).unwrap();
    let before: Vec<Vec<u32>> = bits(&parameters);
    let outcome = step(&mut workers, &mut parameters, &mut optimizer, &batches, 1.0, &config.step).unwrap();
    assert!(outcome.skipped && !outcome.loss.is_finite());
    assert_eq!(bits(&parameters), before);
    assert_eq!(optimizer.steps(), 0);
}

fn bits(parameters: &Parameters) -> Vec<Vec<u32>> {
    parameters.iter().map(|one| one.values.iter().map(|value| value.to_bits()).collect()).collect()
}

#[test]
fn a_run_that_keeps_failing_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = tiny_run(folder.path());
    config.optimizer.lr = 1e30;
    config.schedule.warmup_steps = 0;
    let error = run(&config, Start::Fresh, None).unwrap_err();
    let TrainError::Diverged { step, skipped } = error else { panic!("{error}") };
    assert_eq!(skipped, config.step.max_skipped + 1);
    assert!(step > u64::from(skipped), "at least one step came before");
}

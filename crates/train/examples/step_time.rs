//! Times the parts of a step: `cargo run -p visionthink-train --example step_time -- configs/micro-sft.toml STEP [WORKERS [MICRO_BATCH]]`.
#![expect(clippy::print_stderr, reason = "a program, not a library")]

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use burn::tensor::Device;
use visionthink_train::{
    Curriculum, ImageTokens, Optimizer, Parameters, Source, TrainConfig, TrainError, TranscriptBuilder, Workers,
    backward, side_files, start_model, step,
};

fn main() -> Result<(), TrainError> {
    let arguments: Vec<String> = std::env::args().collect();
    let number = |at: usize| arguments.get(at).and_then(|text| text.parse::<usize>().ok());
    let mut config = TrainConfig::from_file(Path::new(&arguments[1]))?;
    let at = number(2).unwrap_or(0) as u64;
    config.step.workers = number(3).unwrap_or(config.step.workers);
    config.step.micro_batch = number(4).unwrap_or(config.step.micro_batch);

    let files = side_files(&config.model);
    let model = start_model(&config.model, config.run.seed, &Device::flex().autodiff())?;
    let mut parameters = Parameters::of(&model, &config.model.trainable)?;
    let mut optimizer = Optimizer::new(config.optimizer.clone(), &parameters);
    let vision = model.config().vision.clone();
    let image_tokens = ImageTokens {
        id: model.config().image_token_id(),
        merge: vision.map_or(1, |vision| vision.spatial_merge_size as u32),
    };
    let builder = TranscriptBuilder::new(&files, &config.data.profile, config.loss, 4096)?;
    let source = Source::open(config.data.synthetic.as_ref(), config.data.files.as_ref())?;
    let curriculum = Curriculum::new(config.clone(), Arc::new(source), Arc::new(builder), image_tokens);
    let mut workers = Workers::new(parameters.write_into(model), config.step.workers)?;

    let began = Instant::now();
    let batches = curriculum.batches(at)?;
    eprintln!("drawing {:.3} s", began.elapsed().as_secs_f64());
    for batch in &batches {
        let longest = batch.positions.tokens();
        eprintln!(
            "  {} sequences, {longest} tokens at most, {} patches, {} targets",
            batch.ids.len(),
            batch.pixels.len() / 1176,
            batch.rows.len()
        );
    }
    for _ in 0..3 {
        let began = Instant::now();
        let loss = backward(workers.model(), &parameters, &batches[0], &config.step, batches[0].weight())?.loss;
        eprintln!("one pass {:.3} s, loss {loss:.3}", began.elapsed().as_secs_f64());
    }
    for _ in 0..4 {
        let began = Instant::now();
        let outcome = step(&mut workers, &mut parameters, &mut optimizer, &batches, 1.0, &config.step)?;
        eprintln!("step {:.3} s, loss {:.3}", began.elapsed().as_secs_f64(), outcome.loss);
    }
    let began = Instant::now();
    let gradients = parameters.iter().map(|one| vec![1e-3; one.values.len()]).collect();
    optimizer.step(&mut parameters, &gradients, 0.0);
    let updated = began.elapsed().as_secs_f64();
    workers.update(|model| parameters.write_into(model));
    eprintln!("optimizer {updated:.3} writing back {:.3}", began.elapsed().as_secs_f64() - updated);
    Ok(())
}

//! What is learned from a transcript, and what is not.

use std::path::Path;
use std::sync::Arc;

use burn::tensor::Device;
use visionthink_image::RgbImage;
use visionthink_model::{Dtype, LoadOptions, Model};
use visionthink_protocol::{Strictness, Tokenizer, ToolCallParse, parse_tool_call};
use visionthink_train::config::{AllParameters, LossSection, StepSection, Trainable};
use visionthink_train::{
    GradientBuffers, ImageTokens, MicroBatch, Parameters, Question, Shown, TargetKind, Transcript, TranscriptBuilder,
    backward,
};

use crate::{tiny_checkpoint, tiny_run};

const LOSS: LossSection = LossSection { answer_weight: 1.0, tag_weight: 0.25, blind_weight: 0.125 };

fn build(shown: Shown) -> (Transcript, Tokenizer) {
    let builder = TranscriptBuilder::new(&tiny_checkpoint(), "compact", LOSS, 4096).unwrap();
    let image = RgbImage::new(112, 112, (0..112 * 112 * 3).map(|at| (at % 251) as u8).collect()).unwrap();
    let question = |text: &str, answer: &str, needs_full| Question {
        text: text.to_string(),
        answer: answer.to_string(),
        topic: "any".to_string(),
        needs_full,
    };
    let questions = [question("What number is on it?", "47", true), question("What colour is it?", "dark red", false)];
    (builder.build(&image, &questions, shown).unwrap(), Tokenizer::from_dir(&tiny_checkpoint()).unwrap())
}

/// The replies, one string for each run of targets, and the rest, with image tokens as one.
fn learned_and_given(transcript: &Transcript, tokenizer: &Tokenizer) -> (Vec<String>, Vec<String>) {
    let mut learned = vec![false; transcript.ids.len()];
    for target in &transcript.targets {
        assert_eq!(transcript.ids[target.at], target.id);
        learned[target.at] = true;
    }
    let pad = tokenizer.special().image_pad;
    let (mut replies, mut rest) = (Vec::new(), Vec::new());
    let mut at = 0;
    for run in learned.chunk_by(|a, b| a == b) {
        let mut ids = transcript.ids[at..at + run.len()].to_vec();
        ids.dedup_by(|next, previous| *next == pad && *previous == pad);
        let text = tokenizer.decode(&ids, false).unwrap();
        let list = if run[0] { &mut replies } else { &mut rest };
        list.push(text);
        at += run.len();
    }
    (replies, rest)
}

#[test]
fn of_a_two_turn_transcript_only_the_replies_are_learned() {
    let (transcript, tokenizer) = build(Shown::Resized);
    let (replies, rest) = learned_and_given(&transcript, &tokenizer);
    let call = r#"<tool_call>{"name":"resize_image","arguments":{"action":"resize"}}</tool_call><|im_end|>"#;
    assert_eq!(replies, [call, "<answer>47</answer><|im_end|>", "<answer>dark red</answer><|im_end|>"]);
    assert_eq!(parse_tool_call(call.trim_end_matches("<|im_end|>"), Strictness::Strict), ToolCallParse::Resize);
    let image = "<|vision_start|><|image_pad|><|vision_end|>";
    assert_eq!(
        rest,
        [
            format!(
                "<|im_start|>system\nresize_image<|im_end|>\n<|im_start|>user\n{image}What number is on it?<|im_end|>\n<|im_start|>assistant\n"
            ),
            format!("<|im_start|>user\n<tool_response>{image}</tool_response><|im_end|>\n<|im_start|>assistant\n"),
            "\n<|im_start|>user\nWhat colour is it?<|im_end|>\n<|im_start|>assistant\n".to_string(),
        ]
    );
    let grids: Vec<usize> = transcript.images.iter().map(|image| image.grid.patches()).collect();
    assert_eq!(grids, [16, 64], "the low image, then the full one");
    let pads = transcript.ids.iter().filter(|id| **id == tokenizer.special().image_pad).count();
    assert_eq!(pads, 4 + 16);
}

#[test]
fn answers_weigh_more_than_tags_and_guesses_next_to_nothing() {
    for (shown, first, second) in
        [(Shown::Resized, 1.0, 1.0), (Shown::Full, 1.0, 1.0), (Shown::Low, 0.125, 1.0), (Shown::Direct, 0.125, 1.0)]
    {
        let (transcript, tokenizer) = build(shown);
        let answers: Vec<_> = transcript.targets.iter().filter(|target| target.kind == TargetKind::Answer).collect();
        let text = tokenizer.decode(&answers.iter().map(|target| target.id).collect::<Vec<_>>(), false).unwrap();
        assert_eq!(text, "47dark red", "{shown:?}");
        assert_eq!((answers[0].weight, answers[answers.len() - 1].weight), (first, second), "{shown:?}");
        assert!(transcript.targets.iter().all(|target| target.kind == TargetKind::Answer || target.weight == 0.25));
    }
}

#[test]
fn only_where_the_tool_is_on_offer_is_there_a_decision() {
    for (shown, decisions) in [(Shown::Full, 0), (Shown::Low, 0), (Shown::Resized, 1), (Shown::Direct, 1)] {
        let (transcript, tokenizer) = build(shown);
        let found: Vec<_> = transcript.targets.iter().filter(|target| target.kind == TargetKind::Decision).collect();
        assert_eq!(found.len(), decisions, "{shown:?}");
        let text = tokenizer.decode(&transcript.ids, false).unwrap();
        assert_eq!(text.contains("system\nresize_image"), decisions == 1, "{shown:?}");
    }
}

/// Gradients of a batch of transcripts of the tiny checkpoint.
fn gradients(
    transcripts: Vec<Transcript>,
    tokenizer: &Tokenizer,
    activation_checkpointing: bool,
) -> (MicroBatch, GradientBuffers) {
    let device = Device::flex().autodiff();
    let model = Model::load(&tiny_checkpoint(), &LoadOptions { dtype: Dtype::F32 }, &device).unwrap();
    let parameters = Parameters::of(&model, &Trainable::All(AllParameters::All)).unwrap();
    let model = parameters.write_into(model);
    let tokens = ImageTokens { id: Some(tokenizer.special().image_pad), merge: 2 };
    let batch = MicroBatch::collate(transcripts, tokens).unwrap();
    let step = tiny_run(Path::new("runs")).step;
    let step = StepSection { activation_checkpointing, ..step };
    let gradients = backward(&model, &parameters, &batch, &step, 1.0).unwrap().gradients;
    (batch, gradients)
}

#[test]
fn a_picture_that_several_transcripts_share_goes_through_the_network_once_and_learns_the_same() {
    let (transcript, tokenizer) = build(Shown::Resized);
    let mut apart = transcript.clone();
    apart.images = apart.images.iter().map(|image| Arc::new(image.as_ref().clone())).collect();
    for keep_inputs in [false, true] {
        let (shared, with_shared) = gradients(vec![transcript.clone(), transcript.clone()], &tokenizer, keep_inputs);
        let (copied, with_copied) = gradients(vec![transcript.clone(), apart.clone()], &tokenizer, keep_inputs);
        assert_eq!(copied.grids.len(), 4);
        assert_eq!(shared.grids.len(), 2);
        assert_eq!(shared.pixels.len() * 2, copied.pixels.len());
        // f32: sums over the two rows are taken in another order.
        for (one, other) in with_shared.iter().zip(&with_copied) {
            let size = other.iter().map(|value| value.abs()).fold(0.0f32, f32::max);
            assert!(size.is_finite());
            for (a, b) in one.iter().zip(other) {
                assert!((a - b).abs() <= 1e-5 * size.max(1e-3), "{a} and {b}, largest {size}");
            }
        }
    }
}

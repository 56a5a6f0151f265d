//! `rl/eval_rollout`: the reference's evaluation script, one request at a time.

use serde_json::Value;
use visionthink_image::{full_size, low_size};
use visionthink_protocol::evaluation::{Prompt, Sampling, profile, question};
use visionthink_protocol::{ChatTemplate, Conversation, ImageTokens, Limits, Mode, ProtocolError, Rules, View};

use crate::rl::{qwen_template, run, setup, size};
use crate::{Report, rows, same, toy};

#[test]
fn the_evaluation_rules_repeat_every_rollout() {
    let rows = rows("eval_rollout");
    if rows.is_empty() {
        return;
    }
    let template = qwen_template();
    let mut report = Report::new("rl/eval_rollout.jsonl");
    for row in &rows {
        report.case(row["id"].as_str().unwrap(), || rollout(row, &template));
    }
    report.finish();
}

/// A source image as both views, width and height before the processor.
struct Shown {
    low: [f64; 2],
    full: [f64; 2],
}

impl Shown {
    fn new([width, height]: [f64; 2], downsample: bool) -> Result<Self, String> {
        let sides = |(width, height): (u32, u32)| [f64::from(width), f64::from(height)];
        let full = full_size(width as u32, height as u32).map_err(|error| error.to_string())?;
        let low =
            if downsample { low_size(width as u32, height as u32).map_err(|error| error.to_string())? } else { full };
        Ok(Self { low: sides(low), full: sides(full) })
    }

    fn of(&self, view: View) -> [f64; 2] {
        if view == View::Low { self.low } else { self.full }
    }
}

fn rollout(row: &Value, template: &ChatTemplate) -> Result<(), String> {
    let expected = &row["result"];
    let error = expected["error"].as_str();
    let sizes: Vec<[f64; 2]> = row["image_sizes"].as_array().into_iter().flatten().filter_map(size).collect();
    if sizes.is_empty() && error == Some("UnboundLocalError") {
        // A task that gives no list of pictures, where the script fails before it has a conversation. One that gives an
        // empty list goes on below; the row does not tell them apart but by this.
        return Ok(());
    }
    let Ok(prompt) = row["prompt"].as_str().unwrap().parse::<Prompt>() else {
        return same("error", &Some("NotImplementedError"), &error);
    };
    let downsample = row["downsample"].as_bool().unwrap();
    let shown: Vec<Shown> = sizes.into_iter().map(|size| Shown::new(size, downsample)).collect::<Result<_, _>>()?;
    let images = shown
        .iter()
        .map(|image| ImageTokens { low: toy::image_tokens(image.low), full: toy::image_tokens(image.full) });
    let sampling = Sampling::for_task(row["generation"]["temperature"].as_f64(), row["generation"]["top_p"].as_f64());
    let limits = Limits {
        max_turns: row["max_rounds"].as_u64().unwrap() as usize,
        max_images: row["max_images"].as_u64().unwrap() as usize,
        max_new_tokens_per_turn: sampling.max_new_tokens,
        max_total_tokens: 32_768,
    };
    let setup = setup(profile(prompt), Mode::Adaptive, images.collect(), limits, Rules::Evaluation);
    let asked = question(row["question"].as_str().unwrap());
    let mut conversation = Conversation::start(setup, template, &[asked]).map_err(|error| error.to_string())?;
    match run(&mut conversation, row) {
        Err(ProtocolError::EmptyReply) => return same("error", &Some("IndexError"), &error),
        Err(error) => return Err(error.to_string()),
        Ok(()) => same("error", &None, &error)?,
    }
    same("rounds", &(conversation.turns().len() as u64), &expected["rounds"].as_u64().unwrap())?;
    let response = conversation.evaluation_response().map_err(|error| error.to_string())?;
    same("response_text", &response.as_str(), &expected["response_text"].as_str().unwrap())?;
    let sizes: Vec<[f64; 2]> = conversation.images().iter().map(|image| shown[image.source].of(image.view)).collect();
    same("image_sizes", &sizes, &expected["image_sizes"].as_array().unwrap().iter().filter_map(size).collect())?;
    let text = conversation.text().map_err(|error| error.to_string())?;
    same("final_prompt", &text.as_str(), &expected["final_prompt"].as_str().unwrap())?;
    same("temperature", &Some(sampling.temperature), &expected["temperature"].as_f64())?;
    same("top_p", &Some(sampling.top_p), &expected["top_p"].as_f64())?;
    same("max_tokens", &(sampling.max_new_tokens as u64), &expected["max_tokens"].as_u64().unwrap())
}

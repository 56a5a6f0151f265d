//! `rl/`: prompts, conversation, tool_parse, rollout, eos_masks.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use visionthink_protocol::lenient::{json_strings, tool_call_contents};
use visionthink_protocol::{
    ChatTemplate, Conversation, FinishReason, IMAGE_PLACEHOLDER, ImageTokens, Limits, Message, Mode, Profile,
    ProfileName, ProtocolError, RenderOptions, Role, Rules, Setup, Step, Strictness, ToolCallError, ToolCallParse,
    View, first_end_mask, last_im_end_mask, parse_tool_call, prompts,
};

use crate::{Report, folder, read_json, rows, same, toy};

pub(crate) fn strings(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|item| item.as_str().unwrap().to_owned()).collect()
}

pub(crate) fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

fn mask(value: &Value) -> Vec<bool> {
    ids(value).iter().map(|&bit| bit == 1).collect()
}

pub(crate) fn size(value: &Value) -> Option<[f64; 2]> {
    let sides = value.as_array()?;
    Some([sides[0].as_f64()?, sides[1].as_f64()?])
}

/// A string of the method by its key in `prompts.json`; `None` for those of the judge.
fn prompt(key: &str) -> Option<String> {
    let text = match key {
        "system.short" => prompts::SYSTEM_SHORT,
        "system.general_qa" => prompts::SYSTEM_GENERAL,
        "system.tool_agent" => prompts::SYSTEM_TOOL,
        "user_template.original" => prompts::USER_PLAIN,
        "user_template.vanilla" => prompts::USER_VANILLA,
        "user_template.tool_agent" => prompts::USER_TOOL,
        "turn.resized_image" => {
            return Some(prompts::TURN_RESIZED.replace("{images}", &format!("{IMAGE_PLACEHOLDER}\n")));
        }
        "turn.error" => prompts::TURN_ERROR,
        "turn.error_evaluation" => prompts::TURN_ERROR_EVALUATION,
        "continuation" => prompts::TURN_RESIZED.split_once("</tool_response>\n")?.1.split_once("<|im_end|>")?.0,
        "continuation_after_error" => {
            prompts::TURN_ERROR.split_once("</tool_response>\n")?.1.split_once("<|im_end|>")?.0
        }
        _ => return None,
    };
    Some(text.to_owned())
}

#[test]
fn prompt_strings_are_the_released_ones() {
    let (folder, own) = folder();
    let path = folder.join("rl/prompts.json");
    if !own && !path.is_file() {
        return;
    }
    let mut report = Report::new("rl/prompts.json");
    for (key, entry) in read_json(&path).as_object().unwrap() {
        match prompt(key) {
            Some(text) => {
                report.case(key, || same("text", &text.as_str(), &entry["text"].as_str().unwrap()));
            }
            None if key.starts_with("judge.") || key.starts_with("verifier.") => {
                println!("rl/prompts.json: `{key}` belongs to the judge, not read here");
            }
            None => report.case(key, || Err("no such prompt string")),
        }
    }
    report.finish();
}

/// The template of Qwen2.5-VL, from a fixture checkpoint whatever folder the vectors come from.
pub(crate) fn qwen_template() -> ChatTemplate {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/models/qwen2_5_vl-a");
    ChatTemplate::from_dir(&fixture).unwrap()
}

pub(crate) fn setup(profile: Profile, mode: Mode, images: Vec<ImageTokens>, limits: Limits, rules: Rules) -> Setup {
    Setup { tokenizer: toy::tokenizer(), profile: Arc::new(profile), mode, images, limits, rules }
}

#[test]
fn first_prompts_are_the_references() {
    let rows = rows("conversation");
    if rows.is_empty() {
        return;
    }
    let template = qwen_template();
    let mut report = Report::new("rl/conversation.jsonl");
    for row in &rows {
        report.case(row["id"].as_str().unwrap(), || first_prompt(row, &template));
    }
    report.finish();
}

/// By hand from the strings, and, where a profile stands for the combination, through a conversation.
fn first_prompt(row: &Value, template: &ChatTemplate) -> Result<(), String> {
    let field = |name: &str| row[name].as_str().unwrap();
    let system = prompt(&format!("system.{}", field("system_prompt"))).ok_or("unknown system prompt")?;
    let user = prompt(&format!("user_template.{}", field("prompt_type"))).ok_or("unknown user template")?;
    let content = user.replacen("{Question}", field("problem"), 1);
    same("user_content", &content.as_str(), &field("user_content"))?;
    let messages = [Message::new(Role::System, system), Message::from_problem(&content)];
    let options = RenderOptions { add_generation_prompt: true, ..RenderOptions::default() };
    let rendered = template.render(&messages, &options).map_err(|error| error.to_string())?;
    same("raw_prompt", &rendered.as_str(), &field("raw_prompt"))?;

    let (name, mode) = match (field("system_prompt"), field("prompt_type")) {
        ("tool_agent", "tool_agent") => (ProfileName::Visionthink, Mode::Adaptive),
        ("general_qa", "original") => (ProfileName::General, Mode::Full),
        _ => return Ok(()),
    };
    let question = Message::from_problem(field("problem"));
    let images = vec![ImageTokens { low: 4, full: 16 }; question.image_count()];
    if images.is_empty() && mode == Mode::Adaptive {
        // Without an image the tool is not offered here; the reference offers it whatever the question holds.
        return Ok(());
    }
    let setup = setup(name.into(), mode, images, Limits::for_context(1 << 20), Rules::Exact);
    let conversation = Conversation::start(setup, template, &[question]).map_err(|error| error.to_string())?;
    same("prompt of the conversation", &conversation.prompt(), &field("raw_prompt"))
}

#[test]
fn the_lenient_parser_reads_calls_as_the_reference_does() {
    let rows = rows("tool_parse");
    if rows.is_empty() {
        return;
    }
    let mut report = Report::new("rl/tool_parse.jsonl");
    for row in &rows {
        report.case(row["id"].as_str().unwrap(), || tool_parse(row));
    }
    report.finish();
}

fn tool_parse(row: &Value) -> Result<(), String> {
    let text = row["text"].as_str().unwrap();
    let contents = tool_call_contents(text);
    same("contents", &contents, &strings(&row["contents"]).iter().map(String::as_str).collect())?;
    let found: Vec<String> = contents.iter().flat_map(|content| json_strings(content)).map(str::to_owned).collect();
    same("json_strings", &found, &strings(&row["json_strings"]))?;
    let parse = parse_tool_call(text, Strictness::Lenient);
    same("triggered", &(parse != ToolCallParse::None), &row["triggered"].as_bool().unwrap())?;
    same("tool_type", &(parse == ToolCallParse::Resize).then_some("resize"), &row["tool_type"].as_str())?;
    let error = match &parse {
        ToolCallParse::Malformed(ToolCallError::Reference(error)) => Some(error),
        ToolCallParse::Malformed(other) => return Err(format!("not an error of the reference: {other:?}")),
        _ => None,
    };
    same("error_class", &error.map(|error| error.kind.class()), &row["error_class"].as_str())?;
    // Only these words are the reference's own; the others are Python's and counted by their class.
    if row["error_class"] == "AssertionError" {
        same("error_info", &error.map(|error| error.text.as_str()), &row["error_info"].as_str())?;
    }
    Ok(())
}

#[test]
fn the_reference_rules_repeat_every_rollout() {
    let rows = rows("rollout");
    if rows.is_empty() {
        return;
    }
    let mut report = Report::new("rl/rollout.jsonl");
    for row in &rows {
        report.case(row["id"].as_str().unwrap(), || rollout(row));
    }
    report.finish();
}

fn rollout(row: &Value) -> Result<(), String> {
    let expected = &row["result"];
    let low = size(&row["low_size"]).unwrap();
    let high = size(&row["high_size"]).unwrap_or(low.map(|side| 2.0 * side));
    let number = |name: &str| row[name].as_u64().unwrap() as usize;
    let limits = Limits {
        max_turns: number("max_rounds"),
        max_images: number("max_images"),
        max_new_tokens_per_turn: 8192,
        max_total_tokens: 32_768,
    };
    let images = vec![ImageTokens { low: toy::image_tokens(low), full: toy::image_tokens(high) }];
    let setup = setup(ProfileName::Visionthink.into(), Mode::Adaptive, images, limits, Rules::Reference);
    let mut conversation =
        Conversation::from_prompt(setup, row["prompt"].as_str().unwrap()).map_err(|error| error.to_string())?;
    match run(&mut conversation, row) {
        Err(ProtocolError::EmptyReply | ProtocolError::SampledImageToken) => {
            return same("error", &Some("IndexError"), &expected["error"].as_str());
        }
        Err(error) => return Err(error.to_string()),
        Ok(()) => same("error", &None, &expected["error"].as_str())?,
    }
    same("rounds", &(conversation.turns().len() as u64), &expected["rounds"].as_u64().unwrap())?;
    let shown: Vec<[f64; 2]> =
        conversation.images().iter().map(|image| if image.view == View::Low { low } else { high }).collect();
    let sizes: Vec<[f64; 2]> = expected["image_sizes"].as_array().unwrap().iter().filter_map(size).collect();
    same("image_sizes", &shown, &sizes)?;
    let response =
        conversation.reference_response(number("max_total_response_length")).map_err(|error| error.to_string())?;
    same("response_ids", &response.ids, &ids(&expected["response_ids"]))?;
    same("response_mask", &response.mask, &mask(&expected["response_mask"]))?;
    let attended = response.attention.iter().filter(|&&attended| attended).count();
    same("attended", &(attended as u64), &expected["attended"].as_u64().unwrap())?;
    same("turn_texts", &response.turn_texts, &strings(&expected["turn_texts"]))
}

/// Plays the recorded outputs of the engine; where none is left it ends its reply at once.
pub(crate) fn run(conversation: &mut Conversation, row: &Value) -> Result<(), ProtocolError> {
    let mut outputs = row["model_outputs"].as_array().unwrap().iter().map(ids);
    while let Step::Generate { .. } = conversation.next_step() {
        let reply = outputs.next().unwrap_or_else(|| vec![toy::IM_END]);
        conversation.push_reply(&reply, FinishReason::Stop)?;
    }
    Ok(())
}

#[test]
fn masks_end_where_the_reference_ends_them() {
    let rows = rows("eos_masks");
    if rows.is_empty() {
        return;
    }
    let mut report = Report::new("rl/eos_masks.jsonl");
    for row in &rows {
        report.case(row["id"].as_str().unwrap(), || {
            let ids = ids(&row["ids"]);
            let first = first_end_mask(&ids, &[toy::IM_END, toy::FIRST_SPECIAL]);
            same("first_end_mask", &first, &mask(&row["first_end_mask"]))?;
            same("last_im_end_mask", &last_im_end_mask(&ids, toy::IM_END), &mask(&row["last_im_end_mask"]))
        });
    }
    report.finish();
}

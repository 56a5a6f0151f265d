//! `models/`: prompts, tokenizer and the ids of every case of every checkpoint that is there.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use safetensors::SafeTensors;
use serde_json::{Map, Value};
use visionthink_protocol::{
    ChatTemplate, Conversation, FinishReason, IMAGE_PLACEHOLDER, ImageTokens, Limits, Message, Mode, Profile,
    ProfileName, RenderOptions, Rules, Setup, Tokenizer,
};

use crate::{Report, folder, read_json, same};

type Outcome = Result<(), String>;

fn text<E: std::fmt::Display>(error: E) -> String {
    error.to_string()
}

/// Checkpoint folders with cases, by name.
fn checkpoints() -> Vec<(String, PathBuf)> {
    let (folder, own) = folder();
    let models = folder.join("models");
    if !own && !models.is_dir() {
        return Vec::new();
    }
    let mut found: Vec<(String, PathBuf)> = fs_err::read_dir(models)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("cases").is_dir() && path.join("tokenizer_config.json").is_file())
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), path))
        .collect();
    found.sort();
    assert!(!own || !found.is_empty(), "no checkpoint among the fixtures");
    found
}

fn u32s(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

#[test]
fn templates_and_ids_of_every_message_shape() {
    for (name, dir) in checkpoints() {
        let path = dir.join("cases/prompts.json");
        if !path.is_file() {
            continue;
        }
        let template = ChatTemplate::from_dir(&dir).unwrap();
        let tokenizer = Tokenizer::from_dir(&dir).unwrap();
        let mut report = Report::new(format!("models/{name}/cases/prompts.json"));
        for case in read_json(&path).as_array().unwrap() {
            report.case(case["name"].as_str().unwrap(), || prompt_case(case, &template, &tokenizer));
        }
        report.finish();
    }
}

fn prompt_case(case: &Value, template: &ChatTemplate, tokenizer: &Tokenizer) -> Outcome {
    let messages: Vec<Message> = serde_json::from_value(case["messages"].clone()).map_err(text)?;
    let mut extra: Map<String, Value> = case["kwargs"].as_object().unwrap().clone();
    let mut flag = |name: &str| extra.remove(name).and_then(|value| value.as_bool()).unwrap_or(false);
    let add_generation_prompt = flag("add_generation_prompt");
    let add_vision_id = flag("add_vision_id");
    let tools = extra.remove("tools").and_then(|tools| tools.as_array().cloned()).unwrap_or_default();
    let options = RenderOptions { add_generation_prompt, tools, add_vision_id, extra };
    let rendered = template.render(&messages, &options).map_err(text)?;
    same("text", &rendered.as_str(), &case["text"].as_str().unwrap())?;
    let ids = tokenizer.encode(&rendered).map_err(text)?;
    same("ids", &ids, &u32s(&case["ids_before_image_expansion"]))
}

#[test]
fn text_to_ids_and_back() {
    for (name, dir) in checkpoints() {
        let path = dir.join("cases/tokenizer.json");
        if !path.is_file() {
            continue;
        }
        let cases = read_json(&path);
        let mut report = Report::new(format!("models/{name}/cases/tokenizer.json"));
        for (source, tokenizer) in tokenizers(&dir) {
            report.case(&format!("{source}: vocabulary"), || {
                same("size", &(tokenizer.vocab_size() as u64), &cases["vocab_with_added"].as_u64().unwrap())
            });
            for case in cases["encode"].as_array().unwrap() {
                report.case(&format!("{source}: {}", case["text"]), || tokenizer_case(case, &tokenizer));
            }
            for case in cases["prefix_decode"].as_array().unwrap() {
                let ids = u32s(&case["ids"]);
                report.case(&format!("{source}: {ids:?}"), || {
                    let decoded = tokenizer.decode(&ids, false).map_err(text)?;
                    same("decoded", &decoded.as_str(), &case["decoded"].as_str().unwrap())?;
                    same("streamed", &streamed(&tokenizer, &ids, false), &decoded)
                });
            }
        }
        report.finish();
    }
}

/// From `tokenizer.json`, and from `vocab.json` and `merges.txt` where they are there too.
fn tokenizers(dir: &Path) -> Vec<(&'static str, Tokenizer)> {
    let mut found = vec![("tokenizer.json", Tokenizer::from_dir(dir).unwrap())];
    if dir.join("vocab.json").is_file() {
        let bare = tempfile::tempdir().unwrap();
        for file in ["vocab.json", "merges.txt", "tokenizer_config.json"] {
            fs_err::copy(dir.join(file), bare.path().join(file)).unwrap();
        }
        found.push(("vocab.json", Tokenizer::from_dir(bare.path()).unwrap()));
    }
    found
}

fn streamed(tokenizer: &Tokenizer, ids: &[u32], skip_special: bool) -> String {
    let mut stream = tokenizer.decode_stream(skip_special);
    let mut text: String = ids.iter().map(|&id| stream.push(id)).collect();
    text.push_str(&stream.finish());
    text
}

fn tokenizer_case(case: &Value, tokenizer: &Tokenizer) -> Outcome {
    let ids = tokenizer.encode(case["text"].as_str().unwrap()).map_err(text)?;
    same("ids", &ids, &u32s(&case["ids"]))?;
    for (field, skip_special) in [("decoded", false), ("decoded_skip_special", true)] {
        let decoded = tokenizer.decode(&ids, skip_special).map_err(text)?;
        same(field, &decoded.as_str(), &case[field].as_str().unwrap())?;
        same("streamed", &streamed(tokenizer, &ids, skip_special), &decoded)?;
    }
    Ok(())
}

/// One checkpoint, ready to begin conversations.
struct Checkpoint {
    tokenizer: Arc<Tokenizer>,
    template: ChatTemplate,
}

/// The tensors of a case that this crate is about.
struct Tensors {
    input_ids: Vec<Vec<u32>>,
    /// Image tokens per image.
    images: Vec<usize>,
    response_mask: Option<Vec<bool>>,
}

fn integers(tensors: &SafeTensors<'_>, name: &str) -> Option<(Vec<usize>, Vec<i32>)> {
    let tensor = tensors.tensor(name).ok()?;
    let (numbers, _) = tensor.data().as_chunks::<4>();
    Some((tensor.shape().to_vec(), numbers.iter().map(|bytes| i32::from_le_bytes(*bytes)).collect()))
}

fn read_tensors(path: &Path) -> Option<Tensors> {
    let bytes = fs_err::read(path).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let (shape, ids) = integers(&tensors, "input_ids")?;
    let attention = integers(&tensors, "attention_mask").map_or(vec![1; ids.len()], |(_, mask)| mask);
    let length = *shape.last()?;
    let input_ids = ids
        .chunks(length)
        .zip(attention.chunks(length))
        .map(|(ids, mask)| ids.iter().zip(mask).filter(|(_, valid)| **valid == 1).map(|(&id, _)| id as u32).collect())
        .collect();
    let grids = integers(&tensors, "image_grid_thw").map_or(Vec::new(), |(_, grids)| grids);
    let images = grids.chunks(3).map(|grid| grid.iter().product::<i32>() as usize / 4).collect();
    let response_mask = integers(&tensors, "response_mask").map(|(_, mask)| mask.iter().map(|&bit| bit == 1).collect());
    Some(Tensors { input_ids, images, response_mask })
}

#[test]
fn conversations_expand_to_the_recorded_ids() {
    for (name, dir) in checkpoints() {
        let template = ChatTemplate::from_dir(&dir).unwrap();
        let checkpoint = Checkpoint { tokenizer: Arc::new(Tokenizer::from_dir(&dir).unwrap()), template };
        let mut paths: Vec<PathBuf> =
            fs_err::read_dir(dir.join("cases")).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        for path in paths.iter().filter(|path| path.extension().is_some_and(|extension| extension == "json")) {
            let tensors_path = path.with_extension("safetensors");
            if !tensors_path.is_file() {
                continue;
            }
            let case = read_json(path);
            let Some(tensors) = read_tensors(&tensors_path) else { continue };
            let stem = path.file_stem().unwrap().to_string_lossy();
            let mut report = Report::new(format!("models/{name}/cases/{stem}.json"));
            report.case(&stem, || checkpoint.case(&case, &tensors));
            report.finish();
        }
    }
}

impl Checkpoint {
    fn setup(&self, profile: Profile, mode: Mode, images: Vec<ImageTokens>) -> Setup {
        let limits = Limits::for_context(1 << 20);
        let tokenizer = Arc::clone(&self.tokenizer);
        Setup { tokenizer, profile: Arc::new(profile), mode, images, limits, rules: Rules::Exact }
    }

    fn full(&self, images: &[usize]) -> Setup {
        let images = images.iter().map(|&full| ImageTokens { low: 1, full }).collect();
        self.setup(ProfileName::Compact.into(), Mode::Full, images)
    }

    fn case(&self, case: &Value, tensors: &Tensors) -> Outcome {
        if let Some(parts) = case.get("parts") {
            return self.rollout(parts, tensors);
        }
        if let Some(prompts) = case.get("prompts") {
            return self.batch(prompts, tensors);
        }
        let messages: Vec<Message> = serde_json::from_value(case["messages"].clone()).map_err(text)?;
        if case.get("template_kwargs").is_none_or(|kwargs| kwargs.as_object().is_some_and(Map::is_empty)) {
            self.messages(case, &messages, tensors)?;
        }
        let prompt = case["prompt"].as_str().unwrap();
        let raw = Conversation::from_prompt(self.full(&tensors.images), prompt).map_err(text)?;
        same("ids of the prompt", &raw.ids(), &tensors.input_ids[0].as_slice())
    }

    /// The template's text is the recorded one; a chat that ends with a reply begins with its prompt and grows by the reply.
    fn messages(&self, case: &Value, messages: &[Message], tensors: &Tensors) -> Outcome {
        let prompt = case["prompt"].as_str().unwrap();
        let options = RenderOptions {
            add_generation_prompt: prompt.ends_with("<|im_start|>assistant\n"),
            ..RenderOptions::default()
        };
        let rendered = self.template.render(messages, &options).map_err(text)?;
        same("prompt", &rendered.as_str(), &prompt)?;
        let end = if options.add_generation_prompt { messages.len() } else { messages.len() - 1 };
        let begun =
            Conversation::from_messages(self.full(&tensors.images), &self.template, &messages[..end]).map_err(text)?;
        let expected = &tensors.input_ids[0];
        if options.add_generation_prompt {
            return same("ids", &begun.ids(), &expected.as_slice());
        }
        same("ids before the reply", &begun.ids(), &&expected[..begun.ids().len()])?;
        let reply = &expected[begun.ids().len()..];
        let im_end = self.tokenizer.special().im_end;
        let stop = reply.iter().position(|&id| id == im_end).ok_or("no <|im_end|>")? + 1;
        let mut grown = begun.clone();
        grown.push_reply(&reply[..stop], FinishReason::Stop).map_err(text)?;
        let sampled = grown.response_mask().iter().filter(|&&sampled| sampled).count();
        let targets = case.get("target_tokens").and_then(Value::as_u64).map_or(sampled, |targets| targets as usize);
        same("sampled tokens", &sampled, &targets)
    }

    fn batch(&self, prompts: &Value, tensors: &Tensors) -> Outcome {
        let mut images = tensors.images.as_slice();
        for (prompt, expected) in prompts.as_array().unwrap().iter().zip(&tensors.input_ids) {
            let prompt = prompt.as_str().unwrap();
            let (own, rest) = images.split_at(prompt.matches("<|image_pad|>").count());
            images = rest;
            let conversation = Conversation::from_prompt(self.full(own), prompt).map_err(text)?;
            same("ids", &conversation.ids(), &expected.as_slice())?;
        }
        Ok(())
    }

    /// First prompt, a call, and the tool response, as a rollout puts them together.
    fn rollout(&self, parts: &Value, tensors: &Tensors) -> Outcome {
        let part = |index: usize| parts[index].as_str().unwrap();
        let mut profile = Profile::from(ProfileName::Visionthink);
        profile.image_suffix.clear();
        if let Some(tool) = &mut profile.tool {
            tool.response_turn = part(2).replace(IMAGE_PLACEHOLDER, "{images}");
        }
        let images = vec![ImageTokens { low: tensors.images[0], full: tensors.images[1] }];
        let setup = self.setup(profile, Mode::Adaptive, images);
        let mut conversation = Conversation::from_prompt(setup, part(0)).map_err(text)?;
        let reply = self.tokenizer.encode(part(1)).map_err(text)?;
        conversation.push_reply(&reply, FinishReason::Stop).map_err(text)?;
        same("ids", &conversation.ids(), &tensors.input_ids[0].as_slice())?;
        let mask = tensors.response_mask.clone().ok_or("no response_mask")?;
        same("response_mask", &conversation.response_mask(), &mask.as_slice())
    }
}

//! The tokenizer of the embedded model, made from the words of its world.
//!
//! A byte-level BPE in the layout of Qwen's, so that the same code reads both and transformers loads it, with a vocabulary in which every
//! word that the world or the protocol uses is one token. Any other text still has ids: bytes are tokens too.

mod merges;

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Map, Value, json};
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer, SplitDelimiterBehavior};
use visionthink_data::world::{self, Family, Size};
use visionthink_protocol::{Profile, ProfileName, TOOL_ACTION, TOOL_NAME};

use crate::error::TrainError;
use merges::{Merges, byte_alphabet};

/// Qwen's split into pieces that are merged separately; every digit is a piece of its own.
const SPLIT: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Tokens with a meaning of their own that are left out of decoded text.
const SPECIAL: [&str; 7] = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
];

/// Tags that stay visible in decoded text.
const TAGS: [&str; 8] = [
    "<tool_call>",
    "</tool_call>",
    "<tool_response>",
    "</tool_response>",
    "<think>",
    "</think>",
    "<answer>",
    "</answer>",
];

/// Rows of the embedding are a multiple of this.
const ROW_MULTIPLE: usize = 64;

/// Pictures a family whose questions are read for words; rare words show up long before.
const PICTURES: u64 = 400;

/// As Qwen's, without a default system prompt: the embedded model reads every token it is given.
const CHAT_TEMPLATE: &str = r"{%- for message in messages -%}
  {{- '<|im_start|>' + message.role + '\n' -}}
  {%- if message.content is string -%}
    {{- message.content -}}
  {%- else -%}
    {%- for part in message.content -%}
      {%- if part.type == 'image' or 'image' in part or 'image_url' in part -%}
        {{- '<|vision_start|><|image_pad|><|vision_end|>' -}}
      {%- elif part.type == 'video' or 'video' in part -%}
        {{- '<|vision_start|><|video_pad|><|vision_end|>' -}}
      {%- elif 'text' in part -%}
        {{- part.text -}}
      {%- endif -%}
    {%- endfor -%}
  {%- endif -%}
  {{- '<|im_end|>\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
  {{- '<|im_start|>assistant\n' -}}
{%- endif -%}
";

/// What a configuration has to agree with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MicroVocabulary {
    /// Tokens.
    pub entries: usize,
    /// Rows of the embedding: the entries, rounded up.
    pub rows: usize,
    /// Ids of the tokens with a meaning of their own and of the tags, in the order of the file.
    pub added: Vec<(String, u32)>,
}

/// Writes tokenizer, chat template, image processor and generation settings of the embedded model into `folder`. The same files every
/// time.
///
/// # Errors
/// A file cannot be written, or the split pattern does not compile.
pub fn build_micro_tokenizer(folder: &Path) -> Result<MicroVocabulary, TrainError> {
    let mut merges = Merges::default();
    for piece in pieces(&texts())? {
        merges.make_one_token(&piece);
    }
    let mut vocabulary = Map::new();
    let bytes = (0..=255).map(|byte| byte_alphabet(byte).to_string());
    let ordered: BTreeSet<String> = bytes.collect();
    for token in ordered.into_iter().chain(merges.tokens()) {
        let id = vocabulary.len();
        vocabulary.entry(token).or_insert(id.into());
    }
    let first_added = vocabulary.len();
    let added: Vec<(String, u32)> = SPECIAL
        .iter()
        .chain(&TAGS)
        .enumerate()
        .map(|(at, token)| ((*token).to_string(), (first_added + at) as u32))
        .collect();
    let entries = first_added + added.len();

    fs_err::create_dir_all(folder)?;
    write(folder, "tokenizer.json", &tokenizer_json(vocabulary, &merges, &added))?;
    write(folder, "tokenizer_config.json", &tokenizer_config(&added))?;
    write(folder, "preprocessor_config.json", &preprocessor_config())?;
    let id_of = |token: &str| added.iter().find(|(name, _)| name == token).map(|(_, id)| *id);
    write(
        folder,
        "generation_config.json",
        &json!({
            "bos_token_id": id_of("<|endoftext|>"),
            "pad_token_id": id_of("<|endoftext|>"),
            "eos_token_id": [id_of("<|im_end|>"), id_of("<|endoftext|>")],
            "do_sample": false,
        }),
    )?;
    Ok(MicroVocabulary { entries, rows: entries.next_multiple_of(ROW_MULTIPLE), added })
}

/// Everything the model reads or writes but for images: questions and answers, and the words of the protocol.
fn texts() -> BTreeSet<String> {
    let mut texts = BTreeSet::new();
    for family in Family::ALL {
        for size in [Size::CloseUp, Size::Whole] {
            for index in 0..PICTURES {
                let picture = world::draw(family, size, world::Split::Train, 0, index);
                for asked in picture.questions {
                    texts.insert(asked.question);
                    texts.insert(asked.answer);
                }
            }
        }
    }
    for role in ["system\n", "user\n", "assistant\n", "\n"] {
        texts.insert(role.to_string());
    }
    texts.insert(format!(r#"{{"name":"{TOOL_NAME}","arguments":{{"action":"{TOOL_ACTION}"}}}}"#));
    let compact = Profile::from(ProfileName::Compact);
    if let Some(tool) = compact.tool {
        texts.extend(tool.prompt.system);
        // The only word of the error turn; its tags are tokens already.
        texts.insert("error".to_string());
    }
    texts
}

/// The pieces the texts are split into, in the byte alphabet; for a word both with a space in front and without.
fn pieces(texts: &BTreeSet<String>) -> Result<BTreeSet<String>, TrainError> {
    let invalid = |error: tokenizers::Error| TrainError::Io(std::io::Error::other(error.to_string()));
    let split =
        Split::new(SplitPattern::Regex(SPLIT.to_string()), SplitDelimiterBehavior::Isolated, false).map_err(invalid)?;
    let mut pieces = BTreeSet::new();
    for text in texts {
        let mut pre = PreTokenizedString::from(text.as_str());
        split.pre_tokenize(&mut pre).map_err(invalid)?;
        for (piece, ..) in pre.get_splits(OffsetReferential::Original, OffsetType::Byte) {
            let bare = piece.strip_prefix(' ').unwrap_or(piece);
            pieces.insert(in_byte_alphabet(piece));
            if bare.chars().all(char::is_alphabetic) {
                pieces.insert(in_byte_alphabet(bare));
                pieces.insert(in_byte_alphabet(&format!(" {bare}")));
            }
        }
    }
    pieces.remove("");
    Ok(pieces)
}

fn in_byte_alphabet(text: &str) -> String {
    text.bytes().map(byte_alphabet).collect()
}

fn tokenizer_json(vocabulary: Map<String, Value>, merges: &Merges, added: &[(String, u32)]) -> Value {
    let added: Vec<Value> = added
        .iter()
        .map(|(content, id)| {
            json!({
                "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
                "special": SPECIAL.contains(&content.as_str()),
            })
        })
        .collect();
    let pairs: Vec<Value> = merges.pairs().map(|(left, right)| json!([left, right])).collect();
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": SPLIT}, "behavior": "Isolated", "invert": false},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false},
        ]},
        "post_processor": null,
        "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false},
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null, "end_of_word_suffix": null,
            "fuse_unk": false, "byte_fallback": false, "ignore_merges": false, "vocab": vocabulary, "merges": pairs,
        },
    })
}

fn tokenizer_config(added: &[(String, u32)]) -> Value {
    let decoder: Map<String, Value> = added
        .iter()
        .map(|(content, id)| {
            let entry = json!({
                "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
                "special": SPECIAL.contains(&content.as_str()),
            });
            (id.to_string(), entry)
        })
        .collect();
    json!({
        "tokenizer_class": "Qwen2Tokenizer",
        "added_tokens_decoder": decoder,
        "additional_special_tokens": SPECIAL[1..],
        "add_bos_token": false,
        "add_prefix_space": false,
        "bos_token": null,
        "clean_up_tokenization_spaces": false,
        "eos_token": "<|im_end|>",
        "errors": "replace",
        "model_max_length": 4096,
        "pad_token": "<|endoftext|>",
        "split_special_tokens": false,
        "unk_token": null,
        "chat_template": CHAT_TEMPLATE,
    })
}

fn preprocessor_config() -> Value {
    json!({
        "min_pixels": 3136,
        "max_pixels": 12_845_056,
        "patch_size": 14,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "image_mean": [0.481_454_66, 0.457_827_5, 0.408_210_73],
        "image_std": [0.268_629_54, 0.261_302_58, 0.275_777_11],
        "image_processor_type": "Qwen2VLImageProcessor",
        "processor_class": "Qwen2_5_VLProcessor",
    })
}

fn write(folder: &Path, name: &str, value: &Value) -> Result<(), TrainError> {
    Ok(fs_err::write(folder.join(name), format!("{value:#}\n"))?)
}

#[cfg(test)]
mod tests {
    use visionthink_protocol::Tokenizer;

    use super::*;

    fn built() -> (tempfile::TempDir, MicroVocabulary, Tokenizer) {
        let folder = tempfile::tempdir().unwrap();
        let vocabulary = build_micro_tokenizer(folder.path()).unwrap();
        let tokenizer = Tokenizer::from_dir(folder.path()).unwrap();
        (folder, vocabulary, tokenizer)
    }

    #[test]
    fn every_word_of_a_held_out_question_is_one_token() {
        let (_folder, _, tokenizer) = built();
        for family in Family::ALL {
            for index in 0..40 {
                for asked in world::draw(family, Size::Whole, world::Split::Test, 7, index).questions {
                    let words = asked.question.split(' ').count() + 1;
                    assert_eq!(tokenizer.encode(&asked.question).unwrap().len(), words, "{}", asked.question);
                    assert_eq!(
                        tokenizer.encode(&asked.answer).unwrap().len(),
                        asked.answer.split(' ').count(),
                        "{}",
                        asked.answer
                    );
                }
            }
        }
    }

    #[test]
    fn any_text_reads_back() {
        let (_folder, _, tokenizer) = built();
        for text in ["zürich 東京 12,50 €", "<answer>47</answer>", "a\n\n b\t<tool_call>{}</tool_call>", "…"] {
            assert_eq!(tokenizer.decode(&tokenizer.encode(text).unwrap(), true).unwrap(), text);
        }
        assert_eq!(tokenizer.encode("47").unwrap().len(), 2, "a digit is a token");
        assert_eq!(tokenizer.encode("<answer>red</answer><|im_end|>").unwrap().len(), 4);
    }

    #[test]
    fn the_files_are_the_same_every_time_and_the_ids_are_the_files() {
        let (first, vocabulary, tokenizer) = built();
        let (second, ..) = built();
        for name in ["tokenizer.json", "tokenizer_config.json", "preprocessor_config.json", "generation_config.json"] {
            assert_eq!(fs_err::read(first.path().join(name)).unwrap(), fs_err::read(second.path().join(name)).unwrap());
        }
        assert_eq!(tokenizer.vocab_size(), vocabulary.entries);
        assert_eq!(vocabulary.rows % 64, 0);
        for (token, id) in &vocabulary.added {
            assert_eq!(tokenizer.token_to_id(token), Some(*id));
        }
    }
}

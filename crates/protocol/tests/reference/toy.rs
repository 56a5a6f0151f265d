//! The toy tokenizer of the rollout vectors: ids 0 to 255 are bytes, special tokens have the ids of Qwen2.5-VL.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use visionthink_protocol::Tokenizer;

const SPECIAL: [&str; 22] = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|quad_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
    "<tool_call>",
    "</tool_call>",
    "<|fim_prefix|>",
    "<|fim_middle|>",
    "<|fim_suffix|>",
    "<|fim_pad|>",
    "<|repo_name|>",
    "<|file_sep|>",
];

pub(crate) const FIRST_SPECIAL: u32 = 151_643;
pub(crate) const IM_END: u32 = 151_645;

/// The character that a byte-level vocabulary writes a byte with.
fn byte_char(byte: u8) -> char {
    let printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    if printable(byte) {
        return char::from(byte);
    }
    let rank = (0..byte).filter(|&byte| !printable(byte)).count() as u32;
    char::from_u32(0x100 + rank).unwrap()
}

pub(crate) fn tokenizer() -> Arc<Tokenizer> {
    let mut vocab: Map<String, Value> =
        (0..=255).map(|byte: u8| (byte_char(byte).to_string(), Value::from(byte))).collect();
    let mut added = Vec::new();
    for (index, token) in SPECIAL.iter().enumerate() {
        let id = FIRST_SPECIAL + index as u32;
        vocab.insert((*token).to_owned(), id.into());
        added.push(json!({"id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": index < 14}));
    }
    let byte_level = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false});
    let file = json!({"version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "normalizer": null,
        "pre_tokenizer": byte_level, "post_processor": null, "decoder": byte_level,
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "vocab": vocab, "merges": []}});
    Arc::new(Tokenizer::from_json(file.to_string().as_bytes()).unwrap())
}

/// Pads of an image after the processor's resize, from the README of the vectors: sides to multiples of 28 within 56·56 and
/// 14·14·4·1280 pixels, one token per 28×28.
pub(crate) fn image_tokens(size: [f64; 2]) -> usize {
    let (factor, least, most) = (28.0, 56.0 * 56.0, 14.0 * 14.0 * 4.0 * 1280.0);
    let [width, height] = size;
    let mut sides = size.map(|side| (side / factor).round_ties_even() * factor);
    if sides[0] * sides[1] > most {
        let scale = (width * height / most).sqrt();
        sides = size.map(|side| ((side / scale / factor).floor() * factor).max(factor));
    } else if sides[0] * sides[1] < least {
        let scale = (least / (width * height)).sqrt();
        sides = size.map(|side| (side * scale / factor).ceil() * factor);
    }
    (sides[0] / factor * sides[1] / factor) as usize
}

#[test]
fn the_toy_tokenizer_is_the_one_described() {
    let toy = tokenizer();
    assert_eq!(toy.encode("aé <tool_call>").unwrap(), [97, 0xC3, 0xA9, 32, 151_657]);
    assert_eq!(toy.decode(&[0xFF, 97, IM_END, 151_658], true).unwrap(), "\u{FFFD}a</tool_call>");
    assert_eq!(toy.vocab_size(), 151_665);
    assert_eq!(image_tokens([112.0, 112.0]), 16);
}

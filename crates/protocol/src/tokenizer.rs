//! Text to ids and back, from the files of a checkpoint.

use std::collections::HashSet;
use std::fmt;
use std::path::Path;

use serde_json::{Value, json};
use tokenizers::{AddedToken, DecoderWrapper};

use crate::byte_level::{Utf8Pieces, token_bytes};
use crate::error::{ProtocolError, Result};
use crate::special::SpecialTokens;

/// How Qwen cuts text into pieces before merging; each digit is a piece of its own. Used for folders that have
/// `vocab.json` and `merges.txt` only, where no file says it.
const QWEN_SPLIT: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// A byte-level BPE tokenizer with the special tokens of a Qwen checkpoint.
#[derive(Clone)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    special: SpecialTokens,
    /// Ids that `decode` leaves out on request.
    skipped: HashSet<u32>,
    vocab_size: usize,
}

/// Without the vocabulary, which is too long to be shown.
impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokenizer").field("vocab_size", &self.vocab_size).finish_non_exhaustive()
    }
}

impl Tokenizer {
    /// Reads a checkpoint folder: `tokenizer.json`, or `vocab.json` and `merges.txt` under the Qwen rules. Added tokens
    /// that only `tokenizer_config.json` lists are added too, as transformers does.
    ///
    /// # Errors
    /// A missing or broken file, a decoder other than byte-level, an added token whose id is not the one its file gives,
    /// or a missing special token.
    pub fn from_dir(dir: &Path) -> Result<Self> {
        let config_path = dir.join("tokenizer_config.json");
        let added = if config_path.is_file() { added_tokens(&read_json(&config_path)?) } else { Vec::new() };
        let path = dir.join("tokenizer.json");
        if path.is_file() {
            return Self::build(&fs_err::read(&path)?, &added, &path.display().to_string());
        }
        if dir.join("vocab.json").is_file() && dir.join("merges.txt").is_file() {
            let json = from_vocab_and_merges(dir)?.to_string();
            return Self::build(json.as_bytes(), &added, &dir.join("vocab.json").display().to_string());
        }
        Err(ProtocolError::TokenizerMissing { dir: dir.to_owned() })
    }

    /// Reads the contents of a `tokenizer.json`.
    ///
    /// # Errors
    /// As [`Tokenizer::from_dir`], but for the files.
    pub fn from_json(json: &[u8]) -> Result<Self> {
        Self::build(json, &[], "tokenizer.json")
    }

    fn build(json: &[u8], config_tokens: &[(u32, AddedToken)], origin: &str) -> Result<Self> {
        let invalid = |source| ProtocolError::TokenizerInvalid { origin: origin.to_owned(), source };
        let mut inner = tokenizers::Tokenizer::from_bytes(json).map_err(invalid)?;
        // A file saved with truncation or padding switched on must not shorten or fill prompts.
        inner.with_truncation(None).map_err(invalid)?;
        inner.with_padding(None);
        match inner.get_decoder() {
            Some(DecoderWrapper::ByteLevel(_)) => {}
            other => return Err(ProtocolError::UnsupportedDecoder { found: decoder_name(other) }),
        }
        for (_, token) in config_tokens {
            if inner.token_to_id(&token.content).is_none() {
                inner.add_tokens([token.clone()]).map_err(invalid)?;
            }
        }
        check_ids(&inner, json, config_tokens, origin)?;
        let special = SpecialTokens::look_up(|token| inner.token_to_id(token))?;
        let skipped =
            inner.get_added_tokens_decoder().iter().filter(|(_, token)| token.special).map(|(&id, _)| id).collect();
        let vocab_size = inner.get_vocab(true).values().max().map_or(0, |&id| id as usize + 1);
        Ok(Self { inner, special, skipped, vocab_size })
    }

    /// Ids of a text. Added tokens written out in the text become their single ids; nothing is put around it.
    ///
    /// # Errors
    /// [`ProtocolError::Encode`].
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self.inner.encode_fast(text, false).map_err(|source| ProtocolError::Encode { source })?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Text of ids. `skip_special` leaves out the tokens marked special, which `<tool_call>` is not. Ids without a token
    /// give nothing, broken UTF-8 gives U+FFFD.
    ///
    /// # Errors
    /// [`ProtocolError::Decode`].
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String> {
        self.inner.decode(ids, skip_special).map_err(|source| ProtocolError::Decode { source })
    }

    /// A decoder that takes one id at a time, for streaming.
    pub fn decode_stream(&self, skip_special: bool) -> DecodeStream<'_> {
        DecodeStream { tokenizer: self, skip_special, pieces: Utf8Pieces::default() }
    }

    /// The id of a token, added or not.
    pub fn token_to_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// The token of an id as the vocabulary spells it (byte-level), `None` where no token has this id.
    pub fn id_to_token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// The bytes that a token stands for; half a character where the token is.
    pub fn bytes_of(&self, id: u32) -> Option<Vec<u8>> {
        self.id_to_token(id).map(|token| token_bytes(&token))
    }

    /// One more than the largest id, added tokens included. An embedding may have more rows; those ids mean nothing.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// Ids of the tokens the protocol speaks of.
    pub fn special(&self) -> &SpecialTokens {
        &self.special
    }

    /// Ids below `rows` (the rows of the output head) that a sampler should never give: the image and video pads, which
    /// stand for pixels nobody supplied, and ids without a token.
    pub fn suppressed_ids(&self, rows: usize) -> Vec<u32> {
        let pads = [Some(self.special.image_pad), self.special.video_pad];
        (0..rows as u32).filter(|&id| pads.contains(&Some(id)) || self.id_to_token(id).is_none()).collect()
    }
}

/// Decodes id by id without ever showing half a character; see [`Tokenizer::decode_stream`].
///
/// The pieces and the final [`DecodeStream::finish`] add up to what [`Tokenizer::decode`] gives for all ids.
#[derive(Debug)]
pub struct DecodeStream<'a> {
    tokenizer: &'a Tokenizer,
    skip_special: bool,
    pieces: Utf8Pieces,
}

impl DecodeStream<'_> {
    /// Adds one id and returns the text that is certain now, possibly empty.
    pub fn push(&mut self, id: u32) -> String {
        if self.skip_special && self.tokenizer.skipped.contains(&id) {
            return String::new();
        }
        match self.tokenizer.id_to_token(id) {
            Some(token) => self.pieces.push(&token_bytes(&token)),
            None => String::new(),
        }
    }

    /// Ends the text: what was still half a character becomes U+FFFD.
    pub fn finish(mut self) -> String {
        self.pieces.finish()
    }
}

fn read_json(path: &Path) -> Result<Value> {
    let bytes = fs_err::read(path)?;
    serde_json::from_slice(&bytes).map_err(|source| ProtocolError::Json { path: path.to_owned(), source })
}

/// `added_tokens_decoder` of `tokenizer_config.json`, by id.
fn added_tokens(config: &Value) -> Vec<(u32, AddedToken)> {
    let Some(entries) = config.get("added_tokens_decoder").and_then(Value::as_object) else {
        return Vec::new();
    };
    let flag = |entry: &Value, name: &str| entry.get(name).and_then(Value::as_bool).unwrap_or(false);
    let mut tokens: Vec<(u32, AddedToken)> = entries
        .iter()
        .filter_map(|(id, entry)| {
            let content = entry.get("content")?.as_str()?;
            let token = AddedToken::from(content, flag(entry, "special"))
                .single_word(flag(entry, "single_word"))
                .lstrip(flag(entry, "lstrip"))
                .rstrip(flag(entry, "rstrip"))
                .normalized(flag(entry, "normalized"));
            Some((id.parse().ok()?, token))
        })
        .collect();
    tokens.sort_by_key(|(id, _)| *id);
    tokens
}

/// The `tokenizer.json` that `vocab.json` and `merges.txt` stand for under the Qwen rules.
fn from_vocab_and_merges(dir: &Path) -> Result<Value> {
    let vocab = read_json(&dir.join("vocab.json"))?;
    let merges = fs_err::read_to_string(dir.join("merges.txt"))?;
    let merges: Vec<&str> = merges.lines().filter(|line| !line.starts_with("#version") && !line.is_empty()).collect();
    Ok(json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": [],
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": QWEN_SPLIT}, "behavior": "Isolated", "invert": false},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false},
        ]},
        "post_processor": null,
        "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false},
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "vocab": vocab, "merges": merges},
    }))
}

/// The tokenizer library numbers added tokens itself and only warns when a file disagrees; here that is an error.
fn check_ids(
    inner: &tokenizers::Tokenizer,
    json: &[u8],
    config_tokens: &[(u32, AddedToken)],
    origin: &str,
) -> Result<()> {
    #[derive(serde::Deserialize)]
    struct File {
        #[serde(default)]
        added_tokens: Vec<Entry>,
    }
    #[derive(serde::Deserialize)]
    struct Entry {
        id: u32,
        content: String,
    }
    let file: File = serde_json::from_slice(json)
        .map_err(|source| ProtocolError::TokenizerInvalid { origin: origin.to_owned(), source: source.into() })?;
    let from_file = file.added_tokens.into_iter().map(|entry| (entry.id, entry.content));
    let from_config = config_tokens.iter().map(|(id, token)| (*id, token.content.clone()));
    for (expected, token) in from_file.chain(from_config) {
        let found = inner.token_to_id(&token);
        if found != Some(expected) {
            return Err(ProtocolError::TokenIdMismatch { token, expected, found });
        }
    }
    Ok(())
}

fn decoder_name(decoder: Option<&DecoderWrapper>) -> String {
    decoder
        .and_then(|decoder| serde_json::to_value(decoder).ok())
        .and_then(|value| value.get("type")?.as_str().map(str::to_owned))
        .unwrap_or_else(|| "none".to_owned())
}

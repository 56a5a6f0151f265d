//! What is measured: the same ids, picture and numbers of tokens for this program and for its peers.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use visionthink_engine::ModelFolder;
use visionthink_image::{Patches, RgbImage, low_view};
use visionthink_protocol::Tokenizer;

/// Text whose tokens the prompts are made of: ordinary ids of any tokenizer.
const TEXT: &str = "Which marker stands beside the tallest bar, and what is the number on it? The red one reads 47.";

/// A page large enough for a released model's grid to matter: 704 image tokens, 176 at half size.
const PAGE_PX: (u32, u32) = (896, 616);
/// The size of the embedded model's pictures.
const SMALL_PAGE_PX: (u32, u32) = (112, 112);
/// Below this width a checkpoint is measured on pictures of [`SMALL_PAGE_PX`].
const SMALL_HIDDEN_SIZE: usize = 256;

/// The work, as `workload.json` gives it to the peers.
#[derive(Debug, Serialize)]
pub(crate) struct Workload {
    /// The checkpoint folder.
    pub(crate) checkpoint: PathBuf,
    /// Threads of every program.
    pub(crate) threads: usize,
    /// How often each measurement is repeated; the median counts.
    pub(crate) repeats: usize,
    /// A PNG file.
    pub(crate) image: PathBuf,
    pub(crate) prefill: Prefill,
    pub(crate) decode: Decode,
    pub(crate) two_turns: TwoTurns,
    #[serde(skip)]
    pub(crate) folder: ModelFolder,
}

/// One prompt of text.
#[derive(Debug, Serialize)]
pub(crate) struct Prefill {
    pub(crate) ids: Vec<u32>,
}

/// Prompts that are decoded together.
#[derive(Debug, Serialize)]
pub(crate) struct Decode {
    /// Prompts of one length, as many as the largest batch.
    pub(crate) ids: Vec<Vec<u32>>,
    /// How many of them.
    pub(crate) batches: [usize; 2],
    /// Decode steps.
    pub(crate) new_tokens: usize,
}

/// A question about the half-size picture, then the picture itself.
#[derive(Debug, Serialize)]
pub(crate) struct TwoTurns {
    /// The first prompt, the half-size picture expanded.
    pub(crate) first_ids: Vec<u32>,
    /// What follows the first reply, the full picture expanded.
    pub(crate) second_ids: Vec<u32>,
    /// Tokens of each reply.
    pub(crate) new_tokens: usize,
}

impl Workload {
    /// Opens the checkpoint, draws the picture into `out` and lays out the ids.
    pub(crate) fn new(checkpoint: &Path, out: &Path) -> Result<Self> {
        let folder = ModelFolder::open(checkpoint)?;
        let processor = folder.processor.as_ref().context("the checkpoint has no image processor")?;
        let small = folder.config.text.hidden_size < SMALL_HIDDEN_SIZE;
        let (width, height) = if small { SMALL_PAGE_PX } else { PAGE_PX };
        let picture = page(width, height)?;
        let image = fs_err::canonicalize(out)?.join("page.png");
        fs_err::write(&image, picture.encode_png()?)?;

        let words = folder.tokenizer.encode(TEXT)?;
        ensure!(!words.is_empty(), "the tokenizer makes no tokens of plain text");
        let text = |start: usize, length: usize| -> Vec<u32> {
            (0..length).map(|index| words[(start + index * (start % 3 + 1)) % words.len()]).collect()
        };

        let low = processor.process(&low_view(&picture)?)?;
        let full = processor.process(&picture)?;
        let tokens = |patches: &Patches| patches.grid.tokens(processor.merge_size);
        let image_token = folder.config.image_token_id().context("the checkpoint has no image token")?;
        let ask = |prefix: &str, question: &str, image_tokens: usize| {
            let prompt = format!(
                "{prefix}<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>{question}<|im_end|>\n<|im_start|>assistant\n"
            );
            expand(&folder.tokenizer, &prompt, image_token, image_tokens)
        };
        let two_turns = TwoTurns {
            first_ids: ask("", "What is the number beside the red square?", tokens(&low))?,
            second_ids: ask("<|im_end|>\n", "Here is the picture at full size.", tokens(&full))?,
            new_tokens: 16,
        };

        Ok(Self {
            checkpoint: fs_err::canonicalize(checkpoint)?,
            threads: rayon::current_num_threads(),
            repeats: 5,
            image,
            prefill: Prefill { ids: text(0, 512) },
            decode: Decode { ids: (0..16).map(|row| text(row, 64)).collect(), batches: [1, 16], new_tokens: 64 },
            two_turns,
            folder,
        })
    }

    /// Writes it for the peers.
    pub(crate) fn write(&self, file: &Path) -> Result<()> {
        Ok(fs_err::write(file, serde_json::to_string(self)?)?)
    }
}

/// The ids of a prompt with its one image placeholder repeated `image_tokens` times.
pub(crate) fn expand(tokenizer: &Tokenizer, prompt: &str, image_token: u32, image_tokens: usize) -> Result<Vec<u32>> {
    let plain = tokenizer.encode(prompt)?;
    let found = plain.iter().filter(|id| **id == image_token).count();
    ensure!(found == 1, "`<|image_pad|>` is {found} tokens of this tokenizer, expected 1");
    let times = |id: u32| if id == image_token { image_tokens } else { 1 };
    Ok(plain.into_iter().flat_map(|id| std::iter::repeat_n(id, times(id))).collect())
}

/// A drawn page: paper with a gradient, and dark bars on it.
pub(crate) fn page(width: u32, height: u32) -> Result<RgbImage> {
    let mut pixels = Vec::with_capacity(width as usize * height as usize * 3);
    for y in 0..height {
        for x in 0..width {
            let bar = (x / 24) % 3 == 1 && y > height / 4 + (x / 24 * 37) % (height / 2);
            let paper = [250, (200 + y * 50 / height) as u8, (180 + x * 60 / width) as u8];
            let ink = [(x * 5 % 90) as u8, 60, (y * 7 % 160) as u8];
            pixels.extend(if bar { ink } else { paper });
        }
    }
    Ok(RgbImage::new(width, height, pixels)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_has_a_placeholder_for_every_image_token() {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/models/qwen2_5_vl-a");
        let out = std::env::temp_dir().join(format!("visionthink-bench-{}", std::process::id()));
        fs_err::create_dir_all(&out).unwrap();
        let workload = Workload::new(&fixture, &out).unwrap();
        let image_token = workload.folder.config.image_token_id().unwrap();
        let count = |ids: &[u32]| ids.iter().filter(|id| **id == image_token).count();
        // 112 x 112 pixels are 4 x 4 tokens of 28 pixels, and a quarter at half size.
        assert_eq!(count(&workload.two_turns.first_ids), 4);
        assert_eq!(count(&workload.two_turns.second_ids), 16);
        assert_eq!(count(&workload.prefill.ids), 0);
        fs_err::remove_dir_all(&out).unwrap();
    }
}

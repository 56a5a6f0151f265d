//! The synthetic world: drawn pictures with questions that do or do not need the full image.
//!
//! A picture is 112 pixels square, so it costs 16 visual tokens in full and 4 at half size; close-ups of 56 pixels (4 and 1 tokens) hold less
//! of the same and are where training starts ([`Size`]). Three families mirror the kinds of
//! benchmark that the method is measured on: [`Family::Scene`] (coloured shapes with small codes and fine patterns), [`Family::Chart`] (bars
//! with small numbers under them) and [`Family::Document`] (a large title over rows of markers with small numbers). Colours, shapes, counts,
//! places and titles survive halving; one-digit codes and patterns of a two-pixel period do not.
//!
//! Drawing is deterministic in (split, seed, family, index) and both splits use disjoint random streams. Glyphs, shapes and layout are drawn
//! by this module alone.

mod canvas;
mod chart;
mod document;
mod glyphs;
mod palette;
mod scene;

use std::str::FromStr;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use visionthink_image::RgbImage;

use canvas::Canvas;

/// How large a picture is.
///
/// Resolution is native, so a model that has learned to read on close-ups reads the same glyphs in whole pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Size {
    /// 56 pixels: 4 × 4 patches. Training only.
    CloseUp,
    /// 112 pixels: 8 × 8 patches of 14, 4 × 4 merged patches of 28.
    Whole,
}

impl Size {
    /// Width and height in pixels.
    pub fn side_px(self) -> u32 {
        match self {
            Self::CloseUp => 56,
            Self::Whole => 112,
        }
    }
}

/// The patch lattice that small glyphs are snapped to.
///
/// A glyph cut by a patch border has to be read by two patches together, which a small model learns an order of magnitude slower.
pub(crate) const PATCH_PX: i32 = 14;

/// A kind of picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// One to four coloured shapes, each with a pattern and a code.
    Scene,
    /// Two to four bars with a number under each.
    Chart,
    /// A title over rows of markers with a number beside each.
    Document,
}

impl Family {
    /// All families, in the order of reports.
    pub const ALL: [Self; 3] = [Self::Scene, Self::Chart, Self::Document];

    /// The lower-case name used in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scene => "scene",
            Self::Chart => "chart",
            Self::Document => "document",
        }
    }
}

impl FromStr for Family {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|family| family.name() == name)
            .ok_or_else(|| format!("unknown family `{name}`; expected `scene`, `chart` or `document`"))
    }
}

/// Which random streams are drawn from; the two never meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// Pictures for training.
    Train,
    /// Held-out pictures.
    Test,
}

impl Split {
    /// The lower-case name used in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Test => "test",
        }
    }
}

impl FromStr for Split {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "train" => Ok(Self::Train),
            "test" => Ok(Self::Test),
            _ => Err(format!("unknown split `{name}`; expected `train` or `test`")),
        }
    }
}

/// What a question asks about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Topic {
    /// The colour of something.
    Colour,
    /// The form of something.
    Shape,
    /// How many of something there are.
    Count,
    /// Where something is, or what is at a place.
    Place,
    /// Whether something is there, or how two things compare.
    YesNo,
    /// Which of several is the largest or the smallest.
    Compare,
    /// Large letters.
    Title,
    /// A small digit; needs the full image.
    Code,
    /// A fine pattern; needs the full image.
    Pattern,
}

/// One question about a picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The text of the question.
    pub question: String,
    /// The one right answer.
    pub answer: String,
    /// What it asks about.
    pub topic: Topic,
}

impl Asked {
    fn new(topic: Topic, question: impl Into<String>, answer: impl Into<String>) -> Self {
        Self { question: question.into(), answer: answer.into(), topic }
    }

    /// Whether the answer is invisible at half size. For measuring, never for training.
    pub fn needs_full(&self) -> bool {
        matches!(self.topic, Topic::Code | Topic::Pattern)
    }
}

/// A picture and every question that can be asked about it.
#[derive(Clone, Debug)]
pub struct Picture {
    /// The drawn image, square.
    pub image: RgbImage,
    /// The questions, in a fixed order.
    pub questions: Vec<Asked>,
}

/// Draws picture `index` of a family. Equal arguments give equal pictures on every machine.
pub fn draw(family: Family, size: Size, split: Split, seed: u64, index: u64) -> Picture {
    let mut random = stream(family, size, split, seed, index);
    let canvas = Canvas::paper(size.side_px() as i32, &mut random);
    let (canvas, questions) = match family {
        Family::Scene => scene::draw(canvas, &mut random),
        Family::Chart => chart::draw(canvas, &mut random),
        Family::Document => document::draw(canvas, &mut random),
    };
    Picture { image: canvas.finish(&mut random), questions }
}

/// Draws whole picture `index` and one question of it: with probability one half a question that needs the full image, and every topic of that
/// kind with equal probability, so that topics with many possible questions do not crowd out the others.
pub fn draw_one(family: Family, split: Split, seed: u64, index: u64) -> (RgbImage, Asked) {
    let mut picture = draw(family, Size::Whole, split, seed, index);
    // A stream of its own, so that asking does not change what is drawn.
    let mut random = stream(family, Size::Whole, split, seed ^ 0x51_7c_c1_b7_27_22_0a_95, index);
    let needs_full = random.random_bool(0.5);
    picture.questions.retain(|asked| asked.needs_full() == needs_full);
    let mut topics: Vec<Topic> = picture.questions.iter().map(|asked| asked.topic).collect();
    topics.sort_unstable();
    topics.dedup();
    let topic = *pick(&mut random, &topics);
    picture.questions.retain(|asked| asked.topic == topic);
    let asked = picture.questions.swap_remove(random.random_range(0..picture.questions.len()));
    (picture.image, asked)
}

fn stream(family: Family, size: Size, split: Split, seed: u64, index: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&index.to_le_bytes());
    key[16] = family as u8;
    key[17] = split as u8;
    key[18] = size as u8;
    key[24..].copy_from_slice(b"vt-world");
    ChaCha8Rng::from_seed(key)
}

/// One element of a list that is never empty.
fn pick<'a, T>(random: &mut ChaCha8Rng, from: &'a [T]) -> &'a T {
    &from[random.random_range(0..from.len())]
}

/// The first `n` elements of a random order of `from`.
fn choose<T: Copy>(random: &mut ChaCha8Rng, from: &[T], n: usize) -> Vec<T> {
    let mut rest = from.to_vec();
    (0..n.min(from.len())).map(|_| rest.swap_remove(random.random_range(0..rest.len()))).collect()
}

/// Names of places in a row of `n`.
fn ordinal(i: usize) -> &'static str {
    ["first", "second", "third", "fourth"][i]
}

//! Named colours.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Red, green and blue levels.
pub(crate) type Rgb = [u8; 3];

/// A colour that questions can name. Levels stay 40 away from 0 and 255, so that a pattern of ±[`PATTERN_DEPTH`] around them keeps their mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Colour {
    pub(crate) name: &'static str,
    level: Rgb,
}

/// Half of the difference between the two tones of a fine pattern.
pub(crate) const PATTERN_DEPTH: i32 = 34;

pub(crate) const COLOURS: [Colour; 6] = [
    Colour { name: "red", level: [205, 48, 48] },
    Colour { name: "green", level: [48, 155, 70] },
    Colour { name: "blue", level: [50, 85, 205] },
    Colour { name: "yellow", level: [212, 190, 48] },
    Colour { name: "purple", level: [145, 60, 170] },
    Colour { name: "orange", level: [212, 118, 44] },
];

impl Colour {
    /// The colour with a little variation from picture to picture.
    pub(crate) fn shade(self, random: &mut ChaCha8Rng) -> Rgb {
        self.level.map(|level| (i32::from(level) + random.random_range(-8..=8)) as u8)
    }
}

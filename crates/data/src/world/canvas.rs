//! A square picture to draw on.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use visionthink_image::RgbImage;

use super::PATCH_PX;
use super::glyphs::{GLYPH_HEIGHT, GLYPH_WIDTH, rows};
use super::palette::Rgb;

/// The ink of small text.
pub(crate) const INK: Rgb = [36, 36, 40];

/// The white plate behind codes on shapes.
pub(crate) const PLATE: Rgb = [250, 250, 250];

/// Largest deviation of the noise, per channel and pixel.
const NOISE: i32 = 6;

/// How much the light differs from one edge of the picture to the other, in thousandths: red falls and blue rises from left to right, and
/// green falls from top to bottom, as under a warm lamp at the upper left.
///
/// It makes the place on the page something that can be seen. A vision tower that knows only relative positions cannot tell one piece of
/// blank paper from another, and a decoder of this size takes a million pictures to work out places from the order of its tokens.
const LIGHT_PER_MILLE: i32 = 120;

pub(crate) struct Canvas {
    side: i32,
    pixels: Vec<Rgb>,
}

impl Canvas {
    /// Blank paper of a light tint.
    pub(crate) fn paper(side: i32, random: &mut ChaCha8Rng) -> Self {
        let tint = [(); 3].map(|()| random.random_range(236..=252));
        Self { side, pixels: vec![tint; (side * side) as usize] }
    }

    /// Width and height in pixels.
    pub(crate) fn side(&self) -> i32 {
        self.side
    }

    pub(crate) fn set(&mut self, x: i32, y: i32, colour: Rgb) {
        let side = self.side;
        if (0..side).contains(&x) && (0..side).contains(&y) {
            self.pixels[(y * side + x) as usize] = colour;
        }
    }

    /// Fills x0..x1 × y0..y1 where `inside(x, y)`, with the colour of each pixel.
    pub(crate) fn fill(&mut self, [x0, y0, x1, y1]: [i32; 4], colour: impl Fn(i32, i32) -> Option<Rgb>) {
        for y in y0..y1 {
            for x in x0..x1 {
                if let Some(colour) = colour(x, y) {
                    self.set(x, y, colour);
                }
            }
        }
    }

    pub(crate) fn rectangle(&mut self, area: [i32; 4], colour: Rgb) {
        self.fill(area, |_, _| Some(colour));
    }

    /// A glyph with its upper left corner at (x, y), each dot `scale` pixels wide.
    pub(crate) fn glyph(&mut self, character: char, x: i32, y: i32, scale: i32, ink: Rgb) {
        for (row, bits) in rows(character).into_iter().enumerate() {
            for column in 0..GLYPH_WIDTH {
                if bits >> (GLYPH_WIDTH - 1 - column) & 1 == 1 {
                    let (left, top) = (x + column * scale, y + row as i32 * scale);
                    self.rectangle([left, top, left + scale, top + scale], ink);
                }
            }
        }
    }

    /// A small digit in the middle of the patch at lattice column and row.
    pub(crate) fn code(&mut self, digit: u32, column: i32, row: i32) {
        let x = column * PATCH_PX + (PATCH_PX - GLYPH_WIDTH) / 2;
        let y = row * PATCH_PX + (PATCH_PX - GLYPH_HEIGHT) / 2;
        self.glyph(char::from_digit(digit, 10).expect("a digit below ten"), x, y, 1, INK);
    }

    /// Lights the picture, adds noise and hands it over.
    pub(crate) fn finish(self, random: &mut ChaCha8Rng) -> RgbImage {
        let side = self.side as u32;
        let mut pixels = Vec::with_capacity(self.pixels.len() * 3);
        for (at, pixel) in self.pixels.iter().enumerate() {
            let (x, y) = (at as i32 % self.side, at as i32 / self.side);
            let light = light(x, y, self.side);
            // One draw serves three channels: drawing is on the training path.
            let noise = random.random_range(0..(2 * NOISE + 1).pow(3));
            for (channel, level) in pixel.iter().enumerate() {
                let offset = noise / (2 * NOISE + 1).pow(channel as u32) % (2 * NOISE + 1) - NOISE;
                let level = i32::from(*level) * (1000 + light[channel]) / 1000;
                pixels.push((level + offset).clamp(0, 255) as u8);
            }
        }
        RgbImage { width: side, height: side, pixels }
    }
}

/// What the light adds to red, green and blue at a pixel, in thousandths. Never positive, so that white paper is not cut off.
fn light(x: i32, y: i32, side: i32) -> [i32; 3] {
    let (across, down) = (LIGHT_PER_MILLE * x / side, LIGHT_PER_MILLE * y / side);
    [-across, -down, across - LIGHT_PER_MILLE]
}

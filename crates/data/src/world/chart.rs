//! A bar chart with a small number under each bar.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::canvas::Canvas;
use super::palette::{COLOURS, Colour, Rgb};
use super::{Asked, PATCH_PX, Topic, choose, pick};

/// Width of a bar's column: one merged patch.
const COLUMN_PX: i32 = 2 * PATCH_PX;

const AXIS: Rgb = [120, 120, 125];

/// Heights differ by at least this much, six pixels at half size.
const STEP_PX: i32 = 12;

/// Most that a bar exceeds its step by, and a margin.
const HEADROOM_PX: i32 = 12;

struct Bar {
    colour: Colour,
    height_px: i32,
    digit: u32,
}

pub(crate) fn draw(mut canvas: Canvas, random: &mut ChaCha8Rng) -> (Canvas, Vec<Asked>) {
    let columns = canvas.side() / COLUMN_PX;
    // Everything below the base line belongs to the numbers.
    let base = canvas.side() - PATCH_PX;
    let n = random.random_range(2..=columns as usize);
    let colours = choose(random, &COLOURS, n);
    let steps: Vec<i32> = (1..=(base - HEADROOM_PX) / STEP_PX).collect();
    let heights = choose(random, &steps, n);
    let mut bars = Vec::with_capacity(n);
    for (i, (colour, height)) in colours.into_iter().zip(heights).enumerate() {
        let bar = Bar {
            colour,
            height_px: height * STEP_PX + random.random_range(4..=10),
            digit: random.random_range(0..10),
        };
        paint(&mut canvas, &bar, i as i32, base, random);
        bars.push(bar);
    }
    let side = canvas.side();
    canvas.rectangle([0, base - 1, side, base], AXIS);
    let questions = ask(&bars, random);
    (canvas, questions)
}

fn paint(canvas: &mut Canvas, bar: &Bar, column: i32, base: i32, random: &mut ChaCha8Rng) {
    let shade = bar.colour.shade(random);
    let left = column * COLUMN_PX + random.random_range(3..=6);
    let right = left + random.random_range(17..=20);
    canvas.rectangle([left, base - bar.height_px, right, base - 1], shade);
    canvas.code(bar.digit, 2 * column + random.random_range(0..=1), base / PATCH_PX);
}

fn ask(bars: &[Bar], random: &mut ChaCha8Rng) -> Vec<Asked> {
    let mut asked = vec![Asked::new(Topic::Count, "How many bars are there?", bars.len().to_string())];
    let tallest = bars.iter().max_by_key(|bar| bar.height_px).expect("at least two bars");
    let shortest = bars.iter().min_by_key(|bar| bar.height_px).expect("at least two bars");
    asked.push(Asked::new(Topic::Compare, "Which bar is the tallest?", tallest.colour.name));
    asked.push(Asked::new(Topic::Compare, "Which bar is the shortest?", shortest.colour.name));
    let first = &bars[0];
    asked.push(Asked::new(Topic::Colour, "What colour is the first bar?", first.colour.name));
    asked.push(Asked::new(Topic::Code, "What number is under the first bar?", first.digit.to_string()));
    for bar in bars {
        let question = format!("What number is under the {} bar?", bar.colour.name);
        asked.push(Asked::new(Topic::Code, question, bar.digit.to_string()));
    }
    let pair = choose(random, &(0..bars.len()).collect::<Vec<_>>(), 2);
    let (a, b) = (&bars[pair[0]], &bars[pair[1]]);
    let question = format!("Is the {} bar taller than the {} bar?", a.colour.name, b.colour.name);
    asked.push(Asked::new(Topic::YesNo, question, if a.height_px > b.height_px { "yes" } else { "no" }));
    let named = pick(random, &COLOURS).name;
    let there = bars.iter().any(|bar| bar.colour.name == named);
    asked.push(Asked::new(Topic::YesNo, format!("Is there a {named} bar?"), if there { "yes" } else { "no" }));
    asked
}

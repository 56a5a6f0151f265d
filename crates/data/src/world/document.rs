//! A page with a large title and rows of coloured markers, each with a small number.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::canvas::{Canvas, INK};
use super::glyphs::GLYPH_WIDTH;
use super::palette::{COLOURS, Colour, Rgb};
use super::{Asked, PATCH_PX, Topic, choose, ordinal, pick};

const TITLES: [&str; 12] =
    ["MENU", "BILL", "NOTE", "LIST", "PLAN", "RATE", "TEXT", "POST", "FORM", "CARD", "TASK", "SALE"];

/// Height of a row, and width of the cell that holds a marker and its number: one merged patch.
const CELL_PX: i32 = 2 * PATCH_PX;

/// Dots of the title's letters are this wide; at half size a letter is still seven pixels wide.
const TITLE_SCALE: i32 = 3;

const GREEKED: Rgb = [170, 170, 175];

struct Entry {
    colour: Colour,
    digit: u32,
}

pub(crate) fn draw(mut canvas: Canvas, random: &mut ChaCha8Rng) -> (Canvas, Vec<Asked>) {
    let rows = canvas.side() / CELL_PX;
    // A close-up has no room for a title.
    let title = (rows > 2).then(|| *pick(random, &TITLES));
    let (mut x, y) = (random.random_range(4..=8), random.random_range(2..=5));
    for letter in title.unwrap_or_default().chars() {
        canvas.glyph(letter, x, y, TITLE_SCALE, INK);
        x += (GLYPH_WIDTH + 1) * TITLE_SCALE;
    }
    let top = i32::from(title.is_some());
    let n = random.random_range(1..=(rows - top) as usize);
    let cell = random.random_range(0..=1);
    let mut entries = Vec::with_capacity(n);
    for (i, colour) in choose(random, &COLOURS, n).into_iter().enumerate() {
        let entry = Entry { colour, digit: random.random_range(0..10) };
        paint(&mut canvas, &entry, cell, i as i32 + top, random);
        entries.push(entry);
    }
    let questions = ask(title, &entries, random);
    (canvas, questions)
}

fn paint(canvas: &mut Canvas, entry: &Entry, cell: i32, row: i32, random: &mut ChaCha8Rng) {
    let shade = entry.colour.shade(random);
    let (left, top) = (cell * CELL_PX, row * CELL_PX);
    let line = random.random_range(0..=1);
    let (cx, cy) = (left + 6 + random.random_range(0..=1), top + line * PATCH_PX + 6 + random.random_range(0..=1));
    canvas.fill([left, top, left + CELL_PX, top + CELL_PX], |x, y| {
        ((x - cx).pow(2) + (y - cy).pow(2) <= 36).then_some(shade)
    });
    canvas.code(entry.digit, 2 * cell + 1, 2 * row + line);
    let from = left + CELL_PX + random.random_range(2..=6);
    let to = canvas.side() - random.random_range(4..=24);
    canvas.rectangle([from, cy - 1, to, cy + 1], GREEKED);
}

fn ask(title: Option<&str>, entries: &[Entry], random: &mut ChaCha8Rng) -> Vec<Asked> {
    let mut asked = vec![Asked::new(Topic::Count, "How many markers are there?", entries.len().to_string())];
    asked.extend(title.map(|title| Asked::new(Topic::Title, "What is the title?", title)));
    let first = &entries[0];
    asked.push(Asked::new(Topic::Colour, "What colour is the first marker?", first.colour.name));
    asked.push(Asked::new(Topic::Code, "What number is in the first row?", first.digit.to_string()));
    for (i, entry) in entries.iter().enumerate() {
        let colour = entry.colour.name;
        asked.push(Asked::new(Topic::Place, format!("In which row is the {colour} marker?"), ordinal(i)));
        let question = format!("What number is beside the {colour} marker?");
        asked.push(Asked::new(Topic::Code, question, entry.digit.to_string()));
    }
    let named = pick(random, &COLOURS).name;
    let there = entries.iter().any(|entry| entry.colour.name == named);
    asked.push(Asked::new(Topic::YesNo, format!("Is there a {named} marker?"), if there { "yes" } else { "no" }));
    asked
}

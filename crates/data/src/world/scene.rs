//! Coloured shapes in the quarters of the picture; a close-up is one quarter.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::canvas::{Canvas, PLATE};
use super::palette::{COLOURS, Colour, PATTERN_DEPTH, Rgb};
use super::{Asked, PATCH_PX, Topic, choose, pick};

/// Side of the square that holds one shape.
const QUARTER_PX: i32 = 4 * PATCH_PX;

const PLACES: [&str; 4] = ["top left", "top right", "bottom left", "bottom right"];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Circle,
    Square,
    Triangle,
    Cross,
}

impl Shape {
    const ALL: [Self; 4] = [Self::Circle, Self::Square, Self::Triangle, Self::Cross];

    fn name(self) -> &'static str {
        match self {
            Self::Circle => "circle",
            Self::Square => "square",
            Self::Triangle => "triangle",
            Self::Cross => "cross",
        }
    }

    /// Whether the point (dx, dy) from the centre belongs to a shape of the given reach.
    fn contains(self, dx: i32, dy: i32, reach: i32) -> bool {
        match self {
            Self::Circle => dx * dx + dy * dy <= reach * reach,
            Self::Square => dx.abs().max(dy.abs()) <= reach - 3,
            Self::Triangle => dy <= reach - 3 && 2 * dx.abs() <= dy + reach + 3,
            Self::Cross => dx.abs().max(dy.abs()) <= reach && dx.abs().min(dy.abs()) <= reach / 3,
        }
    }
}

/// Two tones in turn, pixel by pixel: their mean is the colour itself, which is what halving leaves.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pattern {
    Plain,
    Checks,
    Rows,
    Columns,
}

impl Pattern {
    const ALL: [Self; 4] = [Self::Plain, Self::Checks, Self::Rows, Self::Columns];

    fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Checks => "checks",
            Self::Rows => "rows",
            Self::Columns => "columns",
        }
    }

    fn tone(self, colour: Rgb, x: i32, y: i32) -> Rgb {
        let sign = match self {
            Self::Plain => return colour,
            Self::Checks => (x + y) & 1,
            Self::Rows => y & 1,
            Self::Columns => x & 1,
        };
        colour.map(|level| (i32::from(level) + (2 * sign - 1) * PATTERN_DEPTH).clamp(0, 255) as u8)
    }
}

struct Thing {
    colour: Colour,
    shape: Shape,
    pattern: Pattern,
    place: usize,
    digit: u32,
}

pub(crate) fn draw(mut canvas: Canvas, random: &mut ChaCha8Rng) -> (Canvas, Vec<Asked>) {
    let quarters = (canvas.side() / QUARTER_PX).pow(2) as usize;
    let n = random.random_range(1..=quarters);
    let colours = choose(random, &COLOURS, n);
    let places = choose(random, &(0..quarters).collect::<Vec<_>>(), n);
    let mut things = Vec::with_capacity(n);
    for (colour, place) in colours.into_iter().zip(places) {
        let thing = Thing {
            colour,
            shape: *pick(random, &Shape::ALL),
            pattern: *pick(random, &Pattern::ALL),
            place,
            digit: random.random_range(0..10),
        };
        paint(&mut canvas, &thing, random);
        things.push(thing);
    }
    let questions = ask(&things, quarters > 1, random);
    (canvas, questions)
}

fn paint(canvas: &mut Canvas, thing: &Thing, random: &mut ChaCha8Rng) {
    let (left, top) = ((thing.place % 2) as i32 * QUARTER_PX, (thing.place / 2) as i32 * QUARTER_PX);
    let shade = thing.colour.shade(random);
    let reach = random.random_range(21..=25);
    let [cx, cy] = [left, top].map(|edge| edge + QUARTER_PX / 2 + random.random_range(-2..=2));
    canvas.fill([left, top, left + QUARTER_PX, top + QUARTER_PX], |x, y| {
        thing.shape.contains(x - cx, y - cy, reach).then(|| thing.pattern.tone(shade, x, y))
    });
    // The code sits in one of the four middle patches of the quarter, so it shares a merged patch with the colour around it.
    let column = left / PATCH_PX + random.random_range(1..=2);
    let row = top / PATCH_PX + random.random_range(1..=2);
    let (x, y) = (column * PATCH_PX, row * PATCH_PX);
    canvas.rectangle([x + 1, y + 1, x + PATCH_PX - 1, y + PATCH_PX - 1], PLATE);
    canvas.code(thing.digit, column, row);
}

fn ask(things: &[Thing], places: bool, random: &mut ChaCha8Rng) -> Vec<Asked> {
    let mut asked = vec![Asked::new(Topic::Count, "How many shapes are there?", things.len().to_string())];
    for thing in things {
        let (colour, shape) = (thing.colour.name, thing.shape.name());
        asked.push(Asked::new(Topic::Shape, format!("What shape is {colour}?"), shape));
        if places {
            asked.push(Asked::new(Topic::Place, format!("Where is the {colour} shape?"), PLACES[thing.place]));
        }
        asked.push(Asked::new(Topic::Code, format!("What number is on the {colour} shape?"), thing.digit.to_string()));
        asked.push(Asked::new(Topic::Pattern, format!("What pattern has the {colour} shape?"), thing.pattern.name()));
        if things.iter().filter(|other| other.shape == thing.shape).count() == 1 {
            asked.push(Asked::new(Topic::Colour, format!("What colour is the {shape}?"), colour));
            asked.push(Asked::new(Topic::Code, format!("What number is on the {shape}?"), thing.digit.to_string()));
        }
    }
    let present = pick(random, things).colour.name;
    asked.push(Asked::new(Topic::YesNo, format!("Is there a {present} shape?"), "yes"));
    let absent: Vec<&str> = COLOURS
        .iter()
        .map(|colour| colour.name)
        .filter(|name| things.iter().all(|thing| thing.colour.name != *name))
        .collect();
    asked.push(Asked::new(Topic::YesNo, format!("Is there a {} shape?", pick(random, &absent)), "no"));
    asked
}

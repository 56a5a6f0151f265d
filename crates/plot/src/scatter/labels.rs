//! Names beside marks.

use std::fmt::Write;

use super::Mark;
use crate::draw::Drawing;
use crate::svg::{LETTER, escape};

/// Writes names up and to the left of marks, where nothing is that is both cheaper and worth more; a name that would lie on one
/// before it is left out.
pub(super) fn draw(svg: &mut String, drawing: &Drawing, marks: &[&Mark]) {
    let em = drawing.style.font_size();
    let mut taken: Vec<[f64; 4]> = Vec::new();
    for mark in marks {
        let wide = mark.name.chars().count() as f64 * LETTER * em;
        let (x, y) = (drawing.x_at(mark.x.value) - 0.6 * em, drawing.y_at(mark.y.value) - 0.6 * em);
        // Names do not reach over the axis.
        let right = x.max(drawing.left + 0.3 * em + wide);
        let own = [right - wide, y - em, right, y];
        if taken.iter().any(|other| overlap(own, *other)) {
            continue;
        }
        taken.push(own);
        let _ = writeln!(
            svg,
            "<text x=\"{right:.1}\" y=\"{y:.1}\" text-anchor=\"end\" style=\"fill:{}\">{}</text>",
            drawing.style.ink(),
            escape(&mark.name)
        );
    }
}

/// Whether two boxes of left, top, right and bottom share something.
fn overlap(one: [f64; 4], other: [f64; 4]) -> bool {
    one[0] < other[2] && other[0] < one[2] && one[1] < other[3] && other[1] < one[3]
}

//! Names of marks beside their symbols.

use std::fmt::Write;

use super::Mark;
use super::symbol::symbol;
use crate::style::Style;
use crate::svg::{LETTER, escape};

/// Names in rows.
pub(super) struct Legend<'a> {
    style: Style,
    /// Each mark with the row and the x at which it stands.
    placed: Vec<(&'a Mark, usize, f64)>,
}

impl<'a> Legend<'a> {
    /// Names in the order of marks, in rows of that width.
    pub(super) fn of(marks: &[&'a Mark], style: Style, width: f64) -> Self {
        let em = style.font_size();
        let (mut row, mut x) = (0, 0.4 * em);
        let mut placed = Vec::with_capacity(marks.len());
        for mark in marks {
            let wide = (1.8 + mark.name.chars().count() as f64 * LETTER + 1.0) * em;
            if x + wide > width && x > em {
                (row, x) = (row + 1, 0.4 * em);
            }
            placed.push((*mark, row, x));
            x += wide;
        }
        Self { style, placed }
    }

    /// Of all rows.
    pub(super) fn height(&self) -> f64 {
        let rows = self.placed.last().map_or(0.0, |(_, row, _)| *row as f64 + 1.0);
        rows * 1.5 * self.style.font_size()
    }

    /// Draws it from `top` down.
    pub(super) fn draw(&self, svg: &mut String, top: f64) {
        let em = self.style.font_size();
        for (mark, row, x) in &self.placed {
            let y = top + (*row as f64 + 0.5) * 1.5 * em;
            let _ = writeln!(
                svg,
                "{}<text x=\"{:.1}\" y=\"{:.1}\" style=\"fill:{}\">{}</text>",
                symbol(mark, self.style, (x + 0.6 * em, y), ""),
                x + 1.4 * em,
                y + 0.35 * em,
                self.style.ink(),
                escape(&mark.name)
            );
        }
    }
}

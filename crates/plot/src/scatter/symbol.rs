//! Forms of marks.

use super::Mark;
use crate::style::{COLOURS, Style};

/// The symbol of a mark around a point, with `inside` as what it holds.
///
/// Families differ in colour, and those behind the last colour in form: discs, squares, diamonds. In a family symbols are filled and
/// hollow in turn, and every pair is smaller than the one before it.
pub(super) fn symbol(mark: &Mark, style: Style, (x, y): (f64, f64), inside: &str) -> String {
    let colour = style.line(mark.family);
    let radius = 4.2 * 0.75_f64.powi(i32::try_from(mark.member / 2).unwrap_or(i32::MAX));
    let paint = if mark.member.is_multiple_of(2) {
        format!("style=\"fill:{colour}\"")
    } else {
        format!("fill=\"none\" stroke-width=\"1.6\" style=\"stroke:{colour}\"")
    };
    let (left, top, side) = (x - radius, y - radius, 2.0 * radius);
    match mark.family / COLOURS {
        0 => format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius:.1}\" {paint}>{inside}</circle>"),
        1 => format!(
            "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{side:.1}\" height=\"{side:.1}\" {paint}>{inside}</rect>"
        ),
        _ => {
            let reach = 1.3 * radius;
            format!(
                "<polygon points=\"{:.1},{y:.1} {x:.1},{:.1} {:.1},{y:.1} {x:.1},{:.1}\" {paint}>{inside}</polygon>",
                x - reach,
                y - reach,
                x + reach,
                y + reach
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn eighteen_families_of_four_have_a_symbol_each() {
        let marks = (0..18).flat_map(|family| (0..4).map(move |member| Mark { family, member, ..Mark::default() }));
        let symbols: BTreeSet<String> = marks.map(|mark| symbol(&mark, Style::File, (9.0, 9.0), "")).collect();
        assert_eq!(symbols.len(), 18 * 4);
    }
}

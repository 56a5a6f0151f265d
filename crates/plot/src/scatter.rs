//! Points with intervals in both directions, and the front of those that nothing beats.

use std::fmt::Write;

use crate::axis::Axis;
use crate::draw::{Drawing, LETTER, escape, opened};
use crate::style::{COLOURS, Style};

/// What something costs against what it is worth: less x is better, more y is better.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ScatterChart {
    /// What is shown.
    pub title: String,
    /// What x counts.
    pub x_label: String,
    /// What y measures, with its unit.
    pub y_label: String,
    /// The points, in the order of the legend.
    pub marks: Vec<Mark>,
}

/// One point.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Mark {
    /// Its name in the legend.
    pub name: String,
    /// What it costs.
    pub x: Measured,
    /// What it is worth.
    pub y: Measured,
}

/// A number and the interval around it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Measured {
    /// The number.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Mark {
    fn is_known(&self) -> bool {
        [self.x, self.y].iter().all(|of| [of.value, of.low, of.high].iter().all(|number| number.is_finite()))
    }
}

impl ScatterChart {
    /// The chart as one `svg` element; see [`LineChart::svg`](crate::LineChart::svg). Marks with a number that is not finite are left out.
    ///
    /// A dashed stair joins the marks that no other beats: none costs as little and is worth more.
    pub fn svg(&self, style: Style) -> String {
        let marks: Vec<(usize, &Mark)> = self.marks.iter().enumerate().filter(|(_, mark)| mark.is_known()).collect();
        let of = |side: fn(&Mark) -> Measured| {
            marks
                .iter()
                .flat_map(move |(_, mark)| [side(mark).low, side(mark).value, side(mark).high])
                .collect::<Vec<_>>()
        };
        let (x, y) = (Axis::rounded(of(|mark| mark.x), 5), Axis::rounded(of(|mark| mark.y), 4));
        let names: Vec<&str> = marks.iter().map(|(_, mark)| mark.name.as_str()).collect();
        let placed = legend(&names, style);
        let rows = placed.last().map_or(0.0, |(row, _)| *row as f64 + 1.0);
        let drawing = Drawing::new(style, x, y, !self.y_label.is_empty(), rows * 1.5 * style.font_size());
        let mut svg = opened(&self.title, style);
        drawing.frame(&mut svg, &self.title, &self.x_label, &self.y_label);
        if marks.is_empty() {
            drawing.no_numbers(&mut svg);
        }
        front(&mut svg, &drawing, &marks);
        for ((index, mark), (row, x)) in marks.iter().zip(placed) {
            draw_mark(&mut svg, &drawing, *index, mark);
            draw_name(&mut svg, style, *index, &mark.name, row, x);
        }
        svg.push_str("</svg>\n");
        svg
    }
}

/// The marks that no other beats, cheapest first.
fn unbeaten<'a>(marks: &[(usize, &'a Mark)]) -> Vec<&'a Mark> {
    let mut sorted: Vec<&Mark> = marks.iter().map(|(_, mark)| *mark).collect();
    sorted.sort_by(|one, other| one.x.value.total_cmp(&other.x.value).then(other.y.value.total_cmp(&one.y.value)));
    let mut best = f64::NEG_INFINITY;
    sorted.retain(|mark| {
        let is_better = mark.y.value > best;
        best = best.max(mark.y.value);
        is_better
    });
    sorted
}

fn front(svg: &mut String, drawing: &Drawing, marks: &[(usize, &Mark)]) {
    let unbeaten = unbeaten(marks);
    let mut corners: Vec<String> = Vec::new();
    let mut height = None;
    for mark in &unbeaten {
        let (x, y) = (drawing.x_at(mark.x.value), drawing.y_at(mark.y.value));
        if let Some(before) = height.replace(y) {
            corners.push(format!("{x:.1},{before:.1}"));
        }
        corners.push(format!("{x:.1},{y:.1}"));
    }
    if unbeaten.len() > 1 {
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke-width=\"1.2\" stroke-dasharray=\"5 4\" style=\"stroke:{}\"/>",
            corners.join(" "),
            drawing.style.soft()
        );
    }
}

fn draw_mark(svg: &mut String, drawing: &Drawing, index: usize, mark: &Mark) {
    let colour = drawing.style.line(index);
    let (x, y) = (drawing.x_at(mark.x.value), drawing.y_at(mark.y.value));
    let ends = [
        (drawing.x_at(mark.x.low), y, drawing.x_at(mark.x.high), y),
        (x, drawing.y_at(mark.y.low), x, drawing.y_at(mark.y.high)),
    ];
    for (x1, y1, x2, y2) in ends {
        let _ = writeln!(
            svg,
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke-width=\"1.4\" style=\"stroke:{colour}\"/>"
        );
    }
    let of = |of: Measured| format!("{:.4} ({:.4} to {:.4})", of.value, of.low, of.high);
    let title = format!("<title>{}: {} → {}</title>", escape(&mark.name), of(mark.x), of(mark.y));
    let _ = writeln!(svg, "{}", symbol(index, x, y, 4.0, &colour, &title));
}

/// A disc; marks behind the last colour are squares in the first ones.
fn symbol(index: usize, x: f64, y: f64, radius: f64, colour: &str, title: &str) -> String {
    if index < COLOURS {
        return format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\" style=\"fill:{colour}\">{title}</circle>");
    }
    let (left, top, side) = (x - radius, y - radius, 2.0 * radius);
    format!(
        "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{side}\" height=\"{side}\" style=\"fill:{colour}\">{title}</rect>"
    )
}

fn draw_name(svg: &mut String, style: Style, index: usize, name: &str, row: usize, x: f64) {
    let em = style.font_size();
    let y = 2.2 * em + (row as f64 + 0.5) * 1.5 * em;
    let _ = writeln!(
        svg,
        "{}<text x=\"{:.1}\" y=\"{:.1}\" style=\"fill:{}\">{}</text>",
        symbol(index, x + 0.6 * em, y, 4.0, &style.line(index), ""),
        x + 1.4 * em,
        y + 0.35 * em,
        style.ink(),
        escape(name)
    );
}

/// The row and the x at which each name stands.
fn legend(names: &[&str], style: Style) -> Vec<(usize, f64)> {
    let (em, (width, _)) = (style.font_size(), style.size());
    let (mut row, mut x) = (0, 0.4 * em);
    let mut placed = Vec::with_capacity(names.len());
    for name in names {
        let wide = (1.8 + name.chars().count() as f64 * LETTER + 1.0) * em;
        if x + wide > width && x > em {
            (row, x) = (row + 1, 0.4 * em);
        }
        placed.push((row, x));
        x += wide;
    }
    placed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(name: &str, x: f64, y: f64) -> Mark {
        let around = |value| Measured { value, low: value - 1.0, high: value + 1.0 };
        Mark { name: name.into(), x: around(x), y: around(y) }
    }

    fn chart(marks: Vec<Mark>) -> ScatterChart {
        ScatterChart { title: "Worth & cost".into(), x_label: "tokens".into(), y_label: "%".into(), marks }
    }

    #[test]
    fn a_mark_has_two_intervals_a_symbol_and_a_name() {
        let svg = chart(vec![mark("low", 4.0, 50.0), mark("full <1>", 16.0, 90.0)]).svg(Style::File);
        assert_eq!(svg.matches("stroke-width=\"1.4\"").count(), 4);
        // One in the chart and one in the legend.
        assert_eq!(svg.matches("<circle").count(), 4);
        assert!(svg.contains("full &lt;1&gt;</text>") && svg.contains("Worth &amp; cost"), "{svg}");
    }

    #[test]
    fn the_front_leaves_out_what_costs_more_and_is_worth_less() {
        let marks =
            [mark("low", 4.0, 50.0), mark("half", 9.0, 40.0), mark("full", 16.0, 90.0), mark("dear", 17.0, 90.0)];
        let marks: Vec<(usize, &Mark)> = marks.iter().enumerate().collect();
        assert_eq!(unbeaten(&marks).iter().map(|mark| mark.name.as_str()).collect::<Vec<_>>(), ["low", "full"]);
    }

    #[test]
    fn what_is_no_number_is_left_out_and_nothing_is_said_to_be_missing() {
        let svg = chart(vec![mark("a", f64::NAN, 1.0), mark("b", 1.0, 2.0)]).svg(Style::Page);
        assert!(!svg.contains("NaN") && !svg.contains(">a<"), "{svg}");
        assert!(chart(vec![]).svg(Style::Page).contains("no numbers yet"));
    }

    #[test]
    fn more_marks_than_colours_differ_in_form() {
        let svg = chart((0..7).map(|x| mark("m", f64::from(x), f64::from(x))).collect()).svg(Style::Page);
        assert_eq!((svg.matches("<circle").count(), svg.matches("<rect").count()), (12, 2));
    }
}

//! Points with intervals in both directions, and the front of those that nothing beats.

mod labels;
mod legend;
mod symbol;

use std::fmt::Write;

use crate::axis::Axis;
use crate::draw::Drawing;
use crate::style::Style;
use crate::svg::{escape, opened};
use legend::Legend;
use symbol::symbol;

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
    /// Whether several charts share [`ScatterChart::legend`], which stands apart: then only marks that no other beats have their name
    /// beside them.
    pub is_legend_apart: bool,
}

/// One point.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Mark {
    /// Its name in the legend.
    pub name: String,
    /// Marks of one family share colour and form; families are counted from 0.
    pub family: usize,
    /// Its place in the family, by which symbols are filled or hollow, large or small.
    pub member: usize,
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
        let marks: Vec<&Mark> = self.marks.iter().filter(|mark| mark.is_known()).collect();
        let of = |side: fn(&Mark) -> Measured| {
            marks.iter().flat_map(move |mark| [side(mark).low, side(mark).value, side(mark).high]).collect::<Vec<_>>()
        };
        let (x, y) = (Axis::rounded(of(|mark| mark.x), 5), Axis::rounded(of(|mark| mark.y), 4));
        let legend = (!self.is_legend_apart).then(|| Legend::of(&marks, style, style.size().0));
        // Names beside marks at the top need a line of their own below the title.
        let room = legend.as_ref().map_or(1.3 * style.font_size(), Legend::height);
        let drawing = Drawing::new(style, x, y, !self.y_label.is_empty(), room);
        let mut svg = opened(&self.title, style, style.size());
        drawing.frame(&mut svg, &self.title, &self.x_label, &self.y_label);
        if marks.is_empty() {
            drawing.no_numbers(&mut svg);
        }
        front(&mut svg, &drawing, &marks);
        for mark in &marks {
            draw_mark(&mut svg, &drawing, mark);
        }
        match legend {
            // Below the title.
            Some(legend) => legend.draw(&mut svg, 2.2 * style.font_size()),
            None => labels::draw(&mut svg, &drawing, &unbeaten(&marks)),
        }
        svg.push_str("</svg>\n");
        svg
    }

    /// The names of all marks beside their symbols as an `svg` element of that width, for charts whose legend is apart.
    pub fn legend(&self, style: Style, width: f64) -> String {
        let marks: Vec<&Mark> = self.marks.iter().collect();
        let legend = Legend::of(&marks, style, width);
        let mut svg = opened("Legend", style, (width, legend.height()));
        legend.draw(&mut svg, 0.0);
        svg.push_str("</svg>\n");
        svg
    }
}

/// The marks that no other beats, cheapest first.
fn unbeaten<'a>(marks: &[&'a Mark]) -> Vec<&'a Mark> {
    let mut sorted: Vec<&Mark> = marks.to_vec();
    sorted.sort_by(|one, other| one.x.value.total_cmp(&other.x.value).then(other.y.value.total_cmp(&one.y.value)));
    let mut best = f64::NEG_INFINITY;
    sorted.retain(|mark| {
        let is_better = mark.y.value > best;
        best = best.max(mark.y.value);
        is_better
    });
    sorted
}

fn front(svg: &mut String, drawing: &Drawing, marks: &[&Mark]) {
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

fn draw_mark(svg: &mut String, drawing: &Drawing, mark: &Mark) {
    let colour = drawing.style.line(mark.family);
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
    let _ = writeln!(svg, "{}", symbol(mark, drawing.style, (x, y), &title));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(name: &str, x: f64, y: f64) -> Mark {
        let around = |value| Measured { value, low: value - 1.0, high: value + 1.0 };
        Mark { name: name.into(), x: around(x), y: around(y), ..Mark::default() }
    }

    fn chart(marks: Vec<Mark>) -> ScatterChart {
        let [title, x_label, y_label] = ["Worth & cost", "tokens", "%"].map(str::to_owned);
        ScatterChart { title, x_label, y_label, marks, is_legend_apart: false }
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
        let marks: Vec<&Mark> = marks.iter().collect();
        assert_eq!(unbeaten(&marks).iter().map(|mark| mark.name.as_str()).collect::<Vec<_>>(), ["low", "full"]);
    }

    #[test]
    fn what_is_no_number_is_left_out_and_nothing_is_said_to_be_missing() {
        let svg = chart(vec![mark("a", f64::NAN, 1.0), mark("b", 1.0, 2.0)]).svg(Style::Page);
        assert!(!svg.contains("NaN") && !svg.contains(">a<"), "{svg}");
        assert!(chart(vec![]).svg(Style::Page).contains("no numbers yet"));
    }

    #[test]
    fn charts_that_share_a_legend_name_what_no_other_beats_and_the_legend_names_all() {
        let marks = vec![mark("low", 4.0, 50.0), mark("half", 9.0, 40.0), mark("full", 16.0, 90.0)];
        let chart = ScatterChart { is_legend_apart: true, ..chart(marks) };
        let svg = chart.svg(Style::Page);
        let names = |svg: &str| ["low", "half", "full"].map(|name| svg.contains(&format!(">{name}</text>")));
        assert_eq!(names(&svg), [true, false, true], "{svg}");
        let legend = chart.legend(Style::File, 640.0);
        assert_eq!((names(&legend), legend.matches("<circle").count()), ([true; 3], 3), "{legend}");
        assert!(legend.contains("viewBox=\"0 0 640 "), "{legend}");
    }
}

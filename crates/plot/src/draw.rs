//! A chart as SVG.

use std::fmt::Write;

use crate::axis::Axis;
use crate::style::{COLOURS, Style};
use crate::svg::{LETTER, escape, opened};
use crate::{LineChart, Series};

/// Series with up to this many points get a dot at each.
const MOST_DOTS: usize = 16;

pub(crate) fn chart(chart: &LineChart, style: Style) -> String {
    let mut svg = opened(&chart.title, style, style.size());
    Drawing::of(chart, style).draw(&mut svg, chart);
    svg.push_str("</svg>\n");
    svg
}

/// Axes and the rectangle between them.
pub(crate) struct Drawing {
    pub(crate) style: Style,
    x: Axis,
    y: Axis,
    pub(crate) left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

impl Drawing {
    fn of(chart: &LineChart, style: Style) -> Self {
        let em = style.font_size();
        let xs = chart
            .series
            .iter()
            .flat_map(|series| series.points.iter().map(|point| point.0).chain(series.band.iter().map(|band| band.0)));
        let ys = chart.series.iter().flat_map(|series| {
            series.points.iter().map(|point| point.1).chain(series.band.iter().flat_map(|band| [band.1, band.2]))
        });
        let y = match chart.y_range {
            Some(range) => Axis::fixed(range, 4),
            None => Axis::rounded(ys, 4),
        };
        let legend = legend(chart, style).last().map_or(0.0, |(_, row, _)| (*row as f64 + 1.0) * 1.5 * em);
        Self::new(style, Axis::tight(xs, 5), y, !chart.y_label.is_empty(), legend)
    }

    /// Room for the title, `legend` units below it, and the labels of the axes.
    pub(crate) fn new(style: Style, x: Axis, y: Axis, has_y_label: bool, legend: f64) -> Self {
        let (width, height) = style.size();
        let em = style.font_size();
        let widest = y.ticks().iter().map(|(_, label)| label.chars().count()).max().unwrap_or(0) as f64;
        let y_label = if has_y_label { 1.5 * em } else { 0.0 };
        Self {
            style,
            x,
            y,
            left: widest * LETTER * em + em + y_label,
            right: width - 1.2 * em,
            top: 2.2 * em + legend + 0.4 * em,
            bottom: height - 3.1 * em,
        }
    }

    fn draw(&self, svg: &mut String, chart: &LineChart) {
        let (ink, em) = (self.style.ink(), self.style.font_size());
        self.frame(svg, &chart.title, &chart.x_label, &chart.y_label);
        if chart.series.iter().all(|series| series.points.is_empty()) {
            self.no_numbers(svg);
        }
        for (index, series) in chart.series.iter().enumerate() {
            self.band(svg, index, series);
        }
        for (index, series) in chart.series.iter().enumerate() {
            self.line(svg, index, series);
        }
        for (index, (name, row, x)) in legend(chart, self.style).into_iter().enumerate() {
            let y = 2.2 * em + (row as f64 + 0.5) * 1.5 * em;
            let _ = writeln!(
                svg,
                "<line x1=\"{x:.1}\" y1=\"{y:.1}\" x2=\"{:.1}\" y2=\"{y:.1}\" stroke-width=\"2.5\"{} style=\"stroke:{}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" style=\"fill:{ink}\">{}</text>",
                x + 1.4 * em,
                dashes(index, &chart.series[index]),
                self.style.line(index),
                x + 1.8 * em,
                y + 0.35 * em,
                escape(name)
            );
        }
    }

    pub(crate) fn no_numbers(&self, svg: &mut String) {
        let soft = self.style.soft();
        let (x, y) = (f64::midpoint(self.left, self.right), f64::midpoint(self.top, self.bottom));
        let _ = writeln!(
            svg,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\" style=\"fill:{soft}\">no numbers yet</text>"
        );
    }

    /// Title, axes and their names.
    pub(crate) fn frame(&self, svg: &mut String, title: &str, x_label: &str, y_label: &str) {
        let (soft, grid, em) = (self.style.soft(), self.style.grid(), self.style.font_size());
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" font-size=\"{:.1}\" font-weight=\"600\" style=\"fill:{}\">{}</text>",
            0.4 * em,
            1.4 * em,
            1.15 * em,
            self.style.ink(),
            escape(title)
        );
        for (tick, label) in self.y.ticks() {
            let y = self.y_at(tick);
            let _ = writeln!(
                svg,
                "<line x1=\"{:.1}\" y1=\"{y:.1}\" x2=\"{:.1}\" y2=\"{y:.1}\" style=\"stroke:{grid}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" style=\"fill:{soft}\">{label}</text>",
                self.left,
                self.right,
                self.left - 0.4 * em,
                y + 0.35 * em
            );
        }
        for (tick, label) in self.x.ticks() {
            let x = self.x_at(tick);
            let _ = writeln!(
                svg,
                "<line x1=\"{x:.1}\" y1=\"{:.1}\" x2=\"{x:.1}\" y2=\"{:.1}\" style=\"stroke:{soft}\"/>\
                 <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" style=\"fill:{soft}\">{label}</text>",
                self.bottom,
                self.bottom + 0.3 * em,
                self.bottom + 1.4 * em
            );
        }
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" style=\"fill:{soft}\">{}</text>",
            f64::midpoint(self.left, self.right),
            self.bottom + 2.7 * em,
            escape(x_label)
        );
        if !y_label.is_empty() {
            let (x, y) = (1.1 * em, f64::midpoint(self.top, self.bottom));
            let _ = writeln!(
                svg,
                "<text transform=\"translate({x:.1} {y:.1}) rotate(-90)\" text-anchor=\"middle\" style=\"fill:{soft}\">{}</text>",
                escape(y_label)
            );
        }
    }

    fn band(&self, svg: &mut String, index: usize, series: &Series) {
        let band: Vec<_> =
            series.band.iter().filter(|(x, low, high)| x.is_finite() && low.is_finite() && high.is_finite()).collect();
        if band.len() < 2 {
            return;
        }
        let upper = band.iter().map(|(x, _, high)| (*x, *high));
        let lower = band.iter().rev().map(|(x, low, _)| (*x, *low));
        let corners: Vec<String> =
            upper.chain(lower).map(|(x, y)| format!("{:.1},{:.1}", self.x_at(x), self.y_at(y))).collect();
        let _ = writeln!(
            svg,
            "<polygon points=\"{}\" fill-opacity=\"0.18\" style=\"fill:{}\"/>",
            corners.join(" "),
            self.style.line(index)
        );
    }

    fn line(&self, svg: &mut String, index: usize, series: &Series) {
        let colour = self.style.line(index);
        let known = |point: &(f64, f64)| point.0.is_finite() && point.1.is_finite();
        for part in series.points.split(|point| !known(point)).filter(|part| part.len() > 1) {
            let points: Vec<String> =
                part.iter().map(|(x, y)| format!("{:.1},{:.1}", self.x_at(*x), self.y_at(*y))).collect();
            let _ = writeln!(
                svg,
                "<polyline points=\"{}\" fill=\"none\" stroke-width=\"1.8\" stroke-linejoin=\"round\"{} style=\"stroke:{colour}\"/>",
                points.join(" "),
                dashes(index, series)
            );
        }
        if series.points.len() <= MOST_DOTS && !series.dashed {
            for (x, y) in series.points.iter().filter(|point| known(point)) {
                let _ = writeln!(
                    svg,
                    "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" style=\"fill:{colour}\"><title>{}: {x} → {y:.4}</title></circle>",
                    self.x_at(*x),
                    self.y_at(*y),
                    escape(&series.name)
                );
            }
        }
    }

    pub(crate) fn x_at(&self, x: f64) -> f64 {
        self.left + self.x.place(x) * (self.right - self.left)
    }

    /// Numbers beyond the range lie on its edge.
    pub(crate) fn y_at(&self, y: f64) -> f64 {
        self.bottom - self.y.place(y).clamp(0.0, 1.0) * (self.bottom - self.top)
    }
}

/// Names with the row and the x at which each stands; one line needs no legend.
fn legend(chart: &LineChart, style: Style) -> Vec<(&str, usize, f64)> {
    if chart.series.len() < 2 {
        return Vec::new();
    }
    let (em, (width, _)) = (style.font_size(), style.size());
    let (mut row, mut x) = (0, 0.4 * em);
    let mut placed = Vec::with_capacity(chart.series.len());
    for series in &chart.series {
        let wide = (2.2 + series.name.chars().count() as f64 * LETTER + 1.0) * em;
        if x + wide > width && x > em {
            (row, x) = (row + 1, 0.4 * em);
        }
        placed.push((series.name.as_str(), row, x));
        x += wide;
    }
    placed
}

fn dashes(index: usize, series: &Series) -> &'static str {
    if series.dashed || index >= COLOURS { " stroke-dasharray=\"5 4\"" } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_lines() -> LineChart {
        let calls = Series {
            band: vec![(1.0, 0.1, 0.3), (2.0, 0.4, 0.9)],
            ..Series::new("calls <hard>", vec![(1.0, 0.2), (2.0, 0.7)])
        };
        let bound = Series { dashed: true, ..Series::new("bound", vec![(1.0, 0.85), (2.0, 0.85)]) };
        LineChart { y_range: Some((0.0, 1.0)), ..LineChart::new("Calls & more", "step", vec![calls, bound]) }
    }

    #[test]
    fn a_chart_has_its_lines_its_shade_and_a_legend() {
        let svg = two_lines().svg(Style::File);
        assert_eq!(svg.matches("<polyline").count(), 2);
        assert_eq!(svg.matches("<polygon").count(), 1);
        assert!(svg.contains("stroke-dasharray"));
        assert!(svg.contains("calls &lt;hard&gt;</text>") && svg.contains("Calls &amp; more"), "{svg}");
        assert!(svg.contains("xmlns=\"http://www.w3.org/2000/svg\""), "a file needs the name of its language");
    }

    #[test]
    fn a_chart_in_a_page_names_no_address_and_no_colour_of_its_own() {
        let svg = two_lines().svg(Style::Page);
        assert!(!svg.contains("http") && !svg.contains('#'), "{svg}");
        assert!(svg.contains("var(--plot-1)"));
    }

    #[test]
    fn a_number_that_is_not_finite_leaves_a_gap() {
        let points = vec![(1.0, 1.0), (2.0, 2.0), (3.0, f64::NAN), (4.0, 2.0), (5.0, 1.0)];
        let svg = LineChart::new("t", "x", vec![Series::new("a", points)]).svg(Style::Page);
        assert_eq!(svg.matches("<polyline").count(), 2);
        assert!(!svg.contains("NaN"), "{svg}");
    }

    #[test]
    fn everything_stays_inside_the_drawing() {
        let high = LineChart {
            y_range: Some((0.0, 1.0)),
            ..LineChart::new("t", "x", vec![Series::new("a", vec![(0.0, 7.0), (1.0, -7.0)])])
        };
        let svg = high.svg(Style::Page);
        let points = svg.split("points=\"").nth(1).unwrap().split('"').next().unwrap();
        for pair in points.split(' ') {
            let (x, y) = pair.split_once(',').unwrap();
            let (x, y): (f64, f64) = (x.parse().unwrap(), y.parse().unwrap());
            assert!((0.0..=400.0).contains(&x) && (0.0..=260.0).contains(&y), "{pair}");
        }
    }

    #[test]
    fn a_chart_without_numbers_says_so() {
        let svg = LineChart::new("t", "x", vec![Series::new("a", vec![])]).svg(Style::Page);
        assert!(svg.contains("no numbers yet"));
    }
}

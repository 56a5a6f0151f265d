//! Line charts and scatter charts as SVG: for a report that is one HTML file, and for files beside a Markdown page.
//!
//! Owns: ranges, ticks, legend, colours. Must not know: where numbers come from. Read [`LineChart`] first, then [`ScatterChart`].
//!
//! ```
//! use visionthink_plot::{LineChart, Series, Style};
//!
//! let reward = Series::new("reward", vec![(1.0, 0.4), (2.0, 0.7), (3.0, 1.1)]);
//! let chart = LineChart { y_label: "mean of a step".into(), ..LineChart::new("Reward", "step", vec![reward]) };
//! let svg = chart.svg(Style::File);
//! assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
//! ```

mod axis;
mod draw;
mod scatter;
mod style;
mod svg;

pub use scatter::{Mark, Measured, ScatterChart};
pub use style::{PAGE_CSS, Style};

/// Lines over a common x axis.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LineChart {
    /// What is shown.
    pub title: String,
    /// What x counts.
    pub x_label: String,
    /// What y measures, with its unit; may be empty.
    pub y_label: String,
    /// The lines, in the order of the legend.
    pub series: Vec<Series>,
    /// Lowest and highest y, as (0, 1) for shares; found from the numbers without it.
    pub y_range: Option<(f64, f64)>,
}

/// One line, with an interval around it if there is one.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// (x, y) in the order they are joined. A number that is not finite leaves a gap.
    pub points: Vec<(f64, f64)>,
    /// (x, lowest y, highest y), drawn as a shade behind the line; may be empty.
    pub band: Vec<(f64, f64, f64)>,
    /// Drawn dashed: for what is a bound or a baseline rather than a measurement.
    pub dashed: bool,
}

impl LineChart {
    /// A chart without a name for y and with a range found from the numbers.
    pub fn new(title: impl Into<String>, x_label: impl Into<String>, series: Vec<Series>) -> Self {
        Self { title: title.into(), x_label: x_label.into(), series, ..Self::default() }
    }

    /// The chart as one `svg` element.
    ///
    /// [`Style::Page`] takes its colours from [`PAGE_CSS`] in the page around it; [`Style::File`] stands alone and is readable on white
    /// and on dark paper.
    pub fn svg(&self, style: Style) -> String {
        draw::chart(self, style)
    }
}

impl Series {
    /// A solid line without an interval.
    pub fn new(name: impl Into<String>, points: Vec<(f64, f64)>) -> Self {
        Self { name: name.into(), points, ..Self::default() }
    }
}

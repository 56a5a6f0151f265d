//! Sizes and colours of the two kinds of chart.

/// Where a chart will stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Inside a page that holds [`PAGE_CSS`]; small, several beside each other.
    Page,
    /// A file of its own, shown by a Markdown page.
    File,
}

/// Colours of charts in a page, by light and by dark.
pub const PAGE_CSS: &str = "\
:root { --plot-ink: #1d1d1f; --plot-soft: #6b6b70; --plot-line: #e2dfd8; --plot-1: #2a6fbb; --plot-2: #c25e00; --plot-3: #1f7a4d; --plot-4: #8d4bb0; --plot-5: #b3392f; --plot-6: #5b6470; }
@media (prefers-color-scheme: dark) { :root { --plot-ink: #ececec; --plot-soft: #9b9ba1; --plot-line: #33353a; --plot-1: #7aa5e6; --plot-2: #e8a04c; --plot-3: #58c08b; --plot-4: #c692e4; --plot-5: #ee7b70; --plot-6: #a4adb8; } }
svg.plot { display: block; width: 100%; height: auto; font-family: system-ui, sans-serif; }
";

/// Mid-tones: at least three to one against white and against the dark of Markdown viewers.
const FILE_COLOURS: [&str; COLOURS] = ["#2f7fd0", "#cf6a17", "#2a9461", "#a05cc8", "#d64550", "#7a7f87"];

/// Lines that differ in colour; those after them repeat the colours and are dashed.
pub(crate) const COLOURS: usize = 6;

impl Style {
    /// Width and height in the units of the drawing.
    pub(crate) fn size(self) -> (f64, f64) {
        match self {
            Self::Page => (400.0, 260.0),
            Self::File => (640.0, 380.0),
        }
    }

    /// Height of the labels' letters.
    pub(crate) fn font_size(self) -> f64 {
        match self {
            Self::Page => 11.0,
            Self::File => 13.0,
        }
    }

    /// Colour of the `index`-th line.
    pub(crate) fn line(self, index: usize) -> String {
        let index = index % COLOURS;
        match self {
            Self::Page => format!("var(--plot-{})", index + 1),
            Self::File => FILE_COLOURS[index].to_owned(),
        }
    }

    /// Colour of the title.
    pub(crate) fn ink(self) -> &'static str {
        match self {
            Self::Page => "var(--plot-ink)",
            Self::File => "#767b84",
        }
    }

    /// Colour of labels.
    pub(crate) fn soft(self) -> &'static str {
        match self {
            Self::Page => "var(--plot-soft)",
            Self::File => "#767b84",
        }
    }

    /// Colour of the grid.
    pub(crate) fn grid(self) -> &'static str {
        match self {
            Self::Page => "var(--plot-line)",
            Self::File => "#767b8440",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance of `#rrggbb`, as WCAG defines it.
    fn luminance(colour: &str) -> f64 {
        let channel = |at: usize| {
            let value = f64::from(u8::from_str_radix(&colour[at..at + 2], 16).unwrap()) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
    }

    #[test]
    fn colours_of_files_stand_out_from_white_and_from_dark() {
        let contrast = |a: f64, b: f64| (a.max(b) + 0.05) / (a.min(b) + 0.05);
        for colour in FILE_COLOURS.into_iter().chain([Style::File.ink(), Style::File.soft()]) {
            for paper in ["#ffffff", "#0d1117"] {
                let found = contrast(luminance(colour), luminance(paper));
                assert!(found >= 3.0, "{colour} on {paper}: {found:.2}");
            }
        }
    }
}

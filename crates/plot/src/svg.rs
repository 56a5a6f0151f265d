//! What every element of a drawing is made of.

use crate::style::Style;

/// Width of a letter over its height, on average.
pub(crate) const LETTER: f64 = 0.56;

/// The beginning of an element of that width and height.
pub(crate) fn opened(title: &str, style: Style, (width, height): (f64, f64)) -> String {
    let title = escape(title);
    // A page knows the elements it holds; a file has to name its language.
    let opening = match style {
        Style::Page => "class=\"plot\"",
        Style::File => "xmlns=\"http://www.w3.org/2000/svg\" font-family=\"system-ui, sans-serif\"",
    };
    format!(
        "<svg {opening} viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{title}\" font-size=\"{}\">\n",
        style.font_size()
    )
}

/// Text that cannot end an element or an attribute.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

//! Pieces of pages that fetch nothing.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The look of every page.
pub(crate) const PAGE_CSS: &str = include_str!("demo/page.css");

/// The beginning of a page up to its heading.
pub(crate) fn head(title: &str, styles: &[&str]) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>{}</title>\n<style>{}</style></head><body>\n",
        escape(title),
        styles.concat()
    )
}

/// A picture with its caption, `png` inside.
pub(crate) fn figure(png: &[u8], alternative: &str, caption: &str) -> String {
    format!(
        "<figure><img alt=\"{}\" src=\"data:image/png;base64,{}\"><figcaption>{}</figcaption></figure>",
        escape(alternative),
        STANDARD.encode(png),
        escape(caption)
    )
}

/// Text that cannot end an element or an attribute: model output is data.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_model_says_cannot_become_markup() {
        assert_eq!(escape("<script>'\"&"), "&lt;script&gt;&#39;&quot;&amp;");
    }
}

//! Thinking that is taken out before scoring.

use std::ops::Range;

use crate::python::text::strip;

/// A pair of tags around thinking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagPair {
    /// The opening tag.
    pub open: String,
    /// The closing tag.
    pub close: String,
}

impl TagPair {
    /// The pair `<name>`, `</name>`.
    pub fn named(name: &str) -> Self {
        Self { open: format!("<{name}>"), close: format!("</{name}>") }
    }
}

/// The pairs that the reference takes out unless told otherwise: `think` and `analysis`.
pub fn default_pairs() -> Vec<TagPair> {
    ["think", "analysis"].map(TagPair::named).to_vec()
}

/// The text (raw) without the blocks between the tags, pair after pair, then stripped.
///
/// A closing tag that is left without any opening tag ends thinking that began in the prompt: the text up to the last
/// one is thinking too. An opening tag that is never closed hides nothing.
///
/// Source: lmms-eval, `api/reasoning`, reference.
pub fn strip_reasoning(text: &str, pairs: &[TagPair]) -> String {
    let visible = pairs.iter().fold(text.to_owned(), without_blocks);
    strip(&visible).to_owned()
}

fn without_blocks(mut text: String, pair: &TagPair) -> String {
    if pair.open.is_empty() || pair.close.is_empty() {
        return text;
    }
    while let Some(block) = first_block(&text, pair) {
        text.replace_range(block, "");
    }
    if text.contains(&pair.open) {
        return text;
    }
    match text.rsplit_once(&pair.close) {
        Some((_, visible)) => visible.to_owned(),
        None => text,
    }
}

/// From the first opening tag to the nearest closing tag after it, the tags included.
fn first_block(text: &str, pair: &TagPair) -> Option<Range<usize>> {
    let start = text.find(&pair.open)?;
    let length = text[start..].find(&pair.close)? + pair.close.len();
    Some(start..start + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visible(text: &str) -> String {
        strip_reasoning(text, &default_pairs())
    }

    #[test]
    fn every_closed_block_goes() {
        assert_eq!(visible("<think>a</think> b <analysis>c</analysis><think>d</think>e"), "b e");
    }

    #[test]
    fn a_lone_closing_tag_takes_all_before_it_along() {
        assert_eq!(visible("a</think>b</think> c"), "c");
        assert_eq!(visible("<think>a<think>b</think>c</think>d"), "d");
    }

    #[test]
    fn an_open_tag_keeps_everything_visible() {
        assert_eq!(visible("a<think>b"), "a<think>b");
        assert_eq!(visible("a</think>b<think>c"), "a</think>b<think>c");
    }

    #[test]
    fn an_empty_tag_takes_nothing_out() {
        let pair = TagPair { open: String::new(), close: String::new() };
        assert_eq!(strip_reasoning("a", &[pair]), "a");
    }
}

//! What stands inside `\boxed{…}`.

use crate::text::{is_space, split_braced, strip};

const OPEN: &str = r"\boxed{";

/// The content of the last `\boxed{…}`, trimmed; `None` where there is none or it is not closed.
///
/// Source: `extract_boxed_content` of mathruler, which writes the string `None` for nothing.
pub fn boxed_content(text: &str) -> Option<&str> {
    let start = text.rfind(OPEN)? + OPEN.len();
    split_braced(&text[start..]).map(|(content, _)| strip(content))
}

/// Which boxes of a text count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Boxes {
    /// All, joined by commas.
    All,
    /// The last, and those before it that belong to it: hardly any text between, or a short one with a separator.
    Last,
}

/// The contents of the boxes of a LaTeX text joined by commas; the text itself when there is none.
///
/// A last box that is not closed, or that has no braces, is read to the end. Source: `extract_boxed_content` of
/// latex2sympy2_extended.
pub(crate) fn unboxed(text: &str, boxes: Boxes) -> String {
    let mut found: Vec<&str> = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.rfind(r"\boxed").max(rest.rfind(r"\fbox")) {
        let command = if rest[start..].starts_with(r"\boxed") { r"\boxed".len() } else { r"\fbox".len() };
        let tail = rest[start + command..].trim_start_matches(is_space);
        let Some(braced) = tail.strip_prefix('{').and_then(split_braced) else {
            if found.is_empty() && !tail.is_empty() {
                found.push(tail);
            }
            break;
        };
        let content = strip(braced.0);
        if boxes == Boxes::Last && found.last().is_some_and(|next| !belongs_together(content, next, braced.1)) {
            break;
        }
        if found.last() != Some(&content) {
            found.push(content);
        }
        rest = &rest[..start];
    }
    if found.is_empty() {
        return text.to_owned();
    }
    found.reverse();
    found.join(",")
}

/// Whether a box and the one after it are one answer, by what stands between them.
fn belongs_together(content: &str, next: &str, between: &str) -> bool {
    let length = between.chars().count();
    let separated = between.contains([',', ';'])
        || between.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "and" || word == "or");
    length < 10 || (length < 70 && content != next && separated)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_box_counts_and_has_to_be_closed() {
        assert_eq!(boxed_content(r"a \boxed{1} b \boxed{ {2} }"), Some("{2}"));
        assert_eq!(boxed_content(r"\boxed{\boxed{2}}"), Some("2"));
        assert_eq!(boxed_content(r"\boxed{1"), None);
        assert_eq!(boxed_content("boxed{1}"), None);
    }

    #[test]
    fn boxes_near_each_other_are_one_answer() {
        assert_eq!(unboxed(r"\boxed{1}, \boxed{2}", Boxes::Last), "1,2");
        assert_eq!(unboxed(r"\boxed{1} which was the first thing tried, then \boxed{2}", Boxes::Last), "1,2");
        assert_eq!(unboxed(r"\boxed{1} which was the first thing tried then \boxed{2}", Boxes::Last), "2");
        assert_eq!(unboxed(r"\boxed{1} which was the first thing tried then \boxed{2}", Boxes::All), "1,2");
    }

    #[test]
    fn a_box_without_an_end_is_read_to_the_end() {
        assert_eq!(unboxed(r"so \boxed 3", Boxes::Last), "3");
        assert_eq!(unboxed(r"so \boxed{3", Boxes::Last), "{3");
        assert_eq!(unboxed("no box", Boxes::Last), "no box");
    }
}

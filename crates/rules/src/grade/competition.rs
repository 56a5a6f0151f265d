//! One way of writing the answers of competition mathematics.

use crate::text::strip;

/// The answer in that way; where it cannot be rewritten, only trimmed.
///
/// Source: `normalize_answer` of mathruler, after the grader of the MATH data set.
pub(super) fn canonical(answer: &str) -> String {
    let answer = strip(answer);
    let answer = inside_text(answer).map_or(answer, strip);
    rewritten(answer).unwrap_or_else(|| answer.to_owned())
}

/// The content of a `\text{…}` that is the whole answer.
pub(super) fn inside_text(answer: &str) -> Option<&str> {
    let content = answer.strip_prefix(r"\text{")?.strip_suffix('}')?;
    (!content.is_empty() && !content.contains('\n')).then_some(content)
}

fn rewritten(answer: &str) -> Option<String> {
    let mut text = answer.replace('\n', "").replace(r"\!", "").replace(r"\\", r"\");
    text = text.replace("tfrac", "frac").replace("dfrac", "frac");
    for noise in [r"\left", r"\right", r"^{\circ}", r"^\circ", r"\$"] {
        text = text.replace(noise, "");
    }
    // Units stand in a `\text` that begins with a space.
    if let Some((value, unit)) = text.split_once(r"\text{ ") {
        if unit.contains(r"\text{ ") {
            return None;
        }
        text = value.to_owned();
    }
    text = text.replace(r"\%", "").replace('%', "").replace(" .", " 0.").replace("{.", "{0.");
    if text.starts_with('.') {
        text.insert(0, '0');
    }
    if let Some((name, value)) = text.split_once('=')
        && !value.contains('=')
        && name.chars().count() <= 2
    {
        text = value.to_owned();
    }
    let text = braced_roots(&text)?.replace(' ', "");
    let text = braced_fractions(&text)?;
    let text = if text == "0.5" { r"\frac{1}{2}".to_owned() } else { text };
    Some(fraction_of_integers(&text).unwrap_or(text))
}

/// `\sqrt3` with braces.
fn braced_roots(text: &str) -> Option<String> {
    let mut parts = text.split(r"\sqrt");
    let mut braced = parts.next()?.to_owned();
    for part in parts {
        let first = part.chars().next()?;
        braced.push_str(r"\sqrt");
        match first {
            '{' => braced.push_str(part),
            _ => braced.extend(["{", &part[..first.len_utf8()], "}", &part[first.len_utf8()..]]),
        }
    }
    Some(braced)
}

/// `\frac12` and `\frac1{72}` with braces.
fn braced_fractions(text: &str) -> Option<String> {
    let mut parts = text.split(r"\frac");
    let mut braced = parts.next()?.to_owned();
    for part in parts {
        braced.push_str(r"\frac");
        let mut chars = part.chars();
        let above = chars.next()?;
        if above == '{' {
            braced.push_str(part);
            continue;
        }
        let Some(below) = chars.next() else { return Some(text.to_owned()) };
        braced.extend(['{', above, '}', '{']);
        if below != '{' {
            braced.extend([below, '}']);
        }
        braced.push_str(chars.as_str());
    }
    Some(braced)
}

/// `3/4` as `\frac{3}{4}`.
pub(crate) fn fraction_of_integers(text: &str) -> Option<String> {
    let (above, below) = text.split_once('/')?;
    (is_integer(above) && is_integer(below)).then(|| format!(r"\frac{{{above}}}{{{below}}}"))
}

/// Written as an integer is printed: no sign but a minus, no leading zeros.
fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    plain && (!digits.starts_with('0') || text == "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notations_of_one_answer_are_one_text() {
        for (answer, expected) in [
            (r"\frac34", r"\frac{3}{4}"),
            ("3/4", r"\frac{3}{4}"),
            ("0.5", r"\frac{1}{2}"),
            ("x=5", "5"),
            (r"\text{A}", "A"),
            (r"90^\circ", "90"),
            (r"7\text{ cm}", "7"),
            (r"\sqrt3", r"\sqrt{3}"),
            (".5", r"\frac{1}{2}"),
            (r"\left( 1, 2 \right)", "(1,2)"),
        ] {
            assert_eq!(canonical(answer), expected, "{answer}");
        }
    }

    #[test]
    fn what_breaks_off_is_left_as_it_is() {
        assert_eq!(canonical(r" 2\sqrt "), r"2\sqrt");
        assert_eq!(canonical(r"1\frac"), r"1\frac");
    }
}

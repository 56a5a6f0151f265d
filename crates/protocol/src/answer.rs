//! The final answer inside a reply.

const OPEN: &str = "<answer>";
const CLOSE: &str = "</answer>";
const THINK: &str = "<think>";
const THINK_END: &str = "</think>";

/// The text after the last `<answer>`, up to the next `</answer>` if there is one, trimmed.
///
/// A reply that was cut off inside the answer gives what is there. `None` without the tag.
/// Source: VisionThink, the `split` reading of the answer tags.
pub fn extract_answer(text: &str) -> Option<&str> {
    let (_, tail) = text.rsplit_once(OPEN)?;
    Some(tail.split(CLOSE).next().unwrap_or(tail).trim())
}

/// What to show as the answer: the answer tags, else the reply without its thinking, trimmed.
///
/// Empty when the reply never got past its thinking.
pub fn final_answer(text: &str) -> &str {
    if let Some(answer) = extract_answer(text) {
        return answer;
    }
    if let Some((_, tail)) = text.rsplit_once(THINK_END) {
        return tail.trim();
    }
    text.split(THINK).next().unwrap_or(text).trim()
}

/// The text with every closed `<think>…</think>` block cut out. An unclosed `<think>` hides nothing.
pub(crate) fn without_thinking(text: &str) -> String {
    let mut visible = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, inside)) = rest.split_once(THINK) {
        let Some((_, after)) = inside.split_once(THINK_END) else {
            break;
        };
        visible.push_str(before);
        rest = after;
    }
    visible.push_str(rest);
    visible
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_answer_counts() {
        let text = "<think>is it <answer>6</answer>?</think><answer> 7\n</answer>";
        assert_eq!(extract_answer(text), Some("7"));
    }

    #[test]
    fn an_answer_that_was_cut_off_is_still_an_answer() {
        assert_eq!(extract_answer("<answer>fort"), Some("fort"));
    }

    #[test]
    fn a_reply_without_tags_is_its_own_answer_without_the_thinking() {
        assert_eq!(extract_answer("it is 7"), None);
        assert_eq!(final_answer("<think>hm</think>\n it is 7 \n"), "it is 7");
        assert_eq!(final_answer(" it is 7 "), "it is 7");
        assert_eq!(final_answer("<think>never ends"), "");
    }

    #[test]
    fn only_closed_thinking_is_hidden() {
        assert_eq!(without_thinking("a<think>b</think>c<think>d</think>e"), "ace");
        assert_eq!(without_thinking("a<think>b"), "a<think>b");
        assert_eq!(without_thinking("a</think>b"), "a</think>b");
    }
}

//! A reply as it comes in, told apart into what is thought and what is answered.

use std::mem;

const THINK: &str = "<think>";
const THINK_END: &str = "</think>";
const ANSWER: &str = "<answer>";
const ANSWER_END: &str = "</answer>";

/// Something that can be shown at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Of the text between `<think>` and `</think>`.
    Thought(String),
    /// Of the text between `<answer>` and `</answer>`, outside the thinking.
    Answer(String),
}

/// Takes a reply in chunks of any size and gives out thoughts and the first answer, without tags, without white space
/// around them, and in pieces that do not depend on where the chunks were cut: their concatenation is always the same.
///
/// What stands outside of both is held back: only its end tells whether it is an answer, a call or neither
/// (see [`Dialogue::answer`](crate::Dialogue::answer)).
#[derive(Debug, Default)]
pub struct ReplySplitter {
    place: Place,
    /// Not looked at yet: the end of it may be half a tag.
    pending: String,
    /// White space that is shown only if something follows it.
    space: String,
    /// Whether the part that is being read has begun with something other than white space.
    begun: bool,
    thought: bool,
    answered: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
enum Place {
    #[default]
    Outside,
    Thinking,
    Answering,
    Behind,
}

impl ReplySplitter {
    /// Takes a chunk.
    pub fn push(&mut self, chunk: &str) -> Vec<Piece> {
        self.pending.push_str(chunk);
        let mut pieces = Vec::new();
        while self.step(&mut pieces) {}
        pieces
    }

    /// What was still held back of a thought or an answer that is not closed.
    pub fn end(&mut self) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let rest = mem::take(&mut self.pending);
        self.show(&rest, &mut pieces);
        pieces
    }

    /// Whether a piece of an answer was given out.
    pub fn has_answered(&self) -> bool {
        self.answered
    }

    /// Goes past one tag; false when there is none.
    fn step(&mut self, pieces: &mut Vec<Piece>) -> bool {
        let tags: &[(&str, Place)] = match self.place {
            Place::Outside => &[(THINK, Place::Thinking), (ANSWER, Place::Answering)],
            Place::Thinking => &[(THINK_END, Place::Outside)],
            Place::Answering => &[(ANSWER_END, Place::Behind)],
            Place::Behind => &[],
        };
        let found = tags.iter().filter_map(|(tag, place)| Some((self.pending.find(tag)?, tag.len(), *place))).min();
        let Some((at, length, place)) = found else {
            let whole = self.pending.len() - half_a_tag(&self.pending, tags);
            let rest = self.pending.split_off(whole);
            let text = mem::replace(&mut self.pending, rest);
            self.show(&text, pieces);
            return false;
        };
        let rest = self.pending.split_off(at + length);
        let text = mem::replace(&mut self.pending, rest);
        self.show(text.get(..at).unwrap_or_default(), pieces);
        self.place = place;
        self.begun = false;
        self.space.clear();
        true
    }

    fn show(&mut self, text: &str, pieces: &mut Vec<Piece>) {
        if !matches!(self.place, Place::Thinking | Place::Answering) {
            return;
        }
        let text = if self.begun { text } else { text.trim_start() };
        let solid = text.trim_end();
        if solid.is_empty() {
            self.space.push_str(text);
            return;
        }
        let mut shown = mem::take(&mut self.space);
        shown.push_str(solid);
        self.space.push_str(text.get(solid.len()..).unwrap_or_default());
        if self.place == Place::Thinking {
            // A second thought of the same reply begins on a line of its own.
            if !self.begun && self.thought {
                shown.insert(0, '\n');
            }
            self.thought = true;
            pieces.push(Piece::Thought(shown));
        } else {
            self.answered = true;
            pieces.push(Piece::Answer(shown));
        }
        self.begun = true;
    }
}

/// Length of the longest end of `text` that begins one of the tags.
fn half_a_tag(text: &str, tags: &[(&str, Place)]) -> usize {
    let longest = |tag: &str| (1..tag.len()).rev().find(|length| text.ends_with(&tag[..*length])).unwrap_or(0);
    tags.iter().map(|(tag, _)| longest(tag)).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split<'a>(chunks: impl IntoIterator<Item = &'a str>) -> (String, String) {
        let mut splitter = ReplySplitter::default();
        let mut pieces: Vec<Piece> = chunks.into_iter().flat_map(|chunk| splitter.push(chunk)).collect();
        pieces.extend(splitter.end());
        let (mut thought, mut answer) = (String::new(), String::new());
        for piece in pieces {
            match piece {
                Piece::Thought(text) => thought += &text,
                Piece::Answer(text) => answer += &text,
            }
        }
        assert_eq!(splitter.has_answered(), !answer.is_empty());
        (thought, answer)
    }

    fn texts(thought: &str, answer: &str) -> (String, String) {
        (thought.to_owned(), answer.to_owned())
    }

    #[test]
    fn thoughts_and_the_answer_come_without_tags_and_margins() {
        assert_eq!(split(["<think>\n a b \n</think>\n<answer> 7 </answer> bye"]), texts("a b", "7"));
        assert_eq!(
            split(["<think>a</think>x<think>b</think><answer>7</answer><answer>8</answer>"]),
            texts("a\nb", "7")
        );
        assert_eq!(
            split(["<think>is it <answer>6</answer>?</think><answer>7"]),
            texts("is it <answer>6</answer>?", "7")
        );
        assert_eq!(split(["plain"]), texts("", ""));
    }

    #[test]
    fn a_thought_is_given_out_while_it_is_thought() {
        let mut splitter = ReplySplitter::default();
        assert_eq!(splitter.push("<thi"), []);
        assert_eq!(splitter.push("nk>one "), [Piece::Thought("one".to_owned())]);
        assert_eq!(splitter.push("two</th"), [Piece::Thought(" two".to_owned())]);
        assert_eq!(splitter.push("ey>"), [Piece::Thought("</they>".to_owned())]);
    }

    proptest! {
        #[test]
        fn where_the_chunks_are_cut_does_not_matter(
            pieces in prop::collection::vec(prop_oneof![
                Just("<think>"), Just("</think>"), Just("<answer>"), Just("</answer>"), Just(" "), Just("\n"), Just("<"),
                Just("é"), Just("7"), Just("</"), Just("<answer"), Just("<tool_call>"),
            ], 0..24),
            cuts in prop::collection::vec(0..200usize, 0..8),
        ) {
            let text = pieces.concat();
            let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| text.is_char_boundary(*cut)).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let chunks = cuts.windows(2).map(|ends| &text[ends[0]..ends[1]]);
            prop_assert_eq!(split(chunks), split([text.as_str()]));
        }
    }
}

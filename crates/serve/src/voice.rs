//! What a client hears of one sample: told as it comes, and kept, so that the whole is what was told.

use visionthink_protocol::ImageView;

use crate::api::ApiError;
use crate::engine::{Sink, ToldPiece};

/// Speaks for one sample.
#[derive(Debug)]
pub(super) struct Voice<'a> {
    sink: &'a Sink,
    index: usize,
    content: String,
    reasoning: String,
    turns: usize,
    shows_turns: bool,
    /// A thought that comes now is the first of its turn.
    turn_is_new: bool,
}

impl<'a> Voice<'a> {
    pub(super) fn new(index: usize, sink: &'a Sink, shows_turns: bool) -> Self {
        let (content, reasoning) = (String::new(), String::new());
        Self { sink, index, content, reasoning, turns: 0, shows_turns, turn_is_new: false }
    }

    pub(super) fn index(&self) -> usize {
        self.index
    }

    /// A reply to these views has begun.
    pub(super) async fn begin_turn(&mut self, views: &[ImageView]) -> Result<(), ApiError> {
        self.turn_is_new = true;
        self.turns += 1;
        if !self.shows_turns {
            return Ok(());
        }
        let views = views.iter().map(|view| view.view).collect();
        self.sink.tell(self.index, ToldPiece::Turn { turn: self.turns, views }).await
    }

    /// Whether nothing was answered yet.
    pub(super) fn is_silent(&self) -> bool {
        self.content.is_empty()
    }

    pub(super) async fn say(&mut self, text: String) -> Result<(), ApiError> {
        if text.is_empty() {
            return Ok(());
        }
        self.content.push_str(&text);
        self.sink.tell(self.index, ToldPiece::Content(text)).await
    }

    /// Thoughts of different turns stand on lines of their own.
    pub(super) async fn think(&mut self, mut text: String) -> Result<(), ApiError> {
        if text.is_empty() {
            return Ok(());
        }
        if std::mem::take(&mut self.turn_is_new) && !self.reasoning.is_empty() {
            text.insert(0, '\n');
        }
        self.reasoning.push_str(&text);
        self.sink.tell(self.index, ToldPiece::Reasoning(text)).await
    }

    /// Index, answer, thoughts.
    pub(super) fn into_parts(self) -> (usize, String, String) {
        (self.index, self.content, self.reasoning)
    }
}

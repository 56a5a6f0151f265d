//! What a client hears of one sample: told as it comes, and kept, so that the whole is what was told.

use visionthink_protocol::{ImageView, Piece};

use crate::api::ApiError;
use crate::engine::{Sink, ToldPiece};

/// Speaks for one sample.
#[derive(Debug)]
pub(crate) struct Voice<'a> {
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
    pub(crate) fn new(index: usize, sink: &'a Sink, shows_turns: bool) -> Self {
        let (content, reasoning) = (String::new(), String::new());
        Self { sink, index, content, reasoning, turns: 0, shows_turns, turn_is_new: false }
    }

    pub(crate) fn index(&self) -> usize {
        self.index
    }

    /// A reply to these views has begun.
    pub(crate) async fn begin_turn(&mut self, views: &[ImageView]) -> Result<(), ApiError> {
        self.turn_is_new = true;
        self.turns += 1;
        if !self.shows_turns {
            return Ok(());
        }
        let views = views.iter().map(|view| view.view).collect();
        self.sink.tell(self.index, ToldPiece::Turn { turn: self.turns, views }).await
    }

    /// Whether nothing was answered yet.
    pub(crate) fn is_silent(&self) -> bool {
        self.content.is_empty()
    }

    pub(crate) async fn say(&mut self, text: String) -> Result<(), ApiError> {
        if text.is_empty() {
            return Ok(());
        }
        self.content.push_str(&text);
        self.sink.tell(self.index, ToldPiece::Content(text)).await
    }

    /// Thoughts of different turns stand on lines of their own.
    pub(crate) async fn think(&mut self, mut text: String) -> Result<(), ApiError> {
        if text.is_empty() {
            return Ok(());
        }
        if std::mem::take(&mut self.turn_is_new) && !self.reasoning.is_empty() {
            text.insert(0, '\n');
        }
        self.reasoning.push_str(&text);
        self.sink.tell(self.index, ToldPiece::Reasoning(text)).await
    }

    /// Tells pieces of a reply: thoughts at once, an answer only in a turn that is the last whatever it says.
    pub(crate) async fn tell(&mut self, pieces: Vec<Piece>, is_last: bool) -> Result<(), ApiError> {
        for piece in pieces {
            match piece {
                Piece::Thought(text) => self.think(text).await?,
                Piece::Answer(text) if is_last => self.say(text).await?,
                Piece::Answer(_) => {}
            }
        }
        Ok(())
    }

    /// Index, answer, thoughts.
    pub(crate) fn into_parts(self) -> (usize, String, String) {
        (self.index, self.content, self.reasoning)
    }
}

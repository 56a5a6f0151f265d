//! A conversation as the engine holds it: ids, positions, and what was computed for them.

use visionthink_image::GridThw;
use visionthink_model::{KvCache, ModelError, MropePositions, PositionCursor};

use crate::image_cache::ImageKey;

/// Ids so far with the keys and values of all but the pending ones.
///
/// The last id of a reply is pending: it was sampled, and no pass has seen it. It is run with the next chunk.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sequence {
    pub(crate) ids: Vec<u32>,
    /// `ids[..cached]` have keys and values, but for the absent ones.
    cached: usize,
    /// Placeholders among them whose visual tokens were dropped in front of the decoder.
    absent: usize,
    /// Where the id behind them stands.
    cursor: PositionCursor,
    /// One row; absent while it is part of a batch, and before the first pass.
    pub(crate) cache: Option<KvCache>,
    /// The images whose placeholders are in `ids`; only where prompts are kept for others.
    pub(crate) images: Vec<ImageKey>,
    /// Ids of the first prompt.
    pub(crate) prompt_tokens: usize,
    /// Where the last reply begins, and the cursor there: the text of a reply can be forgotten again.
    reply: (usize, PositionCursor),
    /// Which sample of its group it is, and how many turns it has had: its random streams.
    pub(crate) sample: u32,
    pub(crate) turns: u32,
}

/// Ids to be run behind a sequence.
#[derive(Debug, Clone)]
pub(crate) struct Chunk {
    /// Pending ids, then new ones.
    pub(crate) ids: Vec<u32>,
    pub(crate) positions: MropePositions,
    /// The images whose placeholders are in `ids`; only where prompts are kept for others.
    pub(crate) images: Vec<ImageKey>,
    cursor: PositionCursor,
}

/// What an id can be: the placeholder of images and how many patches a side it stands for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ImageTokens {
    pub(crate) id: Option<u32>,
    pub(crate) merge: u32,
}

impl Sequence {
    /// The beginning of a prompt whose keys and values are in `cache`, one row.
    ///
    /// # Errors
    /// As [`Sequence::chunk`].
    pub(crate) fn begun(
        ids: Vec<u32>,
        images: Vec<ImageKey>,
        cache: KvCache,
        image_tokens: ImageTokens,
    ) -> Result<Self, ModelError> {
        let grids: Vec<GridThw> = images.iter().map(|image| image.0).collect();
        let mut cursor = PositionCursor::new();
        cursor.advance(&ids, image_tokens.id, &grids, image_tokens.merge)?;
        let cached = ids.len();
        Ok(Self { ids, cached, cursor, cache: Some(cache), images, reply: (cached, cursor), ..Self::default() })
    }

    /// How many ids have keys and values.
    pub(crate) fn cached(&self) -> usize {
        self.cached - self.absent
    }

    /// The first id of the last reply.
    pub(crate) fn reply_start(&self) -> usize {
        self.reply.0
    }

    /// The chunk that brings the pending ids and `new_ids`.
    ///
    /// # Errors
    /// [`ModelError::ImageTokens`] where placeholders and grids do not match, or a placeholder was sampled.
    pub(crate) fn chunk(
        &self,
        new_ids: &[u32],
        grids: &[GridThw],
        image_tokens: ImageTokens,
    ) -> Result<Chunk, ModelError> {
        let pending = &self.ids[self.cached..];
        let ids = [pending, new_ids].concat();
        let mut cursor = self.cursor;
        let positions = cursor.advance(&ids, image_tokens.id, grids, image_tokens.merge)?;
        Ok(Chunk { ids, positions, images: Vec::new(), cursor })
    }

    /// Takes note that a chunk was run, all but `absent` visual tokens of it: a reply begins behind it.
    pub(crate) fn push_chunk(&mut self, chunk: &Chunk, absent: usize) {
        self.absent += absent;
        self.ids.truncate(self.cached);
        self.ids.extend_from_slice(&chunk.ids);
        self.cached = self.ids.len();
        self.cursor = chunk.cursor;
        self.reply = (self.cached, self.cursor);
        self.images.extend_from_slice(&chunk.images);
        if self.turns == 0 {
            self.prompt_tokens = self.cached;
        }
    }

    /// The id for the next decode step and its coordinate; takes note that it is run.
    pub(crate) fn decode_next(&mut self) -> (u32, u32) {
        let id = self.ids[self.cached];
        let coordinate = self.cursor.next();
        advance_text(&mut self.cursor, 1);
        self.cached += 1;
        (id, coordinate)
    }

    /// Forgets what is behind the first `tokens` ids, which lie behind the start of the last reply.
    pub(crate) fn rewind(&mut self, tokens: usize) {
        self.ids.truncate(tokens);
        if self.cached <= tokens {
            return;
        }
        let forgotten = self.cached - tokens;
        self.cached = tokens;
        let (start, cursor) = self.reply;
        self.cursor = cursor;
        advance_text(&mut self.cursor, tokens - start);
        if let Some(cache) = &mut self.cache {
            // Without holes a column is a token, and every layer has those of the reply.
            cache.compact();
            cache.truncate(cache.columns() - forgotten);
        }
    }
}

/// Sampled ids stand one behind the other, whatever they are.
fn advance_text(cursor: &mut PositionCursor, tokens: usize) {
    cursor.advance(&vec![0; tokens], None, &[], 1).expect("without a placeholder every id is text");
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAD: u32 = 9;
    const IMAGES: ImageTokens = ImageTokens { id: Some(PAD), merge: 2 };

    fn grid() -> GridThw {
        GridThw { t: 1, h: 4, w: 6 }
    }

    fn prompt() -> Vec<u32> {
        [vec![1, 2], vec![PAD; 6], vec![3]].concat()
    }

    #[test]
    fn the_last_sampled_id_is_run_with_the_next_chunk() {
        let mut sequence = Sequence::default();
        let chunk = sequence.chunk(&prompt(), &[grid()], IMAGES).unwrap();
        sequence.push_chunk(&chunk, 0);
        sequence.ids.push(4);
        assert_eq!(sequence.decode_next(), (4, 6));
        sequence.ids.push(5);
        assert_eq!((sequence.cached(), sequence.ids.len()), (10, 11));

        let chunk = sequence.chunk(&[6, 7], &[], IMAGES).unwrap();
        assert_eq!(chunk.ids, [5, 6, 7]);
        assert_eq!(chunk.positions.x, [7, 8, 9]);
        sequence.push_chunk(&chunk, 0);
        assert_eq!(sequence.ids, [prompt(), vec![4, 5, 6, 7]].concat());
    }

    #[test]
    fn a_rewound_sequence_goes_on_where_the_forgotten_ids_stood() {
        let mut sequence = Sequence::default();
        let chunk = sequence.chunk(&prompt(), &[grid()], IMAGES).unwrap();
        sequence.push_chunk(&chunk, 0);
        for id in [4, 5, 6] {
            sequence.ids.push(id);
            sequence.decode_next();
        }
        sequence.rewind(10);
        assert_eq!((sequence.cached(), sequence.cursor.next()), (10, 7));
        assert_eq!(sequence.chunk(&[8], &[], IMAGES).unwrap().positions.t, [7]);
    }

    #[test]
    fn images_and_placeholders_have_to_agree() {
        let sequence = Sequence::default();
        assert!(sequence.chunk(&prompt(), &[], IMAGES).is_err());
        assert!(sequence.chunk(&[1], &[grid()], IMAGES).is_err());
    }
}

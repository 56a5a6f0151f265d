//! Multimodal rotary positions: three coordinates (frame, row, column) per token.

use std::ops::Range;

use crate::error::ModelError;
use visionthink_image::GridThw;

/// Coordinates of one row of tokens; the three lists have one length.
///
/// Text has three equal coordinates; the tokens of an image share the frame coordinate and count rows and columns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MropePositions {
    /// Frame.
    pub t: Vec<u32>,
    /// Row.
    pub y: Vec<u32>,
    /// Column.
    pub x: Vec<u32>,
}

impl MropePositions {
    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.t.len()
    }

    /// Whether there is no token.
    pub fn is_empty(&self) -> bool {
        self.t.is_empty()
    }

    /// Those of a part of the tokens.
    ///
    /// # Panics
    /// Tokens that are not there.
    #[must_use]
    pub fn slice(&self, tokens: Range<usize>) -> Self {
        let part = |axis: &[u32]| axis[tokens.clone()].to_vec();
        Self { t: part(&self.t), y: part(&self.y), x: part(&self.x) }
    }

    /// The positions of the tokens at `places`, in the order given.
    ///
    /// # Panics
    /// A place behind the last token.
    #[must_use]
    pub fn select(&self, places: &[usize]) -> Self {
        let [t, y, x] =
            [&self.t, &self.y, &self.x].map(|axis| places.iter().map(|place| axis[*place]).collect::<Vec<u32>>());
        Self { t, y, x }
    }

    fn push(&mut self, t: u32, y: u32, x: u32) {
        self.t.push(t);
        self.y.push(y);
        self.x.push(x);
    }
}

/// Where the next token of a growing sequence stands.
///
/// Positions depend on what came before only, so a conversation that grows keeps the positions (and the key/value
/// cache) of its past: keep the cursor beside the cache and [`advance`](Self::advance) it over every appended chunk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PositionCursor {
    next: u32,
    tokens: usize,
}

impl PositionCursor {
    /// The start of a sequence.
    pub fn new() -> Self {
        Self::default()
    }

    /// The coordinate (on all three axes) of the next text token.
    pub fn next(&self) -> u32 {
        self.next
    }

    /// Tokens passed so far.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// `rope_delta` of transformers: largest coordinate so far + 1 - tokens so far; zero or negative with images.
    pub fn delta(&self) -> i64 {
        i64::from(self.next) - self.tokens as i64
    }

    /// Positions of the next tokens `ids`, and moves behind them.
    ///
    /// A text token gets (c, c, c) and c grows by one. The tokens of an image with `H` x `W` merged cells get
    /// (c, c + row, c + column) in raster order and c grows by max(H, W). An image lies within one chunk.
    ///
    /// # Errors
    /// [`ModelError::ImageTokens`] where the placeholders in `ids` are not those of `grids`, in order. The cursor does
    /// not move then.
    ///
    /// Source: transformers 5.23 `get_rope_index` of Qwen2.5-VL, for still images.
    pub fn advance(
        &mut self,
        ids: &[u32],
        image_token_id: Option<u32>,
        grids: &[GridThw],
        merge: u32,
    ) -> Result<MropePositions, ModelError> {
        let placeholders = ids.iter().filter(|id| Some(**id) == image_token_id).count();
        let expected = grids.iter().map(|grid| grid.tokens(merge)).sum();
        let mismatch = ModelError::ImageTokens { tokens: placeholders, expected };
        if placeholders != expected {
            return Err(mismatch);
        }

        let mut positions = MropePositions::default();
        let mut cursor = *self;
        let mut grids = grids.iter().filter(|grid| grid.patches() > 0);
        let mut rest = ids;
        while let Some(id) = rest.first() {
            let taken = if Some(*id) == image_token_id {
                let Some(grid) = grids.next() else { return Err(mismatch) };
                let tokens = grid.tokens(merge);
                if rest.len() < tokens || rest[..tokens].iter().any(|id| Some(*id) != image_token_id) {
                    return Err(mismatch);
                }
                cursor.pass_image(*grid, merge, &mut positions);
                tokens
            } else {
                positions.push(cursor.next, cursor.next, cursor.next);
                cursor.next += 1;
                1
            };
            rest = &rest[taken..];
        }
        cursor.tokens += ids.len();
        *self = cursor;
        Ok(positions)
    }

    fn pass_image(&mut self, grid: GridThw, merge: u32, positions: &mut MropePositions) {
        let (frames, rows, columns) = (grid.t, grid.h / merge, grid.w / merge);
        for frame in 0..frames {
            for row in 0..rows {
                for column in 0..columns {
                    positions.push(self.next + frame, self.next + row, self.next + column);
                }
            }
        }
        self.next += frames.max(rows).max(columns);
    }
}

/// Positions of one whole sequence, and its `rope_delta`; see [`PositionCursor::advance`].
pub fn mrope_positions(
    ids: &[u32],
    image_token_id: Option<u32>,
    grids: &[GridThw],
    merge: u32,
) -> Result<(MropePositions, i64), ModelError> {
    let mut cursor = PositionCursor::new();
    let positions = cursor.advance(ids, image_token_id, grids, merge)?;
    Ok((positions, cursor.delta()))
}

/// Positions of a rectangular batch of tokens [B, T], and which of them are real.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MropeBatch {
    batch: usize,
    tokens: usize,
    /// Coordinates [B * T] on the three axes; 0 where there is no token.
    axes: [Vec<u32>; 3],
    /// [B * T].
    valid: Vec<bool>,
}

impl MropeBatch {
    /// One row without padding.
    pub fn single(positions: &MropePositions) -> Self {
        Self::left_padded(std::slice::from_ref(positions))
    }

    /// Rows of different lengths, aligned at their ends. An empty row is allowed: nothing is computed for it that
    /// anything reads.
    ///
    /// # Panics
    /// Without rows.
    pub fn left_padded(rows: &[MropePositions]) -> Self {
        assert!(!rows.is_empty(), "a batch has at least one row");
        let tokens = rows.iter().map(MropePositions::len).max().unwrap_or(0);
        let mut batch = Self {
            batch: rows.len(),
            tokens,
            axes: std::array::from_fn(|_| Vec::with_capacity(rows.len() * tokens)),
            valid: Vec::with_capacity(rows.len() * tokens),
        };
        for row in rows {
            let padding = tokens - row.len();
            for (axis, values) in batch.axes.iter_mut().zip([&row.t, &row.y, &row.x]) {
                axis.extend(std::iter::repeat_n(0, padding));
                axis.extend_from_slice(values);
            }
            batch.valid.extend(std::iter::repeat_n(false, padding));
            batch.valid.extend(std::iter::repeat_n(true, row.len()));
        }
        batch
    }

    /// One text token for each row, at the coordinate given: a decode step. `None` is a row that takes no part.
    pub fn decode(coordinates: &[Option<u32>]) -> Self {
        let values: Vec<u32> = coordinates.iter().map(|coordinate| coordinate.unwrap_or(0)).collect();
        Self {
            batch: coordinates.len(),
            tokens: 1,
            axes: [values.clone(), values.clone(), values],
            valid: coordinates.iter().map(Option::is_some).collect(),
        }
    }

    /// B.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// T, padding included.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// Coordinates (frame, row, column), each [B * T].
    pub fn axes(&self) -> &[Vec<u32>; 3] {
        &self.axes
    }

    /// Which tokens are real, [B * T].
    pub fn valid(&self) -> &[bool] {
        &self.valid
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAD: u32 = 9;

    fn grid(h: u32, w: u32) -> GridThw {
        GridThw { t: 1, h, w }
    }

    #[test]
    fn text_counts_up_equally_on_all_axes() {
        let (positions, delta) = mrope_positions(&[1, 2, 3], Some(PAD), &[], 2).unwrap();
        assert_eq!(positions.t, [0, 1, 2]);
        assert_eq!(positions.t, positions.y);
        assert_eq!(positions.t, positions.x);
        assert_eq!(delta, 0);
    }

    #[test]
    fn an_image_spans_rows_and_columns_and_moves_the_text_by_its_longer_side() {
        let ids = [1, PAD, PAD, PAD, PAD, PAD, PAD, 2];
        let (positions, delta) = mrope_positions(&ids, Some(PAD), &[grid(4, 6)], 2).unwrap();
        assert_eq!(positions.t, [0, 1, 1, 1, 1, 1, 1, 4]);
        assert_eq!(positions.y, [0, 1, 1, 1, 2, 2, 2, 4]);
        assert_eq!(positions.x, [0, 1, 2, 3, 1, 2, 3, 4]);
        assert_eq!(delta, 5 - 8);
    }

    #[test]
    fn a_sequence_in_chunks_has_the_positions_of_the_whole() {
        let first = [1, PAD, 2, 3];
        let second = [4, PAD, PAD, 5];
        let whole: Vec<u32> = first.iter().chain(&second).copied().collect();
        let (expected, delta) = mrope_positions(&whole, Some(PAD), &[grid(2, 2), grid(2, 4)], 2).unwrap();

        let mut cursor = PositionCursor::new();
        let mut joined = cursor.advance(&first, Some(PAD), &[grid(2, 2)], 2).unwrap();
        let rest = cursor.advance(&second, Some(PAD), &[grid(2, 4)], 2).unwrap();
        joined.t.extend(rest.t);
        joined.y.extend(rest.y);
        joined.x.extend(rest.x);
        assert_eq!(joined, expected);
        assert_eq!(cursor.delta(), delta);
        assert_eq!(cursor.tokens(), whole.len());
    }

    #[test]
    fn placeholders_and_grids_have_to_agree() {
        let mut cursor = PositionCursor::new();
        for (ids, grids) in [
            (vec![PAD, PAD], vec![grid(2, 2)]),
            (vec![PAD], vec![]),
            (vec![1], vec![grid(2, 2)]),
            (vec![PAD, 1, PAD], vec![grid(2, 4)]),
        ] {
            assert!(cursor.advance(&ids, Some(PAD), &grids, 2).is_err(), "{ids:?}");
            assert_eq!(cursor, PositionCursor::new(), "the cursor stays where it was");
        }
    }

    #[test]
    fn padding_goes_to_the_left_and_is_not_valid() {
        let row = |values: &[u32]| MropePositions { t: values.to_vec(), y: values.to_vec(), x: values.to_vec() };
        let batch = MropeBatch::left_padded(&[row(&[0, 1, 2]), row(&[7]), row(&[])]);
        assert_eq!((batch.batch(), batch.tokens()), (3, 3));
        assert_eq!(batch.axes()[0], [0, 1, 2, 0, 0, 7, 0, 0, 0]);
        assert_eq!(batch.valid(), [true, true, true, false, false, true, false, false, false]);
    }
}

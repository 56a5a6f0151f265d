//! What sequences of a batch begin with alike, computed once.
//!
//! The samples of a group have one prompt, and where all of them call the tool in the same words one second prompt too. A *head* is all
//! that stands in front of a sequence's last reply; sequences with equal heads share one. Heads go through the network first, and what
//! is left of each sequence, its *tail*, goes on from the keys and values of its head. Targets inside a head, calls of the tool, are
//! predicted by its hidden states, which every sequence that shares it reads.
//!
//! Source: the prefix grouping of Liu et al. 2025 (arXiv:2506.05433), with keys and values handed on in place of two attentions, and
//! over several turns.

use std::collections::HashMap;

use visionthink_model::{MropeBatch, MropePositions};

use crate::transcript::Target;

/// Sharing has to save this share of the tokens: two passes of few tokens are slower than one of somewhat more.
const LEAST_SAVED: f64 = 0.25;

/// A batch in two passes.
#[derive(Debug, Clone)]
pub struct SharedHeads {
    /// The distinct heads.
    pub heads: Chunk,
    /// What is left of each sequence, at least one token.
    pub tails: Chunk,
    /// The head of each sequence.
    pub head_of: Vec<usize>,
    /// For each target the row of `[heads * their T + B * the tails' T, C]` that predicts it.
    pub rows: Vec<i64>,
}

/// Sequences, or parts of them, that go through the network together, aligned at their ends.
#[derive(Debug, Clone)]
pub struct Chunk {
    /// Token ids, row by row, without padding.
    pub ids: Vec<Vec<u32>>,
    /// Positions of [B, T], padding in front.
    pub positions: MropeBatch,
    /// The image tokens in the order of the ids, as rows of the distinct images' tokens.
    pub image_rows: Vec<i64>,
}

/// One sequence of a batch.
#[derive(Debug)]
pub(crate) struct Sequence<'a> {
    pub(crate) ids: &'a [u32],
    pub(crate) positions: &'a MropePositions,
    pub(crate) image_rows: &'a [i64],
    pub(crate) targets: &'a [Target],
}

impl SharedHeads {
    /// The heads that `sequences` share; `None` where too little would be saved.
    pub(crate) fn of(sequences: &[Sequence<'_>], image_token: Option<u32>) -> Option<Self> {
        let longest = sequences.iter().map(|one| one.ids.len()).max()?;
        let mut known = HashMap::new();
        let mut owners = Vec::new();
        let mut head_of = Vec::with_capacity(sequences.len());
        let mut splits = Vec::with_capacity(sequences.len());
        for (row, sequence) in sequences.iter().enumerate() {
            let split = sequence.split(image_token);
            let head = (&sequence.ids[..split.tokens], &sequence.image_rows[..split.image_rows]);
            head_of.push(*known.entry(head).or_insert_with(|| {
                owners.push(row);
                owners.len() - 1
            }));
            splits.push(split);
        }
        let head_tokens = splits.iter().map(|split| split.tokens).max()?;
        let tail_tokens = sequences.iter().zip(&splits).map(|(one, split)| one.ids.len() - split.tokens).max()?;
        let computed = owners.len() * head_tokens + sequences.len() * tail_tokens;
        let empty = splits.iter().any(|split| split.tokens == 0);
        if empty || computed as f64 > (1.0 - LEAST_SAVED) * (sequences.len() * longest) as f64 {
            return None;
        }

        let heads = Chunk::of(owners.iter().map(|row| sequences[*row].head(splits[*row])));
        let tails = Chunk::of(sequences.iter().zip(&splits).map(|(one, split)| one.tail(*split)));
        let mut rows = Vec::new();
        for (row, (sequence, split)) in sequences.iter().zip(&splits).enumerate() {
            for target in sequence.targets {
                let before = target.at - 1;
                rows.push(if before < split.tokens {
                    head_of[row] * head_tokens + head_tokens - split.tokens + before
                } else {
                    owners.len() * head_tokens + (row + 1) * tail_tokens + before - sequence.ids.len()
                } as i64);
            }
        }
        Some(Self { heads, tails, head_of, rows })
    }
}

/// Where a head ends.
#[derive(Debug, Clone, Copy)]
struct Split {
    tokens: usize,
    image_rows: usize,
}

/// Ids, positions and image rows of a part.
type Part<'a> = (&'a [u32], MropePositions, &'a [i64]);

impl<'a> Sequence<'a> {
    /// The head ends in front of the token that predicts the first target of the last reply.
    fn split(&self, image_token: Option<u32>) -> Split {
        let mut first = self.targets.last().map_or(self.ids.len(), |target| target.at);
        while self.targets.iter().rev().any(|target| target.at + 1 == first) {
            first -= 1;
        }
        let tokens = first - 1;
        let image_rows = self.ids[..tokens].iter().filter(|id| Some(**id) == image_token).count();
        Split { tokens, image_rows }
    }

    fn head(&self, split: Split) -> Part<'a> {
        (&self.ids[..split.tokens], self.positions.slice(0..split.tokens), &self.image_rows[..split.image_rows])
    }

    fn tail(&self, split: Split) -> Part<'a> {
        let positions = self.positions.slice(split.tokens..self.ids.len());
        (&self.ids[split.tokens..], positions, &self.image_rows[split.image_rows..])
    }
}

impl Chunk {
    fn of<'a>(parts: impl Iterator<Item = Part<'a>>) -> Self {
        let (mut ids, mut positions, mut image_rows) = (Vec::new(), Vec::new(), Vec::new());
        for (own, place, rows) in parts {
            ids.push(own.to_vec());
            positions.push(place);
            image_rows.extend_from_slice(rows);
        }
        Self { ids, positions: MropeBatch::left_padded(&positions), image_rows }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transcript::TargetKind;

    const PAD: u32 = 99;

    struct Row {
        ids: Vec<u32>,
        image_rows: Vec<i64>,
        targets: Vec<Target>,
        positions: MropePositions,
    }

    /// `at` are the places of sampled tokens.
    fn row(ids: &[u32], image_rows: &[i64], at: &[usize]) -> Row {
        let count: Vec<u32> = (0..ids.len() as u32).collect();
        let target = |at: &usize| Target { at: *at, id: ids[*at], weight: 1.0, kind: TargetKind::Answer };
        Row {
            ids: ids.to_vec(),
            image_rows: image_rows.to_vec(),
            targets: at.iter().map(target).collect(),
            positions: MropePositions { t: count.clone(), y: count.clone(), x: count },
        }
    }

    fn shared(rows: &[Row]) -> Option<SharedHeads> {
        let sequences = rows.iter().map(|Row { ids, image_rows, targets, positions }| Sequence {
            ids,
            positions,
            image_rows,
            targets,
        });
        SharedHeads::of(&sequences.collect::<Vec<_>>(), Some(PAD))
    }

    #[test]
    fn a_head_ends_in_front_of_what_predicts_the_last_reply() {
        // A prompt of four, a reply of two, a second prompt of four, a reply of one.
        let called = |last| row(&[1, PAD, 2, 3, 50, 51, 4, PAD, PAD, 5, last], &[0, 7, 8], &[4, 5, 10]);
        let found = shared(&[called(60), called(61), called(60), called(62)]).unwrap();
        assert_eq!(found.heads.ids, [[1, PAD, 2, 3, 50, 51, 4, PAD, PAD]]);
        assert_eq!(found.heads.image_rows, [0, 7, 8]);
        assert_eq!(found.tails.ids, [[5, 60], [5, 61], [5, 60], [5, 62]]);
        assert_eq!(found.tails.positions.axes()[0], [9, 10, 9, 10, 9, 10, 9, 10]);
        assert!(found.tails.image_rows.is_empty());
        assert_eq!(found.head_of, [0; 4]);
        // The call is predicted inside the head, by the same rows for all; the answers by the first token of each tail.
        assert_eq!(found.rows, [3, 4, 9, 3, 4, 11, 3, 4, 13, 3, 4, 15]);
    }

    #[test]
    fn heads_of_other_words_or_other_pictures_are_not_shared() {
        let prompt = |image: i64, reply: u32| row(&[1, 1, 1, PAD, 2, 3, reply], &[image], &[6]);
        let rows = [prompt(0, 50), prompt(0, 51), prompt(1, 50), prompt(1, 51), prompt(0, 52), prompt(1, 53)];
        let found = shared(&rows).unwrap();
        assert_eq!(found.head_of, [0, 0, 1, 1, 0, 1]);
        assert_eq!(found.heads.image_rows, [0, 1]);
    }

    #[test]
    fn padding_of_shorter_heads_and_tails_is_in_front_and_no_row_points_there() {
        let long =
            |reply: &[u32]| row(&[&[1, 1, 1, 1, 1, 2], reply].concat(), &[], &(6..6 + reply.len()).collect::<Vec<_>>());
        let short = |reply: u32| row(&[1, 1, 1, 1, 2, reply], &[], &[5]);
        let found =
            shared(&[long(&[50, 51]), long(&[50, 52]), short(60), short(61), long(&[7, 7]), short(62)]).unwrap();
        // Two heads of 5 and 4 tokens, six tails of up to 3.
        assert_eq!(found.heads.positions.valid()[5..], [false, true, true, true, true]);
        assert_eq!(found.rows, [10, 11, 13, 14, 17, 20, 22, 23, 26]);
        let valid: Vec<bool> = [found.heads.positions.valid(), found.tails.positions.valid()].concat();
        assert!(found.rows.iter().all(|row| valid[*row as usize]));
    }

    #[test]
    fn what_would_save_little_is_left_whole() {
        let alone = |first: u32| row(&[first, 1, 1, 1, 2, 50], &[], &[5]);
        assert!(shared(&[alone(1), alone(2), alone(3)]).is_none());
        // A reply that begins at the second token leaves nothing to share.
        let bare = row(&[1, 50, 51], &[], &[1, 2]);
        assert!(shared(&[bare]).is_none());
        assert!(shared(&[]).is_none());
    }
}

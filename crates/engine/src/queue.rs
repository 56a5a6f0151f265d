//! Turns that wait for their prompt to be run, or for a free row.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use visionthink_image::Patches;
use visionthink_model::KvCache;

use crate::backend::{SequenceId, TurnId};
use crate::batch::Batch;
use crate::row::{Opening, Row, Settings};
use crate::sequence::{Chunk, Sequence};

/// A turn by its names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) turn: TurnId,
    pub(crate) id: SequenceId,
    /// Which sample of the group.
    pub(crate) sample: u32,
}

/// A prompt to be run once for all its members.
#[derive(Debug)]
pub(crate) struct Prompt {
    pub(crate) members: Vec<Member>,
    pub(crate) past: Sequence,
    pub(crate) chunk: Chunk,
    pub(crate) images: Vec<Arc<Patches>>,
    pub(crate) settings: Arc<Settings>,
    /// Whether the only member took the past over, so that cancelling gives it back.
    pub(crate) owns_past: bool,
    pub(crate) queued_at: Instant,
}

/// What the members of a group share once their prompt was run.
#[derive(Debug)]
pub(crate) struct Stem {
    /// Without its cache.
    pub(crate) sequence: Sequence,
    pub(crate) settings: Arc<Settings>,
    pub(crate) opening: Opening,
}

/// A member whose prompt was run when there was no free row for it.
#[derive(Debug)]
pub(crate) struct Fork {
    pub(crate) member: Member,
    /// Whether it is the member that the prompt was run for.
    pub(crate) runs_prompt: bool,
    pub(crate) stem: Arc<Stem>,
    /// One row, shared with the other forks of the group until it is decoded.
    pub(crate) cache: KvCache,
    /// Of the last prompt token, [V].
    pub(crate) logits: Arc<[f32]>,
}

/// A running turn that has made room for others, as a batch of one row.
#[derive(Debug)]
pub(crate) struct Paused {
    pub(crate) batch: Batch,
    pub(crate) since: Instant,
}

/// First come, first served.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    pub(crate) prompts: VecDeque<Prompt>,
    pub(crate) forks: VecDeque<Fork>,
    pub(crate) paused: VecDeque<Paused>,
}

impl Queue {
    /// Turns that wait.
    pub(crate) fn waiting(&self) -> usize {
        let members: usize = self.prompts.iter().map(|prompt| prompt.members.len()).sum();
        members + self.forks.len() + self.paused.len()
    }

    /// Paused turns for free rows, as far as they wait longer than any prompt.
    pub(crate) fn take_paused(&mut self, free_rows: usize) -> Vec<Batch> {
        let next_prompt = self.prompts.front().map(|prompt| prompt.queued_at);
        let is_next = |paused: &&Paused| next_prompt.is_none_or(|queued_at| paused.since <= queued_at);
        let count = self.paused.iter().take(free_rows).take_while(is_next).count();
        self.paused.drain(..count).map(|paused| paused.batch).collect()
    }

    /// Takes a paused turn out, with its cache.
    pub(crate) fn remove_paused(&mut self, turn: TurnId) -> Option<Row> {
        let is_it = |paused: &Paused| paused.batch.rows.iter().any(|row| row.turn == turn);
        let index = self.paused.iter().position(is_it)?;
        let Batch { mut rows, cache } = self.paused.remove(index)?.batch;
        let mut row = rows.pop()?;
        row.sequence.cache = cache;
        Some(row)
    }

    /// Forks for free rows: they came before any waiting prompt.
    pub(crate) fn take_forks(&mut self, free_rows: usize) -> Vec<Fork> {
        let count = free_rows.min(self.forks.len());
        self.forks.drain(..count).collect()
    }

    /// Prompts for free rows, up to `max_tokens` new tokens in all but always one. A group may want more rows than
    /// are free.
    pub(crate) fn take_prompts(&mut self, mut free_rows: usize, max_tokens: usize) -> Vec<Prompt> {
        let mut taken = Vec::new();
        let mut tokens = 0;
        while let Some(prompt) = self.prompts.front() {
            tokens += prompt.chunk.ids.len();
            if free_rows == 0 || (tokens > max_tokens && !taken.is_empty()) {
                break;
            }
            free_rows = free_rows.saturating_sub(prompt.members.len());
            taken.extend(self.prompts.pop_front());
        }
        taken
    }

    /// Takes a waiting turn out. Gives its past back where it was taken over.
    pub(crate) fn remove(&mut self, turn: TurnId) -> Option<(Member, Option<Sequence>)> {
        if let Some(index) = self.forks.iter().position(|fork| fork.member.turn == turn) {
            return self.forks.remove(index).map(|fork| (fork.member, None));
        }
        for index in 0..self.prompts.len() {
            let members = &mut self.prompts[index].members;
            if let Some(at) = members.iter().position(|member| member.turn == turn) {
                let member = members.remove(at);
                if !members.is_empty() {
                    return Some((member, None));
                }
                let prompt = self.prompts.remove(index);
                let past = prompt.filter(|prompt| prompt.owns_past).map(|prompt| prompt.past);
                return Some((member, past));
            }
        }
        None
    }

    /// The waiting turn that works on a sequence.
    pub(crate) fn turn_of(&self, id: SequenceId) -> Option<TurnId> {
        let forks = self.forks.iter().map(|fork| &fork.member);
        let mut members = self.prompts.iter().flat_map(|prompt| &prompt.members).chain(forks);
        let waiting = members.find(|member| member.id == id).map(|member| member.turn);
        let mut paused = self.paused.iter().flat_map(|paused| &paused.batch.rows);
        waiting.or_else(|| paused.find(|row| row.id == id).map(|row| row.turn))
    }
}

/// Groups indices so that the rows of a group have similar lengths: padding makes up at most a fifth of it.
pub(crate) fn similar_lengths(lengths: &[usize]) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|index| lengths[*index]);
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut tokens = 0;
    for index in order {
        let length = lengths[index];
        match groups.last_mut() {
            Some(group) if 4 * length * (group.len() + 1) <= 5 * (tokens + length) => {
                tokens += length;
                group.push(index);
            }
            _ => {
                tokens = length;
                groups.push(vec![index]);
            }
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_hold_similar_lengths_and_every_index_once() {
        assert_eq!(similar_lengths(&[100, 10, 98, 11, 97]), [vec![1, 3], vec![4, 2, 0]]);
        assert_eq!(similar_lengths(&[5, 5, 5]), [vec![0, 1, 2]]);
        assert!(similar_lengths(&[]).is_empty());
    }

    #[test]
    fn padding_stays_below_a_fifth() {
        let lengths: Vec<usize> = (1..200).map(|index| index * index % 173 + 1).collect();
        let mut seen = vec![false; lengths.len()];
        for group in similar_lengths(&lengths) {
            let longest = group.iter().map(|index| lengths[*index]).max().unwrap();
            let tokens: usize = group.iter().map(|index| lengths[*index]).sum();
            assert!(4 * longest * group.len() <= 5 * tokens, "{group:?}");
            for index in group {
                seen[index] = true;
            }
        }
        assert!(seen.into_iter().all(|seen| seen));
    }
}

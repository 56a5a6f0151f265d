//! Merge rules that make given words single tokens.

use std::collections::HashMap;

/// An ordered list of merges; earlier ones are applied first.
#[derive(Debug, Default)]
pub(super) struct Merges {
    pairs: Vec<(String, String)>,
    ranks: HashMap<(String, String), usize>,
}

impl Merges {
    /// Adds the merges that are missing for `piece` to become one token.
    ///
    /// Rules are added behind all others, so they never change how an earlier piece is merged: all of its merges come first, and behind
    /// the last of them it is one token.
    pub(super) fn make_one_token(&mut self, piece: &str) {
        loop {
            let parts = self.apply(piece);
            let [left, right, ..] = parts.as_slice() else { return };
            let pair = (left.clone(), right.clone());
            self.ranks.insert(pair.clone(), self.pairs.len());
            self.pairs.push(pair);
        }
    }

    /// The rules, in order.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(left, right)| (left.as_str(), right.as_str()))
    }

    /// The tokens that the rules make, in order; two rules may make the same.
    pub(super) fn tokens(&self) -> impl Iterator<Item = String> {
        self.pairs.iter().map(|(left, right)| format!("{left}{right}"))
    }

    /// Byte-pair encoding: the pair with the lowest rank is merged until none is left.
    fn apply(&self, piece: &str) -> Vec<String> {
        let mut parts: Vec<String> = piece.chars().map(String::from).collect();
        loop {
            let rank = |at: usize| self.ranks.get(&(parts[at].clone(), parts[at + 1].clone())).map(|rank| (*rank, at));
            let Some((_, at)) = (0..parts.len().saturating_sub(1)).filter_map(rank).min() else { return parts };
            let right = parts.remove(at + 1);
            parts[at].push_str(&right);
        }
    }
}

/// The character that stands for a byte in byte-level vocabularies: itself where it is printable, else one from U+0100 on.
///
/// Source: `bytes_to_unicode` of openai/gpt-2.
pub(super) fn byte_alphabet(byte: u8) -> char {
    let printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    if printable(byte) {
        return char::from(byte);
    }
    let shifted = (0..byte).filter(|other| !printable(*other)).count() as u32;
    char::from_u32(0x100 + shifted).expect("below the surrogates")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_pieces_leave_earlier_ones_whole() {
        let mut merges = Merges::default();
        let pieces = ["bar", "bars", "Ġbar", "abba", "baba", "rabbar", "aaaa", "aaa"];
        for piece in pieces {
            merges.make_one_token(piece);
        }
        for piece in pieces {
            assert_eq!(merges.apply(piece), [piece]);
        }
    }

    #[test]
    fn bytes_have_the_characters_that_byte_level_vocabularies_give_them() {
        assert_eq!(byte_alphabet(b' '), 'Ġ');
        assert_eq!(byte_alphabet(b'\n'), 'Ċ');
        assert_eq!(byte_alphabet(b'a'), 'a');
        let mut all: Vec<char> = (0..=255).map(byte_alphabet).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 256);
    }
}

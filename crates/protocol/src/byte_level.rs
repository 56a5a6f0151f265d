//! Bytes as the characters that a byte-level vocabulary writes them with, and UTF-8 put together piece by piece.
//!
//! A byte-level vocabulary spells each byte as one printable character: printable Latin-1 stands for itself, the other
//! 68 bytes take the characters from U+0100 on, in order. Source: GPT-2, as `tokenizers` has it in `ByteLevel`.

/// The byte that a vocabulary character stands for; `None` for characters outside the alphabet.
pub(crate) fn char_to_byte(character: char) -> Option<u8> {
    let code = u32::from(character);
    match code {
        0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF => Some(code as u8),
        0x100..=0x120 => Some((code - 0x100) as u8),
        0x121..=0x142 => Some((code - 0x121 + 0x7F) as u8),
        0x143 => Some(0xAD),
        _ => None,
    }
}

/// The bytes of one vocabulary entry. An entry with a character outside the alphabet (an added token with a space,
/// say) stands for its own UTF-8.
pub(crate) fn token_bytes(token: &str) -> Vec<u8> {
    let bytes: Option<Vec<u8>> = token.chars().map(char_to_byte).collect();
    bytes.unwrap_or_else(|| token.as_bytes().to_vec())
}

/// Takes bytes as they come and gives text as soon as it is certain.
///
/// Bytes that can still become a character wait; bytes that no longer can become U+FFFD, one per maximal broken part,
/// which is what decoding everything at once gives.
#[derive(Debug, Default, Clone)]
pub(crate) struct Utf8Pieces {
    pending: Vec<u8>,
}

impl Utf8Pieces {
    /// Adds bytes and returns the text that is certain now, possibly empty.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> String {
        self.pending.extend_from_slice(bytes);
        let mut text = String::new();
        loop {
            let error = match std::str::from_utf8(&self.pending) {
                Ok(valid) => {
                    text.push_str(valid);
                    self.pending.clear();
                    return text;
                }
                Err(error) => error,
            };
            let valid: Vec<u8> = self.pending.drain(..error.valid_up_to()).collect();
            text.push_str(&String::from_utf8_lossy(&valid));
            let Some(broken) = error.error_len() else {
                return text;
            };
            self.pending.drain(..broken);
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }

    /// Ends the text: bytes that are still waiting become U+FFFD.
    pub(crate) fn finish(&mut self) -> String {
        let text = String::from_utf8_lossy(&self.pending).into_owned();
        self.pending.clear();
        text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_byte_has_exactly_one_character() {
        let mut seen = [0; 256];
        for character in '\0'..='\u{2FF}' {
            if let Some(byte) = char_to_byte(character) {
                seen[usize::from(byte)] += 1;
            }
        }
        assert_eq!(seen, [1; 256]);
        assert_eq!(token_bytes("Ġthe"), b" the");
        assert_eq!(token_bytes("<two words>"), b"<two words>");
    }

    #[test]
    fn half_a_character_waits_for_the_other_half() {
        let mut pieces = Utf8Pieces::default();
        assert_eq!(pieces.push(&[b'a', 0xE4]), "a");
        assert_eq!(pieces.push(&[0xBD]), "");
        assert_eq!(pieces.push(&[0xA0, b'b']), "你b");
        assert_eq!(pieces.push(&[0xE4, b'c']), "\u{FFFD}c");
        assert_eq!(pieces.push(&[0xF0, 0x9F]), "");
        assert_eq!(pieces.finish(), "\u{FFFD}");
        assert_eq!(pieces.finish(), "");
    }

    proptest! {
        #[test]
        fn pieces_add_up_to_the_whole(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..6), 0..12)) {
            let mut pieces = Utf8Pieces::default();
            let mut text: String = chunks.iter().map(|chunk| pieces.push(chunk)).collect();
            text.push_str(&pieces.finish());
            prop_assert_eq!(text, String::from_utf8_lossy(&chunks.concat()).into_owned());
        }
    }
}

//! What Python does to text and numbers, as far as a score depends on it.
//!
//! The recorded scores are those of Python 3.11. Rust differs in what white space is, in what a regular expression
//! calls a word character, in the spelling of numbers that it reads and in how it prints them.

pub(crate) mod character;
pub(crate) mod list_literal;
pub(crate) mod number;
pub(crate) mod text;

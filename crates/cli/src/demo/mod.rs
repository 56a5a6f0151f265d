//! What the demo shows: counts, a table for the terminal, a page for the browser.

pub(crate) mod page;
pub(crate) mod result;
pub(crate) mod table;

//! The texts that are asked.

use visionthink_eval::Row;
use visionthink_eval::question::question_text as asked;

use crate::{check, same, text};

#[test]
fn question_text() {
    check("question_text", |input, expected| {
        let task = text(input, "task").parse().map_err(|error| format!("{error}"))?;
        let row = Row::new(1, &input["doc"]).map_err(|error| error.to_string())?;
        let found = asked(task, &row).map_err(|error| error.to_string())?;
        same("text", found.as_str(), expected.as_str().unwrap())
    });
}

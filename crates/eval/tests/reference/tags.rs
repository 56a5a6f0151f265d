//! Tags, judges' replies and MathVerse's truncation.

use serde_json::Value;
use visionthink_eval::metrics::answer_tag::answer;
use visionthink_eval::metrics::judge::says_right;
use visionthink_eval::metrics::mathverse::end_of;
use visionthink_eval::metrics::mmvet::parse_reply;
use visionthink_eval::metrics::reasoning::{TagPair, strip_reasoning};

use crate::{check, field, near, same, text};

#[test]
fn answer_tag() {
    check("answer_tag", |input, expected| {
        let found = answer(text(input, "text"), field(input, "order"));
        same("answer", found, expected.as_str().unwrap())
    });
}

#[test]
fn strip_reasoning_tags() {
    check("strip_reasoning", |input, expected| {
        let pairs: Vec<TagPair> = field::<Vec<(String, String)>>(input, "tags")
            .into_iter()
            .map(|(open, close)| TagPair { open, close })
            .collect();
        let found = strip_reasoning(text(input, "text"), &pairs);
        same("text", found.as_str(), expected.as_str().unwrap())
    });
}

#[test]
fn judge_parse() {
    check("judge_parse", |input, expected| {
        let found = says_right(text(input, "reply"), field(input, "parser"));
        same("verdict", i64::from(found), expected.as_i64().unwrap())
    });
}

#[test]
fn mmvet_judge_parse() {
    check("mmvet_judge_parse", |input, expected| match (parse_reply(text(input, "judge_reply")).score(), expected) {
        (None, Value::Null) => Ok(()),
        (Some(score), expected) => near("score", score, expected),
        (None, expected) => Err(format!("no score, expected {expected}")),
    });
}

#[test]
fn mathverse_truncate() {
    check("mathverse_truncate_v032", |input, expected| {
        same("end", end_of(text(input, "prediction")), expected.as_str().unwrap())
    });
}

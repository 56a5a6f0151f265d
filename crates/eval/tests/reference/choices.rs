//! Single multiple choices, and MMMU's open questions.

use serde_json::Value;
use visionthink_eval::metrics::mcq;
use visionthink_eval::metrics::mmbench::{self, Choices};
use visionthink_eval::metrics::mmmu::{self, OpenAnswer};

use crate::{check, field, near, same, text, texts};

/// A letter as the vectors write it; an empty text and null stand for none.
fn letter(expected: &Value) -> Option<char> {
    expected.as_str().and_then(|letter| letter.chars().next())
}

#[test]
fn mcq_extract() {
    check("mcq_extract", |input, expected| {
        let letters: Vec<char> = field(input, "choices");
        same("letter", mcq::extract(text(input, "response"), &letters), letter(expected))
    });
}

fn choices(input: &Value) -> Choices<'_> {
    ["A", "B", "C", "D"].map(|letter| input["options"].get(letter).map(|text| text.as_str().unwrap()))
}

#[test]
fn mmbench_infer() {
    check("mmbench_infer", |input, expected| {
        same("letter", mmbench::infer(text(input, "prediction"), &choices(input)), letter(expected))
    });
}

#[test]
fn mmbench_static() {
    check("mmbench_static", |input, expected| {
        same("letter", mmbench::choose(text(input, "prediction"), &choices(input)), letter(expected))
    });
}

#[test]
fn mmmu_mc_parse() {
    check("mmmu_mc_parse", |input, expected| {
        same("letter", mmmu::parse_choice(text(input, "response"), &texts(input, "options")), letter(expected))
    });
}

#[test]
fn mmmu_open_parse() {
    check("mmmu_open_parse", |input, expected| {
        let (mut strings, mut numbers) = (Vec::new(), Vec::new());
        for answer in mmmu::parse_open(text(input, "response")) {
            match answer {
                OpenAnswer::Text(text) => strings.push(text),
                OpenAnswer::Number(number) => numbers.push(number),
            }
        }
        strings.sort();
        numbers.sort_by(f64::total_cmp);
        same("strings", strings, field(expected, "strings"))?;
        let wanted = expected["numbers"].as_array().unwrap();
        same("count of numbers", numbers.len(), wanted.len())?;
        numbers.iter().zip(wanted).try_for_each(|(found, expected)| near("number", *found, expected))
    });
}

#[test]
fn mmmu_open_eval() {
    check("mmmu_open_eval", |input, expected| {
        let found = mmmu::is_right_open(text(input, "response"), &texts(input, "answer"));
        same("right", found, expected.as_bool().unwrap())
    });
}

//! Single answers that are compared as text or number.

use serde_json::Value;
use visionthink_eval::Edition;
use visionthink_eval::metrics::answer_tag::TagOrder;
use visionthink_eval::metrics::mathvista::{self, Problem};
use visionthink_eval::metrics::{YesNo, anls, chartqa, mme, ocrbench, pope, realworldqa, textvqa};

use crate::{check, field, near, same, text, texts};

#[test]
fn chartqa_relaxed() {
    check("chartqa_relaxed", |input, expected| {
        let found = chartqa::relaxed_match(text(input, "prediction"), text(input, "target"));
        same("right", found, expected.as_bool().unwrap())
    });
}

#[test]
fn anls_of_one_question() {
    check("anls", |input, expected| {
        near("score", anls::anls(text(input, "prediction"), &texts(input, "answers")), expected)
    });
}

#[test]
fn textvqa_normalize() {
    check("textvqa_normalize", |input, expected| {
        same("text", textvqa::normalise(text(input, "text")).as_str(), expected.as_str().unwrap())
    });
}

#[test]
fn textvqa_accuracy() {
    check("textvqa_accuracy", |input, expected| {
        near("score", textvqa::accuracy(text(input, "prediction"), &texts(input, "answers")), expected)
    });
}

#[test]
fn ocrbench_score() {
    for (file, edition) in [("ocrbench_score", Edition::Reference), ("ocrbench_score_v032", Edition::V032)] {
        check(file, |input, expected| {
            let (prediction, dataset) = (text(input, "prediction"), text(input, "dataset"));
            let found = ocrbench::contains_answer(prediction, &texts(input, "answer"), dataset, edition);
            same("score", i64::from(found), expected.as_i64().unwrap())
        });
    }
}

#[test]
fn mme_parse() {
    check("mme_parse", |input, expected| {
        same("reply", mme::parse(text(input, "prediction")).name(), expected.as_str().unwrap())
    });
}

#[test]
fn pope_score() {
    for (file, tag) in [("pope_score", None), ("pope_score_visionthink", Some(TagOrder::CloseFirst))] {
        check(file, |input, expected| {
            let parsed = pope::parse(text(input, "prediction"), tag);
            let truth: YesNo = pope::truth(text(input, "answer")).unwrap();
            same("parsed", parsed.as_str(), text(expected, "parsed"))?;
            near("score", f64::from(pope::is_right(&parsed, truth)), &expected["score"])
        });
    }
}

#[test]
fn realworldqa_score() {
    check("realworldqa_score", |input, expected| {
        let found = realworldqa::is_right(text(input, "prediction"), text(input, "answer"));
        near("score", f64::from(found), expected)
    });
}

#[test]
fn realworldqa_paper() {
    check("realworldqa_paper", |input, expected| {
        let tag = field::<bool>(input, "answer_tag").then_some(TagOrder::OpenLastFirst);
        let filtered = realworldqa::filter(text(input, "question"), text(input, "prediction"), tag);
        same("filtered", filtered.as_str(), text(expected, "filtered"))?;
        let right = realworldqa::is_same_text(&filtered, text(input, "answer"));
        near("score", f64::from(right), &expected["score"])
    });
}

fn problem(input: &Value) -> Problem {
    Problem {
        question_type: field(input, "question_type"),
        answer_type: field(input, "answer_type"),
        choices: field::<Option<Vec<String>>>(input, "choices").unwrap_or_default(),
        precision: field(input, "precision"),
    }
}

#[test]
fn mathvista_extract() {
    check("mathvista_extract", |input, expected| {
        let found = mathvista::extract(text(input, "response"), &problem(input), field(input, "quick_extract"));
        same("extraction", found.as_deref(), expected.as_str())
    });
}

#[test]
fn mathvista_score() {
    check("mathvista_score", |input, expected| {
        let found = mathvista::normalise(text(input, "extraction"), &problem(input));
        same("normalized", found.as_deref(), expected["normalized"].as_str())?;
        let right = mathvista::is_right(found.as_deref(), text(input, "answer"));
        same("correct", right, field(expected, "correct"))
    });
}

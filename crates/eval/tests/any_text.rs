//! Whatever a model or a judge writes is scored: no text makes a rule panic or leave its range.

use proptest::prelude::*;
use serde_json::{Value, json};
use visionthink_eval::metrics::answer_tag::{TagOrder, answer};
use visionthink_eval::metrics::reasoning::{TagPair, default_pairs, strip_reasoning};
use visionthink_eval::metrics::{mathverse, mathvista, mcq, mmbench, realworldqa, textvqa};
use visionthink_eval::{Benchmark, Edition, Options, score};

/// Any text, or one of pieces that rules look for, packed closely.
fn texts() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "A",
        "B.",
        "(C)",
        ":D",
        "E ",
        "the answer is ",
        "so ",
        "=",
        "1",
        "1,234",
        "-2.5e3",
        ".5",
        "%",
        "nan",
        "inf",
        "yes",
        "no",
        "none",
        "'s",
        "İ",
        "ß",
        "ﬁ",
        "Σ",
        "５",
        "٣",
        "½",
        "é",
        "\u{301}",
        "😀",
        "\u{3000}",
        "\n",
        "\t",
        " ",
        ".",
        ",",
        "<answer>",
        "</answer>",
        "<think>",
        "</think>",
        "The answer is \"",
        "\".",
        "_",
        "\\",
        "[",
        "'",
    ]);
    prop_oneof![any::<String>(), prop::collection::vec(pieces, 0..12).prop_map(|pieces| pieces.concat())]
}

/// A row with every field that some benchmark needs, the prediction in each place where a text from outside may be.
fn row(prediction: &str, other: &str) -> Value {
    json!({
        "id": "validation_Math_1", "prediction": prediction, "judge_reply": prediction, "answers": [other, ""],
        "answer": other, "dataset": other, "question_type": "open", "options": [other, ""], "subject": other,
        "index": 1, "A": other, "B": "nan", "category": other, "L2-category": other, "answer_type": "float",
        "precision": 2, "choices": [other], "capability": other, "question": other, "subcategory": other,
        "set_id": other, "figure_id": other, "question_id": other, "gt_answer": "1", "judge": "2",
    })
}

/// What differs between benchmarks: their question types and truths are closed sets.
fn adapted(benchmark: Benchmark, mut row: Value) -> Vec<Value> {
    match benchmark {
        Benchmark::OcrBench => row["question_type"] = json!("Doc-oriented VQA"),
        Benchmark::MathVista => row["question_type"] = json!("multi_choice"),
        Benchmark::Pope | Benchmark::Mme => row["answer"] = json!("no"),
        _ => {}
    }
    if benchmark == Benchmark::Mme { vec![row.clone(), row] } else { vec![row] }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_benchmark_scores_every_text(prediction in texts(), other in texts()) {
        for benchmark in Benchmark::all() {
            for edition in [Edition::Reference, Edition::V032] {
                let answer_tag = Some(TagOrder::CloseFirst);
                let options = Options { answer_tag, reasoning_tags: default_pairs(), edition };
                let report = score(benchmark, &adapted(benchmark, row(&prediction, &other)), &options).unwrap();
                prop_assert!(report.paper_score.is_finite(), "{benchmark}");
                for sample in report.samples {
                    prop_assert!(sample.score.is_none_or(|score| (0.0..=1.0).contains(&score)), "{benchmark}");
                }
            }
        }
    }

    #[test]
    fn parsing_is_stable_and_stays_within_what_is_offered(text in texts(), other in texts()) {
        let letters = ['A', 'C'];
        prop_assert!(mcq::extract(&text, &letters).is_none_or(|letter| letters.contains(&letter)));
        let choices = [Some(other.as_str()), None, Some(""), None];
        prop_assert!(mmbench::infer(&text, &choices).is_none_or(|letter| ('A'..='E').contains(&letter)));
        for order in [TagOrder::CloseFirst, TagOrder::OpenLastFirst] {
            prop_assert!(text.contains(answer(&text, order)));
        }
        prop_assert!(text.contains(mathverse::end_of(&text)));
        realworldqa::filter(&other, &text, None);
        textvqa::normalise(&text);
        let pair = TagPair { open: "<think>".to_owned(), close: other };
        strip_reasoning(&text, &[pair]);
    }

    #[test]
    fn a_choice_is_one_of_the_choices(text in texts(), choices in prop::collection::vec(texts(), 1..4)) {
        let problem = mathvista::Problem {
            question_type: mathvista::QuestionType::MultiChoice,
            answer_type: mathvista::AnswerType::Text,
            choices,
            precision: None,
        };
        let chosen = mathvista::normalise(&text, &problem).unwrap();
        prop_assert!(problem.choices.contains(&chosen));
    }
}

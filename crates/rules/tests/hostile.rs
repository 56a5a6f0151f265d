//! Any string is a legal input: no rule panics, hangs or overflows on it.

use proptest::prelude::*;
use visionthink_rules::{
    AnswerTags, Decimals, Rule, Side, Tolerance, Truth, boxed_content, equivalent, grade_answer, math_verify,
    parse_latex, read, rule_based,
};

/// Everything at once, so that one generator serves all rules.
fn judge(given: &str, truth: &str) {
    let tolerance = Tolerance { relative: 0.01, absolute: 0.0 };
    let truths = Truth { answers: &[truth], options: &[truth, "cat", ""] };
    for rule in
        [Rule::Exact, Rule::Numeric(tolerance), Rule::Choice, Rule::MathVerify, Rule::GradeAnswer, Rule::RuleBased]
    {
        rule.judge(given, &truths);
    }
    let boxed = format!(r"\boxed{{{given}}}");
    math_verify(&format!("${truth}$"), &boxed);
    grade_answer(given, truth);
    rule_based(&[given, &boxed], truth, AnswerTags::Strict);
}

/// Pieces of answers, strung together at random: they get deeper into the parsers than random characters.
fn answer() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "1",
        "23",
        "0",
        ".5",
        ",000",
        " ",
        "x",
        "e",
        "\\pi",
        "\\frac",
        "\\sqrt",
        "{",
        "}",
        "(",
        ")",
        "[",
        "]",
        "^",
        "_",
        "+",
        "-",
        "*",
        "/",
        "=",
        "<",
        ",",
        ";",
        "\\{",
        "\\}",
        "\\cup",
        "\\pm",
        "!",
        "%",
        "\\%",
        "\\text{cm}",
        " and ",
        "$",
        "\\boxed{",
        "<answer>",
        "</answer>",
        "\\infty",
        "|",
        "\\log_",
        "\\sin",
        "million",
        "answer: ",
        "\\in",
        "\\left(",
        "é",
        "中",
        "\\",
        "9999999999",
        "^9",
        "\\binom",
    ]);
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_characters_are_judged(given in any::<String>(), truth in any::<String>()) {
        judge(&given, &truth);
    }

    #[test]
    fn random_answers_are_judged(given in answer(), truth in answer()) {
        judge(&given, &truth);
    }

    #[test]
    fn an_expression_equals_itself(text in answer()) {
        if let Some(expression) = parse_latex(&text) {
            let same = equivalent(&expression, &expression, Decimals::Exact);
            let undefined = format!("{expression:?}").contains("Undefined");
            prop_assert!(same || undefined || !expression.is_scalar());
        }
    }

    #[test]
    fn integers_are_equal_in_every_dress(n in -1_000_000_i64..1_000_000) {
        let boxed = format!(r"\boxed{{{n}}}");
        let written = n.to_string();
        prop_assert_eq!(boxed_content(&boxed), Some(written.as_str()));
        prop_assert!(math_verify(&written, &boxed));
        let (inline, decimal) = (format!("${n}$"), format!("{n}.0"));
        prop_assert!(math_verify(&inline, &decimal));
        prop_assert!(grade_answer(&decimal, &written));
        let other = (n + 1).to_string();
        prop_assert!(!math_verify(&other, &boxed));
        prop_assert!(!grade_answer(&written, &other));
    }

    #[test]
    fn fractions_are_equal_to_their_multiples(a in 1_i64..1000, b in 1_i64..1000, k in 2_i64..50) {
        let given = format!(r"\boxed{{\frac{{{}}}{{{}}}}}", a * k, b * k);
        let truth = format!("${a}/{b}$");
        prop_assert!(math_verify(&truth, &given));
        let wrong = format!("${}/{b}$", a + 1);
        prop_assert!(!math_verify(&wrong, &given));
    }
}

#[test]
fn deep_nesting_and_long_texts_come_back() {
    for piece in [
        "(", "{", "\\{", "[", "|", "-", "\\sqrt{", "\\frac{", "x^{", "\\boxed{", "$", "\\(", "\\sin ", "1,", "x",
        "answer ", "9^", "!", "x(", "x(1,", "x[", "f(2)(", "\\sin(", "a=", "\\text{", "2\\frac",
    ] {
        let text = piece.repeat(30_000);
        judge(&text, &text[..text.len() / 2]);
        let shorter = piece.repeat(150);
        judge(&format!("{shorter}1"), &format!("{shorter}2"));
    }
}

#[test]
fn towers_of_powers_do_not_hang() {
    for tower in
        ["9^9^9^9", "9^{9^{9^{9}}}", "2^{-9999999999}", "1.5^{1000000}", "x^{9999999999}", "10!!!!", "1E99999999"]
    {
        let boxed = format!(r"\boxed{{{tower}}}");
        read(&boxed, Side::Prediction);
        judge(tower, "9^9^9^8");
        assert!(!math_verify("$7$", &boxed), "{tower}");
    }
}

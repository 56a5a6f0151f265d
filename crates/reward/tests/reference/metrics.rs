//! `data_metrics`, `tool_call_metrics`.

use serde_json::Value;
use visionthink_reward::metrics::{
    MetricRules, Metrics, SequenceRow, ToolOutcome, data_metrics, tool_call_metrics, validation_tool_call_metrics,
};

use crate::{F64, Outcome, bits, check, near, number, numbers, same};

/// Every recorded number and no other.
fn compare(found: &Metrics, expected: &Value) -> Outcome {
    let expected = expected.as_object().unwrap();
    same("number of metrics", &found.len(), &expected.len())?;
    found.iter().try_for_each(|(name, value)| {
        let expected = expected.get(*name).ok_or_else(|| format!("`{name}` is not recorded"))?;
        near(name, *value, number(expected), F64)
    })
}

fn matrix<T>(value: &Value, row: fn(&Value) -> Vec<T>) -> Vec<Vec<T>> {
    value.as_array().unwrap().iter().map(row).collect()
}

#[test]
fn numbers_of_a_batch_are_the_references() {
    check("data_metrics", |row| {
        let scores = matrix(&row["token_level_scores"], numbers);
        let advantages = matrix(&row["advantages"], numbers);
        let attention = matrix(&row["attention_mask"], bits);
        let mask = &row["multi_turn_response_mask"];
        let sampled = if mask.is_null() { Vec::new() } else { matrix(mask, bits) };
        let (accuracy, format) = (numbers(&row["acc_scores"]), numbers(&row["format_scores"]));
        let rows: Vec<SequenceRow<'_>> = (0..scores.len())
            .map(|index| SequenceRow {
                token_scores: &scores[index],
                advantages: &advantages[index],
                attention: &attention[index],
                sampled: sampled.get(index).map(Vec::as_slice),
                accuracy_score: accuracy[index],
                format_score: format[index],
            })
            .collect();
        compare(&data_metrics(&rows).map_err(|error| error.to_string())?, &row["metrics"])
    });
}

#[test]
fn numbers_of_tool_calls_are_the_references() {
    check("tool_call_metrics", |row| {
        let accuracy_weight = number(&row["acc_reward_weight"]);
        let scores = numbers(&row["acc_score"]);
        let (delivered, called) = (bits(&row["has_second_image"]), bits(&row["has_tool_call_text"]));
        let outcomes: Vec<ToolOutcome> = (delivered.iter().zip(called).zip(scores))
            .map(|((&delivered, called), score)| ToolOutcome { delivered, called, correct: score == accuracy_weight })
            .collect();
        let rules = MetricRules::Reference { accuracy_weight };
        let found = match row["case"].as_str() {
            Some("train") => tool_call_metrics(&outcomes, row["n"].as_u64().unwrap() as usize, rules),
            Some("val") => validation_tool_call_metrics(&outcomes, rules),
            other => panic!("no such case: {other:?}"),
        };
        compare(&found.map_err(|error| error.to_string())?, &row["metrics"])
    });
}

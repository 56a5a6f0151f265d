//! `answer_extraction`, `format_reward`, the format fields of `rollout`, `reward_compose`.

use serde_json::Value;
use visionthink_reward::judge::{Verdict, VerdictReading};
use visionthink_reward::{
    Accuracy, AnswerReading, CallLabel, FirstTurn, Format, FormatRules, Precision, ReferencePenalty, RewardBreakdown,
    Supervision, Weights,
};

use crate::{F64, Outcome, check, check_some, near, number, same, strings};

#[test]
fn the_prediction_is_what_the_reference_hands_to_the_judge() {
    let readings = [
        ("tool_split", AnswerReading::Split),
        ("tool_strict", AnswerReading::Strict),
        ("tool_none", AnswerReading::Whole),
        ("gpt_split", AnswerReading::Split),
        ("verifier", AnswerReading::Verifier),
        ("eval_last_of_first", AnswerReading::LastOfFirst),
    ];
    check("answer_extraction", |row| {
        let turns = strings(&row["turns"]);
        readings
            .iter()
            .try_for_each(|(field, reading)| same(field, &reading.read(&turns).as_deref(), &row[field].as_str()))
    });
}

#[test]
fn formats_hold_where_the_references_do() {
    check("format_reward", |row| {
        let turns = strings(&row["turns"]);
        tool_format(&turns, &row["tool_format"], &row["tool_calls"])?;
        let joined = FormatRules::Joined.check(&turns).format == Format::Ok;
        same("joined_format", &f64::from(u8::from(joined)), &number(&row["joined_format"]))
    });
}

#[test]
fn formats_of_whole_rollouts_are_the_references() {
    let has_turns = |row: &Value| row["result"]["turn_texts"].is_array();
    check_some("rollout", " (format)", has_turns, |row| {
        let result = &row["result"];
        tool_format(&strings(&result["turn_texts"]), &result["format"], &result["tool_calls"])
    });
}

fn tool_format(turns: &[String], format: &Value, tool_calls: &Value) -> Outcome {
    let found = FormatRules::Tool.check(turns);
    same("format", &f64::from(u8::from(found.format == Format::Ok)), &number(format))
        .map_err(|difference| format!("{difference}: {:?}", found.format))?;
    same("tool_calls", &(found.tool_calls as f64), &number(tool_calls))
}

#[test]
fn scores_are_composed_as_in_the_reference() {
    check("reward_compose", |row| {
        let config = &row["config"];
        let turns = strings(&row["turns"]);
        let accuracy = accuracy(row, &turns);
        same("unjudgeable", &(accuracy == Accuracy::Unjudged), &row["unjudgeable"].as_bool().unwrap())?;
        let first_turn = FirstTurn::Direct; // The reference's penalty goes by counted calls alone.
        let mut response = RewardBreakdown::new(accuracy, FormatRules::Tool.check(&turns), first_turn);
        let weights = Weights {
            accuracy: number(&config["acc_reward_weight"]),
            format: number(&config["format_reward_weight"]),
            call_bonus: number(&config["use_tool_reward_weight"]),
        };
        let rule = ReferencePenalty {
            call_penalty: number(&config["tool_call_penalty"]),
            direct_penalty: 0.0,
            threshold: 0.0,
            filter: false,
            precision: Precision::F64,
        };
        response.control.penalty = rule.of_response(&response, &weights, label(config));
        let Some(scores) = response.scores(&weights) else {
            return same("score", &row["score"], &Value::Null);
        };
        near("score", scores.reward, number(&row["score"]), F64)?;
        near("acc_score", scores.accuracy, number(&row["acc_score"]), F64)?;
        near("format_score", scores.format, number(&row["format_score"]), F64)
    });
}

/// The reading of the config, then the recorded reply; an empty one stands for a judge that was given up.
fn accuracy(row: &Value, turns: &[String]) -> Accuracy {
    let config = &row["config"];
    let reading = match (config["gpt_extract_answer"].as_bool(), config["extract_answer_tags"].as_str()) {
        (Some(true), Some("strict")) => AnswerReading::Strict,
        (Some(true), Some("split")) => AnswerReading::Split,
        (Some(false), _) => AnswerReading::Whole,
        other => panic!("no such extraction: {other:?}"),
    };
    match reading.read(turns) {
        Some(_) => VerdictReading::AnyOne.read(row["judge_reply"].as_str().unwrap()).into(),
        None => Verdict::Wrong.into(),
    }
}

fn label(config: &Value) -> Option<CallLabel> {
    let on = |name: &str| config[name].as_bool().unwrap();
    let supervision = if on("strict_tool_call_penalty") { Supervision::Flat } else { Supervision::Share };
    on("supervise_tool_label").then(|| CallLabel { needs_full: on("use_tool"), supervision })
}

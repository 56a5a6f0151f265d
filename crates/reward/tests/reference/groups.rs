//! `group_reward`, `group_filter`, `grpo_advantage`.

use serde_json::Value;
use visionthink_reward::{
    Accuracy, AdvantageRule, BatchFilter, Eq5, FilterConfig, FilterStep, GroupControl, GroupStats, PenaltyRule,
    Precision, ReferencePenalty, RewardBreakdown, Scope, ScoredGroup, ScoredSample, TokenRewards, Weights, advantages,
    has_spread, token_advantages,
};

use crate::{F32, F64, Outcome, all_near, bits, check, near, number, numbers, response, same, strings};

const PRECISIONS: [(Precision, &str, f64); 2] = [(Precision::F64, "f64", F64), (Precision::F32, "f32", F32)];

#[test]
fn groups_are_penalised_as_in_the_reference_and_as_in_the_paper() {
    check("group_reward", |row| {
        penalties_of_the_reference(row)?;
        spread_and_advantages(row)?;
        penalties_of_the_paper(row)
    });
}

fn group(row: &Value) -> Vec<RewardBreakdown> {
    let (acc, fmt, tool) = (bits(&row["acc"]), bits(&row["fmt"]), bits(&row["tool"]));
    acc.iter().zip(fmt).zip(tool).map(|((&acc, fmt), tool)| response(acc, fmt, tool)).collect()
}

fn weights(config: &Value) -> Weights {
    let weight = |name: &str| number(&config[name]);
    Weights { accuracy: weight("acc_reward_weight"), format: weight("format_reward_weight"), call_bonus: 0.0 }
}

fn reference_rule(config: &Value, precision: Precision) -> ReferencePenalty {
    ReferencePenalty {
        call_penalty: number(&config["tool_call_penalty"]),
        direct_penalty: number(&config["direct_answer_penalty"]),
        threshold: number(&config["soft_tool_call_penalty_ratio"]),
        filter: config["soft_tool_call_filter"].as_bool().unwrap(),
        precision,
    }
}

fn shaped(row: &Value, rule: PenaltyRule, weights: Weights) -> (Vec<f64>, GroupControl) {
    let mut group = group(row);
    let found = rule.apply(&mut group, &weights);
    (group.iter().map(|response| response.reward(&weights)).collect(), found)
}

fn penalties_of_the_reference(row: &Value) -> Outcome {
    let weights = weights(&row["config"]);
    let scores = group(row).into_iter().map(|response| response.scores(&weights).unwrap());
    let (accuracy, format): (Vec<f64>, Vec<f64>) = scores.map(|scores| (scores.accuracy, scores.format)).unzip();
    all_near("acc_score", &accuracy, &numbers(&row["acc_score"]), F64)?;
    all_near("format_score", &format, &numbers(&row["format_score"]), F64)?;

    let rule = |precision| reference_rule(&row["config"], precision);
    let alone = ReferencePenalty { threshold: 0.0, ..rule(Precision::F64) };
    let (base, _) = shaped(row, PenaltyRule::Reference(alone), weights);
    all_near("base_reward", &base, &numbers(&row["base_reward"]), F64)?;

    // The recorded counts are those of double precision, ratio and decision those of single precision.
    let (rewards, double) = shaped(row, PenaltyRule::Reference(rule(Precision::F64)), weights);
    all_near("reward_f64", &rewards, &numbers(&row["reward_f64"]), F64)?;
    same("direct_correct", &double.ratio.map(|ratio| ratio.direct as f64), &row["direct_correct"].as_f64())?;
    same("correct", &double.ratio.map(|ratio| ratio.correct as f64), &row["correct"].as_f64())?;
    let (rewards, single) = shaped(row, PenaltyRule::Reference(rule(Precision::F32)), weights);
    all_near("reward_f32", &rewards, &numbers(&row["reward_f32"]), F32)?;
    same("direct_penalised", &single.direct_penalised, &row["direct_penalised"].as_bool().unwrap())?;
    match (single.ratio, row["ratio_f32"].as_f64()) {
        (Some(found), Some(expected)) => near("ratio_f32", found.value, expected, F32),
        (found, expected) => same("ratio_f32", &found.map(|ratio| ratio.value), &expected),
    }
}

/// From the recorded rewards: where a group has no spread, the advantage in f32 is all rounding.
fn spread_and_advantages(row: &Value) -> Outcome {
    same("kept", &has_spread(&numbers(&row["reward_f32"])), &row["kept"].as_bool().unwrap())?;
    let std = GroupStats::of(&numbers(&row["reward_f64"]), Precision::F64).std;
    near("std_f64", std.unwrap_or(f64::NAN), number(&row["std_f64"]), F64)?;
    PRECISIONS.into_iter().try_for_each(|(precision, suffix, tolerance)| {
        let rule = AdvantageRule { normalise_std: true, precision };
        let found = advantages(&numbers(&row[format!("reward_{suffix}")]), rule);
        let field = format!("advantage_{suffix}");
        all_near(&field, &found, &numbers(&row[field.as_str()]), tolerance)
    })
}

fn penalties_of_the_paper(row: &Value) -> Outcome {
    let paper = &row["paper"];
    for (scope, field) in [(Scope::Every, "reward_every"), (Scope::CorrectOnly, "reward_correct_only")] {
        let rule = PenaltyRule::Eq5(Eq5 { threshold: number(&paper["theta"]), scope, ..Eq5::paper() });
        let (rewards, found) = shaped(row, rule, Weights::paper());
        all_near(field, &rewards, &numbers(&paper[field]), F64)?;
        same("direct_penalised", &found.direct_penalised, &paper["direct_penalised"].as_bool().unwrap())?;
        same("high_penalised", &found.resize_penalised, &paper["high_penalised"].as_bool().unwrap())?;
        match (found.ratio, paper["r"].as_f64()) {
            (Some(found), Some(expected)) => near("r", found.value, expected, F64)?,
            (found, expected) => same("r", &found.map(|ratio| ratio.value), &expected)?,
        }
    }
    Ok(())
}

#[test]
fn batches_are_filled_as_in_the_reference() {
    check("group_filter", batch);
}

fn batch(row: &Value) -> Outcome {
    let limit = row["max_num_gen_batches"].as_i64().unwrap();
    let config = FilterConfig {
        groups_per_batch: row["train_batch_size"].as_u64().unwrap() as usize,
        max_generations: usize::try_from(limit).ok().filter(|&limit| limit > 0),
        reject: row["rejection_sample"].as_bool().unwrap(),
        limit_empty_generations: false,
    };
    let weights = weights(row);
    let mut filter = BatchFilter::new(config, weights);
    let mut status = ("exhausted", None);
    for generation in row["generations"].as_array().unwrap() {
        let groups = generation.as_array().unwrap().iter().map(|group| scored_group(group, &weights)).collect();
        status = match filter.push(groups) {
            FilterStep::Generate => continue,
            FilterStep::LimitReached => ("too_many_generations", None),
            FilterStep::Ready(groups) => ("ready", Some(groups.into_iter().map(|group| group.id).collect())),
        };
        break;
    }
    let result = &row["result"];
    same("status", &status.0, &result["status"].as_str().unwrap())?;
    same("num_gen_batches", &(filter.generations() as f64), &number(&result["num_gen_batches"]))?;
    let groups = Some(&result["batch_groups"]).filter(|groups| groups.is_array()).map(strings);
    same("batch_groups", &status.1, &groups)?;
    let found = filter.counts();
    let counts = [
        ("solve_none", found.solve_none),
        ("solve_all", found.solve_all),
        ("solve_acc_none", found.solve_acc_none),
        ("solve_acc_all", found.solve_acc_all),
        ("solve_format_none", found.solve_format_none),
        ("solve_format_all", found.solve_format_all),
        ("totals", found.judged),
        ("invalid_num", found.unjudged_responses),
        ("effective_num", found.effective),
    ];
    counts.iter().try_for_each(|(name, found)| same(name, &(*found as f64), &number(&result["counts"][name])))
}

fn scored_group(group: &Value, weights: &Weights) -> ScoredGroup {
    let (acc, fmt) = (numbers(&group["acc"]), numbers(&group["fmt"]));
    let samples = numbers(&group["reward"]).into_iter().zip(bits(&group["invalid"])).zip(acc.iter().zip(fmt));
    let sample = |((reward, invalid), (&acc, fmt)): ((f64, bool), (&f64, f64))| {
        let judged = if acc == weights.accuracy { Accuracy::Correct } else { Accuracy::Wrong };
        let accuracy = if invalid { Accuracy::Unjudged } else { judged };
        ScoredSample { reward, accuracy, well_formed: fmt == weights.format }
    };
    ScoredGroup { id: group["uid"].as_str().unwrap().to_owned(), samples: samples.map(sample).collect() }
}

#[test]
fn advantages_of_tokens_are_the_references() {
    check("grpo_advantage", |row| {
        let matrix = |name: &str| row[name].as_array().unwrap().iter().map(numbers).collect::<Vec<_>>();
        let masks: Vec<Vec<bool>> = row["mask"].as_array().unwrap().iter().map(bits).collect();
        let (rewards, groups) = (matrix("token_rewards"), strings(&row["group"]));
        let responses: Vec<TokenRewards<'_>> = (rewards.iter().zip(&masks).zip(&groups))
            .map(|((rewards, mask), group)| TokenRewards { group, rewards, mask })
            .collect();
        PRECISIONS.into_iter().try_for_each(|(precision, suffix, tolerance)| {
            let field = format!("advantage_{suffix}");
            let rule = AdvantageRule { normalise_std: true, precision };
            let found = token_advantages(&responses, rule).map_err(|error| error.to_string())?;
            same("rows", &found.len(), &matrix(&field).len())?;
            let mut rows = found.iter().zip(matrix(&field));
            rows.try_for_each(|(found, expected)| all_near(&field, found, &expected, tolerance))
        })
    });
}

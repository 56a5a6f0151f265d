//! `visionthink reward`: what given rollouts are worth, without a model.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::atomic::AtomicBool;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use visionthink_protocol::{Decision, Mode, Profile, Tool, ToolCallParse, final_answer};
use visionthink_reward::{Accuracy, Format, GroupControl, Overlong, RewardBreakdown};
use visionthink_rules::Truth;
use visionthink_train::grpo::{Group, GrpoConfig, score};
use visionthink_train::{AnswerJudge, Given};

use crate::args::RewardArguments;
use crate::commands::grpo;
use crate::device::DeviceChoice;
use crate::failure::Failure;
use crate::output;
use crate::progress;

/// A rollout. What a run writes into `rollouts/` has these keys among others.
#[derive(Debug, Deserialize)]
struct Row {
    /// Rollouts of one question that are compared with each other stand behind one another and share this; without it, rows with the
    /// same question do.
    #[serde(default)]
    group: Option<serde_json::Value>,
    question: String,
    /// The answer that counts as right.
    expected: String,
    /// The model's text, turn by turn.
    turns: Vec<String>,
    /// Without it the first turn is read by the rules of the profile.
    #[serde(default)]
    decision: Option<Decision>,
    /// Without it the judge of the run file is asked.
    #[serde(default)]
    accuracy: Option<Accuracy>,
    /// Sampled tokens; only a run file with a length penalty needs them.
    #[serde(default)]
    completion_tokens: Option<usize>,
}

impl Row {
    fn same_group(&self, other: &Self) -> bool {
        match (&self.group, &other.group) {
            (None, None) => self.question == other.question,
            (one, other) => one == other,
        }
    }
}

/// What a rollout is worth.
#[derive(Debug, Serialize)]
struct Worth<'a> {
    group: usize,
    sample: usize,
    accuracy: Accuracy,
    decision: Decision,
    /// The rule that broke, in words.
    broken_format: Option<String>,
    reward: Parts,
    /// Of the turn that answered, and of the one that called.
    advantage: f64,
    call_advantage: Option<f64>,
    /// What the penalty rule found in the group.
    control: &'a GroupControl,
}

#[derive(Debug, Serialize)]
struct Parts {
    accuracy: f64,
    format: f64,
    penalty: f64,
    /// What the length takes off or adds.
    length: f64,
    total: f64,
}

pub(crate) fn run(arguments: &RewardArguments) -> anyhow::Result<()> {
    let config = grpo::read(&arguments.config)?;
    let rows = read(&arguments.input)?;
    check(&rows, &config, &arguments.input)?;
    let profile = Profile::by_name(&config.data.profile)?;
    let tool = profile.tool.as_ref().filter(|_| config.rollout.mode == Mode::Adaptive);
    let decisions: Vec<Decision> = rows.iter().map(|row| row.decision.unwrap_or_else(|| decision(tool, row))).collect();
    let verdicts = judge(&config, tool, &rows, &arguments.device)?;
    let mut first = 0;
    let (mut groups, mut flat) = (0, 0);
    for rows in rows.chunk_by(Row::same_group) {
        let members = first..first + rows.len();
        first = members.end;
        let (decisions, verdicts) = (&decisions[members.clone()], &verdicts[members]);
        let responses = rows.iter().zip(decisions).zip(verdicts).map(|((row, decision), verdict)| {
            RewardBreakdown::new(*verdict, config.reward.format.check(&row.turns), (*decision).into())
        });
        let tokens: Vec<usize> = rows.iter().map(|row| row.completion_tokens.unwrap_or(0)).collect();
        let group = score(responses.collect(), &tokens, &config.reward, &config.advantage);
        for (sample, decision) in decisions.iter().enumerate() {
            output::json(&worth(&group, groups, sample, *decision, &config))?;
        }
        groups += 1;
        flat += usize::from(group.advantages.iter().all(|advantages| advantages.answer == 0.0));
    }
    let unjudged = verdicts.iter().filter(|verdict| **verdict == Accuracy::Unjudged).count();
    progress::tell(&format!(
        "{} rollouts in {groups} groups; {flat} groups have nothing to teach, {unjudged} rollouts have no verdict",
        rows.len()
    ));
    Ok(())
}

/// Refuses rows whose rewards would be other ones than the run file means.
fn check(rows: &[Row], config: &GrpoConfig, file: &Path) -> Result<(), Failure> {
    let refused =
        |number: usize, what: String| Failure::usage(format!("{}: rollout {}: {what}", file.display(), number + 1));
    if matches!(config.advantage.overlong, Overlong::Soft(_))
        && let Some(number) = rows.iter().position(|row| row.completion_tokens.is_none())
    {
        return Err(refused(
            number,
            "`completion_tokens` is missing, and `advantage.overlong` takes length into account".to_owned(),
        ));
    }
    let mut ended: Vec<&serde_json::Value> = Vec::new();
    for (number, pair) in rows.windows(2).enumerate() {
        if let [before, row] = pair
            && !before.same_group(row)
        {
            ended.extend(&before.group);
            if let Some(group) = row.group.as_ref().filter(|group| ended.contains(group)) {
                let what = format!("group {group} has ended before; advantages compare the rollouts of a whole group");
                return Err(refused(number + 1, what).hint("sort the file by `group`"));
            }
        }
    }
    Ok(())
}

fn read(file: &Path) -> anyhow::Result<Vec<Row>> {
    let reader = BufReader::new(fs_err::File::open(file).map_err(|error| Failure::usage(error.to_string()))?);
    let mut rows = Vec::new();
    for (number, line) in reader.lines().enumerate() {
        let line = line.with_context(|| file.display().to_string())?;
        if line.trim().is_empty() {
            continue;
        }
        let row: Row = serde_json::from_str(&line).map_err(|error| {
            Failure::usage(format!("{}:{}: {error}", file.display(), number + 1))
                .hint("a row has `question`, `expected` and `turns`, a list of the model's texts")
        })?;
        rows.push(row);
    }
    Ok(rows)
}

fn decision(tool: Option<&Tool>, row: &Row) -> Decision {
    match (tool, row.turns.first()) {
        (Some(tool), Some(turn)) => match tool.parse(turn) {
            ToolCallParse::None => Decision::Direct,
            ToolCallParse::Resize => Decision::Resize,
            ToolCallParse::Malformed(_) => Decision::Malformed,
        },
        _ => Decision::None,
    }
}

/// The verdict of every row, its own where it has one.
fn judge(
    config: &GrpoConfig,
    tool: Option<&Tool>,
    rows: &[Row],
    device: &DeviceChoice,
) -> anyhow::Result<Vec<Accuracy>> {
    let open: Vec<(usize, [&str; 1], &Row)> = rows
        .iter()
        .enumerate()
        .filter(|(_, row)| row.accuracy.is_none())
        .map(|(index, row)| (index, [row.expected.as_str()], row))
        .collect();
    let mut verdicts: Vec<Accuracy> = rows.iter().map(|row| row.accuracy.unwrap_or(Accuracy::Unjudged)).collect();
    if open.is_empty() {
        return Ok(verdicts);
    }
    let given: Vec<Given<'_>> = open
        .iter()
        .map(|(_, expected, row)| Given {
            question: &row.question,
            truth: Truth { answers: expected, options: &[] },
            answer: answer(tool, row),
        })
        .collect();
    let (device, _) = device.open()?;
    let mut judge = AnswerJudge::open(&config.reward.judge, &config.verdicts(), &device)?;
    let found = judge.judge(&given, &AtomicBool::new(false))?;
    for ((index, ..), verdict) in open.iter().zip(found) {
        verdicts[*index] = verdict;
    }
    Ok(verdicts)
}

/// What the last turn answers; a call is no answer.
fn answer<'a>(tool: Option<&Tool>, row: &'a Row) -> Option<&'a str> {
    let last = row.turns.last()?;
    let answers = tool.is_none_or(|tool| tool.parse(last) == ToolCallParse::None);
    answers.then(|| final_answer(last)).filter(|answer| !answer.is_empty())
}

fn worth<'a>(group: &'a Group, number: usize, sample: usize, decision: Decision, config: &GrpoConfig) -> Worth<'a> {
    let response = &group.responses[sample];
    let scores = response.scores(&config.reward.weights);
    let (accuracy, format) = scores.map_or((0.0, 0.0), |scores| (scores.accuracy, scores.format));
    let penalty = scores.map_or(0.0, |_| response.control.penalty.amount());
    let total = group.rewards[sample];
    Worth {
        group: number,
        sample,
        accuracy: response.accuracy,
        decision,
        broken_format: match &response.format {
            Format::Ok => None,
            Format::Broken(fault) => Some(fault.to_string()),
        },
        reward: Parts { accuracy, format, penalty, length: total - (accuracy + format - penalty), total },
        advantage: group.advantages[sample].answer,
        call_advantage: (decision == Decision::Resize).then_some(group.advantages[sample].call),
        control: &group.control,
    }
}

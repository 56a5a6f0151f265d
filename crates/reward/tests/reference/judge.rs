//! `judge_prompt`, `judge_verdict`, `judge_verifier`, `judge_retry`, and the judge's strings in `prompts`.

use serde_json::Value;
use visionthink_reward::judge::{
    CallOutcome, JUDGE_SYSTEM, JUDGE_USER, Question, Retry, RetryPolicy, RetryStep, VERIFIER_USER, Verdict,
    VerdictReading, VerifierFamily, VerifierReading,
};

use crate::{F64, Outcome, all_near, check, file, number, numbers, same};

fn text<'a>(row: &'a Value, field: &str) -> &'a str {
    row[field].as_str().unwrap()
}

fn score(verdict: Option<Verdict>) -> Option<f64> {
    verdict.map(|verdict| f64::from(u8::from(verdict == Verdict::Correct)))
}

#[test]
fn prompt_strings_of_the_judge_are_the_released_ones() {
    let Some(page) = file("prompts.json") else {
        return;
    };
    let prompts: Value = serde_json::from_str(&page).unwrap();
    let strings = [
        ("judge.system", JUDGE_SYSTEM),
        ("judge.user", JUDGE_USER),
        ("verifier.system.qwen3", VerifierFamily::Qwen3.system_prompt()),
        ("verifier.system.qwen2_5", VerifierFamily::Qwen2_5.system_prompt()),
        ("verifier.user", VERIFIER_USER),
    ];
    let known: Vec<_> = strings.iter().filter(|(key, _)| prompts[key].is_object()).collect();
    let failed: Vec<_> = known.iter().filter(|(key, ours)| text(&prompts[key], "text") != *ours).collect();
    println!("reference rl/prompts.json (judge): {} cases, {} passed", known.len(), known.len() - failed.len());
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn prompts_are_filled_in_as_in_the_reference() {
    check("judge_prompt", |row| {
        let asked = Question {
            question: text(row, "question"),
            ground_truth: text(row, "ground_truth"),
            prediction: text(row, "prediction"),
        };
        same("system", &JUDGE_SYSTEM, &text(row, "system"))?;
        same("user", &asked.judge_prompt().as_str(), &text(row, "user"))?;
        same("verifier_user", &asked.verifier_prompt().as_str(), &text(row, "verifier_user"))
    });
}

#[test]
fn lenient_verdicts_are_the_references() {
    check("judge_verdict", |row| {
        let [any, last] = [VerdictReading::AnyOne, VerdictReading::LastScore].map(|how| how.read(text(row, "reply")));
        same("accepted", &any.is_some(), &row["accepted"].as_bool().unwrap())?;
        same("tool_verdict", &score(any), &row["tool_verdict"].as_f64())?;
        same("general_verdict", &score(last), &row["general_verdict"].as_f64())
    });
}

#[test]
fn verifiers_are_read_as_in_the_reference() {
    check("judge_verifier", |row| {
        let reply = text(row, "reply");
        for (family, name) in [(VerifierFamily::Qwen3, "qwen3"), (VerifierFamily::Qwen2_5, "qwen25")] {
            let kept = format!("{name}_text");
            same(&kept, &family.verdict_text(reply), &text(row, &kept))?;
            let field = format!("{name}_score");
            same(&field, &score(family.read(reply, VerifierReading::Contains)), &row[field.as_str()].as_f64())?;
        }
        Ok(())
    });
}

#[test]
fn judges_are_asked_again_as_in_the_reference() {
    check("judge_retry", retry);
}

fn retry(row: &Value) -> Outcome {
    let mut script = row["script"].as_array().unwrap().iter().map(|entry| entry.as_str().unwrap());
    let mut retry = Retry::new(RetryPolicy::reference(), VerdictReading::AnyOne);
    let (mut temperatures, mut sleeps) = (Vec::new(), Vec::new());
    let verdict = loop {
        match retry.next_step() {
            RetryStep::Call { temperature } => {
                temperatures.push(temperature);
                let outcome = match script.next().ok_or("more calls than the script has")? {
                    "@rate" => CallOutcome::RateLimited,
                    "@error" | "@none" => CallOutcome::Failed,
                    reply => CallOutcome::Reply(reply),
                };
                retry.report(outcome).map_err(|error| error.to_string())?;
            }
            RetryStep::Sleep { secs } => sleeps.push(secs),
            RetryStep::Done(verdict) => break Some(verdict),
            RetryStep::GiveUp => break None,
        }
    };
    same("result", &score(verdict), &row["result"].as_f64())?;
    same("unjudgeable", &verdict.is_none(), &row["unjudgeable"].as_bool().unwrap())?;
    same("calls", &(temperatures.len() as f64), &number(&row["calls"]))?;
    all_near("temperatures", &temperatures, &numbers(&row["temperatures"]), F64)?;
    all_near("sleeps", &sleeps, &numbers(&row["sleeps"]), F64)
}

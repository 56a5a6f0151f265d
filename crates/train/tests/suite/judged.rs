//! Reinforcement by a language model's verdicts, over HTTP from a server on this machine that does what a script says.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use burn::tensor::Device;
use serde_json::Value;
use visionthink_judge::{EndpointKind, JudgeEndpoint, Prices};
use visionthink_train::grpo::{GrpoConfig, GrpoEvent, GrpoReport, train_policy};
use visionthink_train::{JudgeSection, Start, TrainError};

use crate::grpo::{run, small_run};
use crate::server::{Answer, Request, Server};

/// The small run, with hardly any patience for a judge that fails.
fn judged_run(out: &Path, server: &Server) -> GrpoConfig {
    let mut config = small_run(out);
    config.rollout.steps = 2;
    config.checkpoint.every = 5;
    config.reward.judge = JudgeSection::Endpoint(Box::new(JudgeEndpoint {
        failure_wait_secs: 0.001,
        timeout_secs: 20.0,
        max_attempts: 2,
        max_unreachable: 5,
        prices: Some(Prices { prompt: 1.0, completion: 10.0 }),
        ..JudgeEndpoint::new(EndpointKind::OpenAi, server.url(), "judge-1")
    }));
    config
}

/// Right where both texts are equal, as the rule `exact` has it.
fn fair(request: &Request) -> Answer {
    let (_, rest) = request.prompt().split_once("**Ground Truth Answer**: ").unwrap();
    let truth = rest.lines().next().unwrap();
    Answer::Says(format!("Score: {}", u8::from(truth.eq_ignore_ascii_case(request.prediction().trim()))))
}

/// Numbers of `metrics.jsonl` under a name, line by line.
fn logged(config: &GrpoConfig, name: &str) -> Vec<f64> {
    let text = fs_err::read_to_string(config.folder().join("metrics.jsonl")).unwrap();
    text.lines().filter_map(|line| serde_json::from_str::<Value>(line).unwrap()[name].as_f64()).collect()
}

fn saved_step(report: &GrpoReport) -> Option<&str> {
    report.checkpoint.file_name().and_then(|name| name.to_str())
}

#[test]
fn a_judge_that_says_what_a_rule_says_teaches_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(|_, request| fair(request));
    let config = judged_run(&folder.path().join("judged"), &server);
    let judged = run(&config, Start::Fresh, None).unwrap();
    let mut by_rule = small_run(&folder.path().join("rule"));
    by_rule.rollout.steps = 2;
    let by_rule = run(&by_rule, Start::Fresh, None).unwrap();
    assert_eq!(judged.rewards, by_rule.rewards);
    assert_eq!(judged.evaluation, by_rule.evaluation);

    let sums = |name: &str| logged(&config, name).iter().sum::<f64>();
    let calls = sums("judge/calls") + sums("eval/judge/calls");
    assert_eq!(calls, server.calls() as f64);
    assert!(sums("judge/cached") > 0.0, "answers of a group are often the same, and asked about once");
    assert_eq!(sums("judge/failed"), 0.0);
    assert_eq!(sums("judge/prompt_tokens"), 100.0 * sums("judge/calls"));
    // 100 tokens at 1 and 5 at 10 a million.
    assert!((sums("judge/cost") - 150e-6 * sums("judge/calls")).abs() < 1e-12);
    assert!(logged(&config, "seconds/judge").iter().all(|seconds| *seconds > 0.0));
    assert!(config.verdicts().join("verdicts.jsonl").is_file());
}

#[test]
fn a_run_whose_judge_goes_away_is_saved_and_goes_on_with_the_judge_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let gone = Arc::new(AtomicBool::new(false));
    let seen = gone.clone();
    let server = Server::start(move |_, request| {
        if seen.load(Ordering::Relaxed) {
            Answer::raw("401 Unauthorized", "{\"error\": {\"message\": \"who are you?\"}}")
        } else {
            fair(request)
        }
    });
    let mut config = judged_run(&folder.path().join("parts"), &server);
    let stop = AtomicBool::new(false);
    let error = train_policy(&config, &Device::flex(), Start::Fresh, &stop, &mut |event| {
        if matches!(event, GrpoEvent::Step { .. }) {
            gone.store(true, Ordering::Relaxed);
        }
    })
    .unwrap_err();
    assert!(matches!(error, TrainError::Judge { step: 2, .. }), "{error}");
    let said = error.to_string();
    for part in [server.url(), "served none of", "calls in a row", "401", "who are you?"] {
        assert!(said.contains(part), "`{part}` is not in {said}");
    }
    assert!(config.folder().join("checkpoints/step-1/model.safetensors").is_file());

    let elsewhere = Server::start(|_, request| fair(request));
    let JudgeSection::Endpoint(endpoint) = &mut config.reward.judge else { unreachable!() };
    endpoint.url = elsewhere.url().to_owned();
    let resumed = run(&config, Start::Resume, None).unwrap();
    let whole = run(&judged_run(&folder.path().join("whole"), &elsewhere), Start::Fresh, None).unwrap();
    assert_eq!(resumed.rewards, whole.rewards[1..]);
    assert_eq!(resumed.evaluation, whole.evaluation);
}

#[test]
fn answers_that_the_judge_fails_on_drop_their_groups_and_are_never_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(|nth, request| match nth % 16 {
        3 => Answer::raw("500 Internal Server Error", "oops"),
        7 => Answer::raw("200 OK", "<html>Score: 1</html>"),
        11 => Answer::Hang,
        _ => fair(request),
    });
    let mut config = judged_run(folder.path(), &server);
    let JudgeSection::Endpoint(endpoint) = &mut config.reward.judge else { unreachable!() };
    endpoint.max_attempts = 1;
    endpoint.timeout_secs = 1.0;
    config.log.eval_questions = 0;
    let report = run(&config, Start::Fresh, None).unwrap();
    assert_eq!((report.step, saved_step(&report)), (2, Some("step-2")));
    assert!(report.rewards.iter().all(|reward| reward.is_finite()), "{:?}", report.rewards);
    let failed: f64 = logged(&config, "judge/failed").iter().sum();
    assert!(failed > 0.0);
    assert_eq!(logged(&config, "groups/unjudged_responses").iter().sum::<f64>(), failed);
    let verdicts = fs_err::read_to_string(config.verdicts().join("verdicts.jsonl")).unwrap();
    assert!(!verdicts.contains("html") && !verdicts.contains("oops"), "{verdicts}");
}

#[test]
fn a_judge_that_never_gives_a_verdict_ends_the_run_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::saying("I like this answer.");
    let config = judged_run(folder.path(), &server);
    let error = run(&config, Start::Fresh, None).unwrap_err();
    assert!(matches!(error, TrainError::Judge { step: 1, .. }), "{error}");
    let said = error.to_string();
    for part in ["`judge-1` at", server.url(), "judged none of", "the reply has no verdict"] {
        assert!(said.contains(part), "`{part}` is not in {said}");
    }
}

#[test]
fn a_stop_does_not_wait_for_a_judge_that_hangs_and_counts_no_half_step() {
    let folder = tempfile::tempdir().unwrap();
    let hung = Arc::new(AtomicBool::new(false));
    let stop = Arc::new(AtomicBool::new(false));
    let (seen, asked) = (hung.clone(), stop.clone());
    let server = Server::start(move |_, request| {
        if !seen.load(Ordering::Relaxed) {
            return fair(request);
        }
        // Ctrl-C while the judge asks for patience.
        asked.store(true, Ordering::Relaxed);
        Answer::later("retry-after: 25")
    });
    let config = judged_run(folder.path(), &server);
    let report = train_policy(&config, &Device::flex(), Start::Fresh, &stop, &mut |event| {
        if matches!(event, GrpoEvent::Step { .. }) {
            hung.store(true, Ordering::Relaxed);
        }
    })
    .unwrap();
    assert_eq!((report.step, report.total_steps, saved_step(&report)), (1, 2, Some("step-1")));
    assert!(report.seconds < 25.0, "it waited for the judge: {} s", report.seconds);
    assert!(config.folder().join("checkpoints/step-1/model.safetensors").is_file());
}

#[test]
fn what_is_wrong_with_the_judge_is_found_before_anything_is_loaded() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = fs_err::read_to_string(root.join("configs/micro-grpo.toml")).unwrap();
    let endpoint = "judge.endpoint = { kind = \"openai\", url = \"ftp://x\", model = \"\", concurrency = 0 }";
    let broken = text.replace("judge = \"exact\"", endpoint);
    let error = GrpoConfig::from_toml(&broken, Path::new("run.toml")).unwrap_err().to_string();
    for key in ["url", "model", "concurrency"] {
        assert!(error.contains(&format!("run.toml: `reward.judge.endpoint.{key}`")), "{key}: {error}");
    }
    let unknown = text.replace("judge = \"exact\"", "judge = \"guess\"");
    let error = GrpoConfig::from_toml(&unknown, Path::new("run.toml")).unwrap_err().to_string();
    assert!(error.contains("unknown variant `guess`") && error.contains("`rule-based`"), "{error}");
}

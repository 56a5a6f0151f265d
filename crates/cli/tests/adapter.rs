//! A low-rank adapter from the run that learns it to the programs that read it: `grpo`, `export`, `generate`.
#![expect(clippy::unwrap_used, reason = "in a test an error is a failure")]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

fn visionthink(arguments: &[&str], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_visionthink")).args(arguments).current_dir(folder).output().unwrap()
}

fn succeed(arguments: &[&str], folder: &Path) -> String {
    let output = visionthink(arguments, folder);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The shipped run file with some of its text replaced.
fn run_file(folder: &Path, replaced: &[(&str, &str)]) {
    let mut text = fs_err::read_to_string(format!("{ROOT}/configs/micro-lora.toml")).unwrap();
    text = text.replace("assets/micro-base", &format!("{ROOT}/assets/micro-base"));
    for (from, to) in replaced {
        assert!(text.contains(from), "the run file has no {from}");
        text = text.replace(from, to);
    }
    fs_err::write(folder.join("run.toml"), text).unwrap();
}

/// Log-probabilities of a completion under a model.
fn logprobs(folder: &Path, model: &[&str]) -> Vec<f64> {
    let arguments = ["score", "--input", "requests.jsonl", "--device", "cpu"];
    let said = succeed(&[&arguments[..], model].concat(), folder);
    let scored: Value = serde_json::from_str(&said).unwrap();
    scored["logprobs"].as_array().unwrap().iter().map(|logprob| logprob.as_f64().unwrap()).collect()
}

fn furthest(one: &[f64], other: &[f64]) -> f64 {
    assert_eq!(one.len(), other.len());
    one.iter().zip(other).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

#[test]
fn what_a_run_learns_is_read_back_as_peft_writes_it_and_as_a_merged_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let small = [
        ("steps = 80", "steps = 3"),
        ("groups = 32", "groups = 2"),
        ("group_size = 8", "group_size = 4"),
        ("max_new_tokens = 32", "max_new_tokens = 8"),
        ("warmup_steps = 5", "warmup_steps = 0"),
        ("hold_steps = 55", "hold_steps = 3"),
        ("lr = 1e-3", "lr = 1e-2"),
        ("micro_batch = 64", "micro_batch = 8"),
        ("eval_questions = 150", "eval_questions = 0"),
    ];
    run_file(folder.path(), &small);
    succeed(&["grpo", "--config", "run.toml", "--device", "cpu"], folder.path());
    let checkpoint = "runs/micro-lora/checkpoints/step-3";
    assert!(!folder.path().join(checkpoint).join("model.safetensors").exists(), "the base is not saved again");
    succeed(&["export", "--checkpoint", checkpoint, "--lora", "peft", "--out", "adapter"], folder.path());
    succeed(&["export", "--checkpoint", checkpoint, "--merge", "--dtype", "f32", "--out", "merged"], folder.path());

    // The files and keys that PEFT reads.
    let read = |name: &str| fs_err::read(folder.path().join("adapter").join(name)).unwrap();
    let settings: Value = serde_json::from_slice(&read("adapter_config.json")).unwrap();
    assert_eq!(
        (&settings["peft_type"], &settings["r"], &settings["lora_alpha"]),
        (&json!("LORA"), &json!(16), &json!(32))
    );
    let factors = read("adapter_model.safetensors");
    assert!(String::from_utf8_lossy(&factors).contains(".self_attn.q_proj.lora_A.weight"));

    let picture = format!("{ROOT}/fixtures/models/images/shapes_224x224.png");
    let message = json!({"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": picture}},
        {"type": "text", "text": "What shape is red?"},
    ]});
    let request = json!({"messages": [message], "completion": "circle, or a square"});
    fs_err::write(folder.path().join("requests.jsonl"), format!("{request}\n")).unwrap();
    let base = format!("{ROOT}/assets/micro-base");
    let of_base = logprobs(folder.path(), &["--model", &base]);
    let of_run = logprobs(folder.path(), &["--model", &base, "--adapter", checkpoint]);
    let of_peft = logprobs(folder.path(), &["--model", &base, "--adapter", "adapter"]);
    let of_merged = logprobs(folder.path(), &["--model", "merged"]);
    assert!(of_base.iter().chain(&of_peft).all(|logprob| logprob.is_finite()));
    // f32 on a CPU; each way merges the same factors into the same weights.
    assert!(furthest(&of_run, &of_peft) < 1e-4, "{of_run:?} {of_peft:?}");
    assert!(furthest(&of_merged, &of_peft) < 1e-4, "{of_merged:?} {of_peft:?}");
    assert!(furthest(&of_base, &of_peft) > 1e-3, "three steps change what it says: {of_base:?} {of_peft:?}");

    let arguments = ["generate", "--input", "asked.jsonl", "--max-tokens", "8", "--device", "cpu", "--model"];
    let asked = json!({"messages": request["messages"]});
    fs_err::write(folder.path().join("asked.jsonl"), format!("{asked}\n")).unwrap();
    let generated = |model: &[&str]| {
        let said = succeed(&[&arguments[..], model].concat(), folder.path());
        serde_json::from_str::<Value>(&said).unwrap()["completion_ids"].clone()
    };
    assert_eq!(generated(&[&base, "--adapter", "adapter"]), generated(&["merged"]));
    // An adapter of one model does not fit another.
    let other = format!("{ROOT}/fixtures/models/qwen2_5_vl-a");
    let output = visionthink(&[&arguments[..], &[&other, "--adapter", "adapter"]].concat(), folder.path());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("adapter") && !said.contains("panicked"), "{said}");
}

#[test]
fn check_refuses_an_adapter_that_cannot_be_with_the_key_at_fault() {
    let folder = tempfile::tempdir().unwrap();
    for (from, to, expected) in [
        ("rank = 16", "rank = 0", "`model.lora.rank` is 0"),
        ("alpha = 32.0", "alpha = 0.0", "`model.lora.alpha` is 0"),
        ("alpha = 32.0", "alpha = 32.0\ndropout = 0.05", "`model.lora.dropout` is 0.05"),
        ("\"gate_proj\"", "\"gate\"", "`model.lora.target_modules`"),
        ("trainable = []", "trainable = \"all\"", "`model.trainable` is `all` and `model.lora` is given"),
        ("rank = 16", "rank = 16\nbias = \"none\"", "unknown key `model.lora.bias`"),
    ] {
        run_file(folder.path(), &[(from, to)]);
        let output = visionthink(&["check", "run.toml"], folder.path());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{to}: {said}");
        assert!(said.contains(expected), "{to}: {said}");
    }
    run_file(folder.path(), &[]);
    assert!(succeed(&["check", "run.toml"], folder.path()).contains("[model.lora]"));
}

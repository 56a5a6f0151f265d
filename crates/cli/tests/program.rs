//! The program as a person and a script meet it: exit codes, messages, and what lands where.
#![expect(clippy::unwrap_used, reason = "in a test an error is a failure")]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures");

fn visionthink(arguments: &[&str], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_visionthink")).args(arguments).current_dir(folder).output().unwrap()
}

/// Runs what must succeed and returns stdout.
fn succeed(arguments: &[&str], folder: &Path) -> String {
    let output = visionthink(arguments, folder);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs what must fail with this code, say nothing on stdout, and name the problem on stderr.
fn fail(arguments: &[&str], folder: &Path, code: i32, said: &[&str]) {
    let output = visionthink(arguments, folder);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
    assert!(output.stdout.is_empty(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
    assert!(!stderr.contains("panicked"), "{arguments:?}: {stderr}");
    for part in said {
        assert!(stderr.contains(part), "{arguments:?}: `{part}` is not in {stderr}");
    }
}

#[test]
fn ask_prints_the_object_of_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let image = format!("{FIXTURES}/models/images/shapes_224x224.png");
    let said = succeed(&["ask", "--image", &image, "--device", "cpu", "--json", "What shape is red?"], folder.path());
    let object: Value = serde_json::from_str(&said).unwrap();
    let keys: Vec<&String> = object.as_object().unwrap().keys().collect();
    let expected =
        ["answer", "decision", "mode", "model", "turns", "images", "visual_tokens", "usage", "timing_ms", "seed"];
    assert_eq!(keys, expected);
    assert_eq!((&object["mode"], &object["model"]), (&Value::from("adaptive"), &Value::from("micro")));
    assert_eq!(object["images"][0]["low"]["tokens"], 16);
    assert_eq!(object["images"][0]["full"]["tokens"], 64);
    assert_eq!(object["visual_tokens"]["full"], 64);
    assert!(["direct", "resize", "malformed"].contains(&object["decision"].as_str().unwrap()));
    assert!(object["usage"]["prompt_tokens"].as_u64().unwrap() > 16);
}

#[test]
fn ask_drops_visual_tokens_and_says_what_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let image = format!("{FIXTURES}/models/images/shapes_224x224.png");
    let ask = |pruning: &[&str]| {
        let arguments = ["ask", "--image", &image, "--mode", "full", "--device", "cpu", "--json", "What shape is red?"];
        serde_json::from_str::<Value>(&succeed(&[&arguments, pruning].concat(), folder.path())).unwrap()
    };
    for method in ["fastv", "sparsevlm", "visionzip", "pyramiddrop", "random", "uniform"] {
        let ledger = ask(&["--pruning", &format!("{method}:0.5")])["ledger"].clone();
        let kept = ledger["visual_tokens_per_layer"].as_f64().unwrap() / 64.0;
        assert!((kept - 0.5).abs() < 0.05, "{method}: {ledger}");
        assert_eq!(ledger["patches"], 256);
    }
    let (mut all, mut plain) = (ask(&["--pruning", "pyramiddrop:1"]), ask(&[]));
    assert_eq!(all["ledger"]["visual_kv_entries"], 4 * 64);
    all.as_object_mut().unwrap().remove("ledger");
    (all["timing_ms"], plain["timing_ms"]) = (Value::Null, Value::Null);
    assert_eq!(all, plain, "a share of one is no pruning");
    fail(&["ask", "--pruning", "fast", "hi"], folder.path(), 2, &["`fast` is no pruning method", "`fastv`"]);
    fail(&["ask", "--pruning", "fastv:0.1", "--device", "cpu", "hi"], folder.path(), 2, &["`--pruning`", "0.250"]);
}

#[test]
fn a_question_without_an_image_is_answered_as_text() {
    let folder = tempfile::tempdir().unwrap();
    let said = succeed(
        &["ask", "--device", "cpu", "--json", "--max-tokens", "8", "How many shapes are there?"],
        folder.path(),
    );
    let object: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(object["decision"], "none");
    assert_eq!(object["visual_tokens"]["used"], 0);
}

#[test]
fn modes_without_the_tool_cost_one_view() {
    let folder = tempfile::tempdir().unwrap();
    let image = format!("{FIXTURES}/models/images/shapes_224x224.png");
    for (mode, tokens) in [("low", 16), ("full", 64)] {
        let arguments = ["ask", "--image", &image, "--mode", mode, "--device", "cpu", "--json", "What shape is red?"];
        let object: Value = serde_json::from_str(&succeed(&arguments, folder.path())).unwrap();
        assert_eq!(object["visual_tokens"]["used"], tokens, "{mode}");
        assert_eq!(object["decision"], "none", "{mode}");
    }
}

#[test]
fn the_same_seed_gives_the_same_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let image = format!("{FIXTURES}/models/images/shapes_224x224.png");
    let ask = |seed: &str| {
        let arguments = [
            "ask",
            "--image",
            &image,
            "--temperature",
            "3",
            "--seed",
            seed,
            "--max-tokens",
            "12",
            "--device",
            "cpu",
            "--json",
            "Is there a red shape?",
        ];
        let object: Value = serde_json::from_str(&succeed(&arguments, folder.path())).unwrap();
        object["turns"].clone()
    };
    assert_eq!(ask("1"), ask("1"));
    assert_ne!(ask("1"), ask("2"));
}

#[test]
fn wrong_usage_is_told_with_code_2() {
    let folder = tempfile::tempdir().unwrap();
    fail(&["ask", "--device", "gpu", "hi"], folder.path(), 2, &["unknown device"]);
    fail(&["ask", "--device", "cuda:0", "hi"], folder.path(), 2, &["not in this build", "hint:", "--features cuda"]);
    fail(&["ask", "--temperature", "-1", "hi"], folder.path(), 2, &["temperature"]);
    fail(&["ask", "--max-tokens", "0", "hi"], folder.path(), 2, &["--max-tokens"]);
    fail(&["ask", "--mode", "middle", "hi"], folder.path(), 2, &["middle"]);
    let image = format!("{FIXTURES}/models/images/shapes_224x224.png");
    for (flag, said) in [
        ("--image-max-pixels", "`max_pixels` is 9"),
        ("--image-max-bytes", "`max_bytes` is 9"),
        ("--image-max-decoded-bytes", "`max_decoded_bytes`, which is 9"),
    ] {
        fail(&["inspect", &image, flag, "9"], folder.path(), 1, &[said]);
        fail(&["ask", "--image", &image, flag, "9", "hi"], folder.path(), 1, &[said]);
    }
    fail(&["synth", "--out", "x", "--split", "test", "--n", "0"], folder.path(), 2, &["--n"]);
    fs_err::write(folder.path().join("run.toml"), "[run]\nnmae = \"a\"\n").unwrap();
    fail(&["check", "run.toml"], folder.path(), 2, &["nmae"]);
    fail(&["sft", "--config", "run.toml"], folder.path(), 2, &["nmae"]);
}

#[test]
fn images_that_are_none_are_told_with_code_1() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let whole = fs_err::read(format!("{FIXTURES}/models/images/shapes_224x224.png")).unwrap();
    fs_err::write(at("empty.png"), b"").unwrap();
    fs_err::write(at("text.png"), b"hello").unwrap();
    fs_err::write(at("cut.png"), &whole[..whole.len() / 2]).unwrap();
    for name in ["empty.png", "text.png", "cut.png", "missing.png"] {
        fail(&["ask", "--image", name, "--device", "cpu", "hi"], folder.path(), 1, &[name]);
        fail(&["inspect", name], folder.path(), 1, &[name]);
    }
}

#[test]
fn a_prompt_longer_than_the_context_is_refused_with_its_length() {
    let folder = tempfile::tempdir().unwrap();
    let question = "shape ".repeat(6000);
    fail(&["ask", "--device", "cpu", &question], folder.path(), 1, &["4096"]);
}

#[test]
fn a_checkpoint_folder_with_something_wrong_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let source = Path::new(FIXTURES).join("models/qwen2_5_vl-a");
    let copy = folder.path().join("model");
    fs_err::create_dir_all(&copy).unwrap();
    let files = [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "preprocessor_config.json",
        "chat_template.jinja",
    ];
    let restore = || {
        for file in files {
            fs_err::copy(source.join(file), copy.join(file)).unwrap();
        }
    };
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        restore();
        fs_err::remove_file(copy.join(file)).unwrap();
        fail(&["ask", "--model", "model", "--device", "cpu", "hi"], folder.path(), 1, &["model"]);
        restore();
        let whole = fs_err::read(copy.join(file)).unwrap();
        fs_err::write(copy.join(file), &whole[..whole.len() / 2]).unwrap();
        fail(&["ask", "--model", "model", "--device", "cpu", "hi"], folder.path(), 1, &[file]);
    }
    fail(&["ask", "--model", "nowhere", "hi"], folder.path(), 1, &["nowhere"]);
}

#[test]
fn generate_goes_on_where_an_earlier_run_ended_and_keeps_what_it_can() {
    let folder = tempfile::tempdir().unwrap();
    let model = format!("{FIXTURES}/models/qwen2_5_vl-a");
    let requests = "{\"id\": \"a\", \"prompt\": \"one\"}\n{\"id\": \"b\", \"prompt\": \"two\", \"images\": [\"missing.png\"]}\n{\"id\": \"c\", \"prompt\": \"three\"}\n";
    fs_err::write(folder.path().join("in.jsonl"), requests).unwrap();
    fs_err::write(folder.path().join("out.jsonl"), "{\"id\":\"a\",\"kept\":true}\n").unwrap();
    let arguments = [
        "generate",
        "--model",
        &model,
        "--input",
        "in.jsonl",
        "--output",
        "out.jsonl",
        "--max-tokens",
        "3",
        "--device",
        "cpu",
    ];
    fail(&arguments, folder.path(), 1, &["missing.png", "1 request failed"]);
    let text = fs_err::read_to_string(folder.path().join("out.jsonl")).unwrap();
    let ids: Vec<Value> = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].clone()).collect();
    assert_eq!(ids, ["a", "c"]);
    assert!(text.starts_with("{\"id\":\"a\",\"kept\":true}"));
}

#[test]
fn synth_writes_both_forms_and_the_same_seed_writes_the_same_rows() {
    let folder = tempfile::tempdir().unwrap();
    for out in ["one", "two"] {
        succeed(
            &["synth", "--out", out, "--split", "test", "--n", "3", "--seed", "5", "--family", "chart"],
            folder.path(),
        );
    }
    let rows = fs_err::read_to_string(folder.path().join("one/test.jsonl")).unwrap();
    assert_eq!(rows.lines().count(), 3);
    assert_eq!(rows, fs_err::read_to_string(folder.path().join("two/test.jsonl")).unwrap());
    assert!(folder.path().join("one/test.parquet").is_file());
    fail(&["synth", "--out", "one", "--split", "test", "--n", "1"], folder.path(), 1, &["one"]);
}

#[test]
fn demo_counts_what_it_asks_and_writes_a_page() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["demo", "--questions", "6", "--modes", "low,full", "--device", "cpu", "--json"];
    let demo: Value = serde_json::from_str(&succeed(&arguments, folder.path())).unwrap();
    let rows = demo["rows"].as_array().unwrap();
    let questions: u64 = rows.iter().map(|row| row["questions"].as_u64().unwrap()).sum();
    assert_eq!(questions, 6 * 3 * 2);
    for row in rows {
        let per_question = if row["mode"] == "low" { 4 } else { 16 };
        assert_eq!(row["visual_tokens"].as_u64().unwrap(), per_question * row["questions"].as_u64().unwrap());
        assert_eq!(row["resize_calls"], 0);
    }
    let page = fs_err::read_to_string(folder.path().join("demo.html")).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.contains("data:image/png;base64,"));
    assert!(!page.contains("http://") && !page.contains("https://"), "the page fetches nothing");
}

#[test]
fn the_shipped_run_files_pass_the_check() {
    let root = Path::new(FIXTURES).join("..");
    let resolved = succeed(&["check", "configs/micro-sft.toml"], &root);
    assert!(resolved.contains("[optimizer]"), "{resolved}");
}

#[test]
fn predictions_of_any_program_are_scored_by_the_rules_of_a_benchmark() {
    let folder = tempfile::tempdir().unwrap();
    let rows = "{\"id\": \"a\", \"prediction\": \"<answer>47</answer>\", \"answers\": [\"47\"]}\n\n{\"prediction\": \"no\", \"answers\": [\"seven\"]}\n";
    fs_err::write(folder.path().join("preds.jsonl"), rows).unwrap();
    let arguments = ["eval", "score", "--benchmark", "docvqa", "--input", "preds.jsonl", "--json"];
    let scored = |more: &[&str]| -> Value {
        serde_json::from_str(&succeed(&[arguments.as_slice(), more].concat(), folder.path())).unwrap()
    };
    assert_eq!(scored(&["--answer-tag", "close-first"])["paper_score"], 50.0);
    assert_eq!(scored(&[])["paper_score"], 0.0, "tags are part of the prediction unless they are cut");
    fail(&["eval", "score", "--benchmark", "nope", "--input", "preds.jsonl"], folder.path(), 2, &["docvqa"]);
    fs_err::write(folder.path().join("preds.jsonl"), "{\"prediction\": 4}\n{").unwrap();
    fail(&arguments, folder.path(), 1, &["preds.jsonl:2"]);
}

#[test]
fn a_judge_that_cannot_be_reached_decides_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let row = "{\"id\": 1, \"question\": \"?\", \"answer\": \"7\", \"prediction\": \"7\"}\n";
    fs_err::write(folder.path().join("preds.jsonl"), row).unwrap();
    let arguments =
        ["judge", "--input", "preds.jsonl", "--output", "judged.jsonl", "--endpoint", "judge.toml", "--json"];
    fail(&arguments, folder.path(), 2, &["judge.toml"]);
    // Port 1 of this machine: nobody listens there.
    let endpoint = "kind = \"openai\"\nurl = \"http://127.0.0.1:1/v1\"\nmodel = \"m\"\nmax_unreachable = 1\nfailure_wait_secs = 0.0\n";
    fs_err::write(folder.path().join("judge.toml"), endpoint).unwrap();
    fail(&arguments, folder.path(), 1, &["127.0.0.1:1"]);
    let judged = fs_err::read_to_string(folder.path().join("judged.jsonl")).unwrap_or_default();
    assert!(!judged.contains("wrong"), "{judged}");
}

#[test]
fn a_bench_has_a_row_for_each_size_and_mode_with_what_it_costs() {
    let folder = tempfile::tempdir().unwrap();
    let arguments =
        ["bench", "--device", "cpu", "--sizes", "112,168", "--questions", "3", "--prices", "1,0,2", "--json"];
    let said: Value = serde_json::from_str(&succeed(&arguments, folder.path())).unwrap();
    let rows = said["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 6);
    for row in rows {
        let number = |key: &str| row[key].as_f64().unwrap();
        let expected = 1e-3 * (number("prompt_tokens") + 2.0 * number("completion_tokens"));
        assert!((number("cost") - expected).abs() < 1e-9, "{row}");
        assert!(row["latency_ms"]["p50"].as_f64().unwrap() <= row["latency_ms"]["p95"].as_f64().unwrap(), "{row}");
        assert!(number("questions_per_second") > 0.0);
    }
    assert_eq!(
        (&rows[0]["mode"], &rows[0]["visual_tokens"], &rows[0]["saved"]),
        (&"full".into(), &16.0.into(), &0.0.into())
    );
    assert_eq!((&rows[4]["mode"], &rows[4]["visual_tokens"]), (&"low".into(), &9.0.into()));
    fail(&["bench", "--prices", "1,2"], folder.path(), 2, &["`1,2` are no prices"]);
}

#[test]
fn every_shipped_run_file_passes_check_and_what_is_not_there_is_a_warning() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut checked = Vec::new();
    for entry in fs_err::read_dir(root.join("configs")).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        if Path::new(&name).extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let output = visionthink(&["check", &format!("configs/{name}")], &root);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{name}: {stderr}");
        let resolved = String::from_utf8(output.stdout).unwrap();
        let section = match name.as_str() {
            "serve.toml" => "[[upstream]]",
            "serve-embedded.toml" => "[engine]",
            _ => "[run]",
        };
        assert!(resolved.contains(section), "{name}: {resolved}");
        if name.contains("7b") && !root.join("checkpoints").exists() {
            assert!(stderr.contains("`model.checkpoint`") && stderr.contains("which is not there"), "{name}: {stderr}");
        }
        checked.push(name);
    }
    for name in ["efficient-7b.toml", "general-7b.toml", "curate-7b.toml", "micro-curate.toml", "tiny-general.toml"] {
        assert!(checked.iter().any(|checked| checked == name), "{name}: {checked:?}");
    }
}

/// A run file of `configs` that stands on its own feet, with some of its text replaced.
fn run_file(name: &str, folder: &Path, replaced: &[(&str, &str)]) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut text = fs_err::read_to_string(root.join("configs").join(name)).unwrap();
    text = text.replace("assets/micro-base", &root.join("assets/micro-base").to_string_lossy());
    for (from, to) in replaced {
        assert!(text.contains(from), "{name} has no {from}");
        text = text.replace(from, to);
    }
    let file = folder.join(name);
    fs_err::write(&file, text).unwrap();
    file.to_string_lossy().into_owned()
}

#[test]
fn a_curation_that_was_killed_goes_on_where_it_was_and_ends_as_if_it_had_not_been() {
    let folder = tempfile::tempdir().unwrap();
    let sizes = [
        ("questions = 600", "questions = 40"),
        ("max_rows = 64", "max_rows = 16"),
        ("out = \"runs\"", "out = \"whole\""),
    ];
    let whole = run_file("micro-curate.toml", folder.path(), &sizes);
    let said = succeed(&["curate", "--config", &whole, "--device", "cpu"], folder.path());
    assert!(said.contains("40 questions, 8 answers each"), "{said}");

    let parts =
        run_file("micro-curate.toml", folder.path(), &[sizes[0], sizes[1], ("out = \"runs\"", "out = \"parts\"")]);
    let mut child = Command::new(env!("CARGO_BIN_EXE_visionthink"))
        .args(["curate", "--config", &parts, "--device", "cpu"])
        .current_dir(folder.path())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let progress = folder.path().join("parts/micro-curate/progress.jsonl");
    while fs_err::metadata(&progress).map_or(0, |found| found.len()) == 0 {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it was killed");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    fail(&["curate", "--config", &parts, "--device", "cpu"], folder.path(), 1, &["a curation is there already"]);
    succeed(&["curate", "--config", &parts, "--resume", "--device", "cpu"], folder.path());
    for name in ["progress.jsonl", "summary.json", "train.parquet", "eval.parquet"] {
        let read = |out: &str| fs_err::read(folder.path().join(out).join("micro-curate").join(name)).unwrap();
        assert!(read("parts") == read("whole"), "{name} differs");
    }
}

#[test]
fn rewards_of_given_rollouts_need_no_model() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = tempfile::tempdir().unwrap();
    let call = r#"<tool_call>{\"name\":\"resize_image\",\"arguments\":{\"action\":\"resize\"}}</tool_call>"#;
    let row = |turns: &str| format!(r#"{{"question": "How many?", "expected": "4", "turns": [{turns}]}}"#);
    let rows = [
        row(r#""<answer>4</answer>""#),
        row(&format!(r#""{call}", "<answer>4</answer>""#)),
        row(&format!(r#""{call}", "<answer>5</answer>""#)),
        row(r#""four, I think""#),
    ];
    fs_err::write(folder.path().join("rollouts.jsonl"), rows.join("\n")).unwrap();
    let said = succeed(
        &[
            "reward",
            "--input",
            &folder.path().join("rollouts.jsonl").to_string_lossy(),
            "--config",
            "configs/micro-grpo.toml",
        ],
        &root,
    );
    let found: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |key: &str| found.iter().map(|line| line[key].clone()).collect::<Vec<Value>>();
    assert_eq!(of("accuracy"), ["correct", "correct", "wrong", "wrong"]);
    assert_eq!(of("decision"), ["direct", "resize", "resize", "direct"]);
    let totals: Vec<f64> = found.iter().map(|line| line["reward"]["total"].as_f64().unwrap()).collect();
    // Half of the right answers are direct, more than the threshold of 0.2: calls pay 0.1. The last one has no tags.
    assert_eq!(totals, [1.5, 1.4, 0.4, 0.0]);
    let sum: f64 = found.iter().map(|line| line["advantage"].as_f64().unwrap()).sum();
    assert!(sum.abs() < 1e-9, "advantages are about the mean of their group: {sum}");

    fs_err::write(folder.path().join("broken.jsonl"), "{\"question\": \"How many?\"}\n").unwrap();
    let broken = folder.path().join("broken.jsonl").to_string_lossy().into_owned();
    fail(
        &["reward", "--input", &broken, "--config", "configs/micro-grpo.toml"],
        &root,
        2,
        &["broken.jsonl:1", "`expected`", "hint: a row has"],
    );

    let torn = [r#""a""#, r#""b""#, r#""a""#]
        .map(|group| format!(r#"{{"group": {group}, "question": "?", "expected": "4", "turns": ["4"]}}"#));
    fs_err::write(folder.path().join("torn.jsonl"), torn.join("\n")).unwrap();
    let torn = folder.path().join("torn.jsonl").to_string_lossy().into_owned();
    fail(
        &["reward", "--input", &torn, "--config", "configs/micro-grpo.toml"],
        &root,
        2,
        &["rollout 3", "group \"a\" has ended before"],
    );
    let text = fs_err::read_to_string(root.join("configs/micro-grpo.toml")).unwrap();
    let soft = "overlong = { soft = { expected = 8, buffer = 4, penalty = 1.0 } }";
    assert!(text.contains("overlong = \"keep\""));
    let config = folder.path().join("soft.toml");
    fs_err::write(&config, text.replace("overlong = \"keep\"", soft)).unwrap();
    let rollouts = folder.path().join("rollouts.jsonl").to_string_lossy().into_owned();
    fail(
        &["reward", "--input", &rollouts, "--config", &config.to_string_lossy()],
        &root,
        2,
        &["rollout 1", "`completion_tokens` is missing"],
    );
}

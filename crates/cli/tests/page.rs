//! The examples of the server's page are what the program draws, and show what they are there to show.
#![expect(clippy::unwrap_used, reason = "in a test an error is a failure")]

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../serve/page")
}

fn examples() -> Vec<Value> {
    serde_json::from_slice(&fs_err::read(folder().join("examples.json")).unwrap()).unwrap()
}

fn run(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_visionthink")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_examples_are_pictures_of_the_synthetic_world_with_its_questions() {
    let out = tempfile::tempdir().unwrap();
    let world = out.path().join("world");
    run(&["synth", "--out", world.to_str().unwrap(), "--split", "test", "--seed", "2027", "--n", "12"]);
    let rows = fs_err::read_to_string(world.join("test.jsonl")).unwrap();
    let rows: Vec<Value> = rows.lines().map(|row| serde_json::from_str(row).unwrap()).collect();
    for example in examples() {
        let id = example["id"].as_str().unwrap();
        let (family, index) = id.split_once('-').unwrap();
        let row = rows.iter().find(|row| row["id"] == format!("{family}-test-2027-{index}")).unwrap();
        for key in ["question", "answer", "needs_full"] {
            assert_eq!(example[key], row[key], "{id}");
        }
        let drawn = fs_err::read(world.join(row["image"].as_str().unwrap())).unwrap();
        assert!(drawn == fs_err::read(folder().join(format!("examples/{id}.png"))).unwrap(), "{id}");
    }
}

#[test]
fn the_embedded_model_answers_the_easy_examples_at_once_and_asks_to_see_more_of_the_hard_ones() {
    let examples = examples();
    for example in &examples {
        let id = example["id"].as_str().unwrap();
        let image = folder().join(format!("examples/{id}.png"));
        let asked = run(&["ask", "--json", "--image", image.to_str().unwrap(), example["question"].as_str().unwrap()]);
        let asked: Value = serde_json::from_str(&asked).unwrap();
        let decision = if example["needs_full"] == true { "resize" } else { "direct" };
        assert_eq!((&asked["decision"], &asked["answer"]), (&Value::from(decision), &example["answer"]), "{id}");
    }
    let hard = examples.iter().filter(|example| example["needs_full"] == true).count();
    assert_eq!((hard, examples.len()), (3, 6));
}

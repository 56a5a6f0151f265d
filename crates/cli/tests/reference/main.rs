//! The recorded cases once more, through the program: `inspect --dump`, `generate` and `score` as a script would call them.
#![expect(clippy::unwrap_used, reason = "in a test an error is a failure")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use safetensors::SafeTensors;
use serde_json::{Value, json};
use visionthink_image::{DecodeOptions, RgbImage, lanczos_half, open};

/// Greatest difference of a log-probability: f32 on the CPU against f32 in transformers, as fixtures/models/README.md suggests.
const LOGPROB_TOLERANCE: f64 = 1e-4;

fn reference() -> PathBuf {
    std::env::var_os("VISIONTHINK_REFERENCE")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures"), PathBuf::from)
}

fn visionthink(arguments: &[&str]) {
    let output = Command::new(env!("CARGO_BIN_EXE_visionthink")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn floats(file: &SafeTensors, name: &str) -> Vec<f64> {
    let tensor = file.tensor(name).unwrap();
    tensor.data().chunks_exact(4).map(|bytes| f64::from(f32::from_le_bytes(bytes.try_into().unwrap()))).collect()
}

fn integers(file: &SafeTensors, name: &str) -> Vec<i64> {
    let tensor = file.tensor(name).unwrap();
    let bytes = tensor.data();
    let width = bytes.len() / tensor.shape().iter().product::<usize>();
    match width {
        4 => bytes.chunks_exact(4).map(|bytes| i64::from(i32::from_le_bytes(bytes.try_into().unwrap()))).collect(),
        _ => bytes.chunks_exact(8).map(|bytes| i64::from_le_bytes(bytes.try_into().unwrap())).collect(),
    }
}

/// Vision-language checkpoints of a folder that this build knows.
fn checkpoints() -> Vec<PathBuf> {
    let folder = reference().join("models");
    let mut found: Vec<PathBuf> = fs_err::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("qwen2_5_vl"))
        .filter(|path| path.join("config.json").is_file())
        .collect();
    found.sort();
    assert!(!found.is_empty(), "no checkpoint below {}", folder.display());
    found
}

/// Names of cases with one prompt and what was computed for it.
fn cases(checkpoint: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs_err::read_dir(checkpoint.join("cases"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "safetensors"))
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with("batch") && !name.starts_with("grad"))
        .collect();
    names.sort();
    assert!(!names.is_empty(), "no cases in {}", checkpoint.display());
    names
}

/// The pixels that the recorded case started from: decoded bytes of the fixtures where they are recorded (JPEG decoders differ).
fn picture(file: &str) -> RgbImage {
    let recorded = reference().join(format!("models/image_processing/qwen2_5_vl/{file}.safetensors"));
    if let Ok(bytes) = fs_err::read(&recorded) {
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        if let Ok(rgb) = tensors.tensor("rgb") {
            let (height, width) = (rgb.shape()[0] as u32, rgb.shape()[1] as u32);
            return RgbImage::new(width, height, rgb.data().to_vec()).unwrap();
        }
    }
    open(&reference().join("models/images").join(file), &DecodeOptions::default()).unwrap()
}

/// Writes the images of a case as PNG and returns their paths.
fn images(case: &Value, folder: &Path, name: &str) -> Vec<String> {
    let listed = case["images"].as_array().cloned().unwrap_or_default();
    let write = |(index, image): (usize, &Value)| {
        let mut pixels = picture(image["file"].as_str().unwrap());
        match image["op"].as_str() {
            None => {}
            Some("lanczos_half") => pixels = lanczos_half(&pixels).unwrap(),
            Some(other) => panic!("unknown op {other}"),
        }
        let path = folder.join(format!("{name}-{index}.png"));
        fs_err::write(&path, pixels.encode_png().unwrap()).unwrap();
        path.to_string_lossy().into_owned()
    };
    listed.iter().enumerate().map(write).collect()
}

fn run_lines(folder: &Path, name: &str, requests: &[Value], command: &[&str]) -> HashMap<String, Value> {
    let (input, output) = (folder.join(format!("{name}.jsonl")), folder.join(format!("{name}.out.jsonl")));
    let lines: Vec<String> = requests.iter().map(Value::to_string).collect();
    fs_err::write(&input, lines.join("\n")).unwrap();
    let files = ["--input", input.to_str().unwrap(), "--output", output.to_str().unwrap(), "--device", "cpu"];
    visionthink(&[command, files.as_slice()].concat());
    let text = fs_err::read_to_string(&output).unwrap();
    let results = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    results.map(|result| (result["id"].as_str().unwrap().to_owned(), result)).collect()
}

#[test]
fn generate_gives_the_recorded_greedy_ids_and_log_probabilities() {
    let folder = tempfile::tempdir().unwrap();
    for checkpoint in checkpoints() {
        let names = cases(&checkpoint);
        let mut requests = Vec::new();
        for name in &names {
            let case: Value =
                serde_json::from_str(&fs_err::read_to_string(checkpoint.join(format!("cases/{name}.json"))).unwrap())
                    .unwrap();
            requests.push(json!({"id": name, "prompt": case["prompt"], "images": images(&case, folder.path(), name)}));
        }
        for (set, penalty) in [("gen", "1.0"), ("gen_rp", "1.3")] {
            let label = format!("{}-{set}", checkpoint.file_name().unwrap().to_string_lossy());
            let model = checkpoint.to_str().unwrap();
            let command =
                ["generate", "--model", model, "--max-tokens", "24", "--ignore-eos", "--repetition-penalty", penalty];
            let results = run_lines(folder.path(), &label, &requests, &command);
            for name in &names {
                let bytes = fs_err::read(checkpoint.join(format!("cases/{name}.safetensors"))).unwrap();
                let recorded = SafeTensors::deserialize(&bytes).unwrap();
                let result = &results[name];
                assert_eq!(result["prompt_ids"], json!(integers(&recorded, "input_ids")), "{label} {name}");
                assert_eq!(
                    result["completion_ids"],
                    json!(integers(&recorded, &format!("{set}.ids"))),
                    "{label} {name}"
                );
                close(&result["logprobs"], &floats(&recorded, &format!("{set}.logprobs")), &format!("{label} {name}"));
            }
        }
    }
}

#[test]
fn score_gives_the_recorded_log_probabilities() {
    let folder = tempfile::tempdir().unwrap();
    for checkpoint in checkpoints() {
        let names = cases(&checkpoint);
        let mut requests = Vec::new();
        for name in &names {
            let case: Value =
                serde_json::from_str(&fs_err::read_to_string(checkpoint.join(format!("cases/{name}.json"))).unwrap())
                    .unwrap();
            let bytes = fs_err::read(checkpoint.join(format!("cases/{name}.safetensors"))).unwrap();
            let generated = integers(&SafeTensors::deserialize(&bytes).unwrap(), "gen.ids");
            let images = images(&case, folder.path(), name);
            requests.push(json!({"id": name, "prompt": case["prompt"], "images": images, "completion_ids": generated}));
        }
        let label = format!("{}-score", checkpoint.file_name().unwrap().to_string_lossy());
        let results = run_lines(folder.path(), &label, &requests, &["score", "--model", checkpoint.to_str().unwrap()]);
        for name in &names {
            let bytes = fs_err::read(checkpoint.join(format!("cases/{name}.safetensors"))).unwrap();
            let recorded = SafeTensors::deserialize(&bytes).unwrap();
            close(&results[name]["logprobs"], &floats(&recorded, "gen.logprobs"), &format!("{label} {name}"));
        }
    }
}

#[test]
fn inspect_dumps_the_recorded_pixel_values() {
    let folder = tempfile::tempdir().unwrap();
    let recordings = reference().join("models/image_processing/qwen2_5_vl");
    let mut read = 0;
    for entry in fs_err::read_dir(&recordings).unwrap() {
        let path = entry.unwrap().path();
        let Some(file) = path.file_name().unwrap().to_str().unwrap().strip_suffix(".safetensors").map(str::to_owned)
        else {
            continue;
        };
        if file == "windows" {
            continue;
        }
        let bytes = fs_err::read(&path).unwrap();
        let recorded = SafeTensors::deserialize(&bytes).unwrap();
        let image = folder.path().join(format!("{file}.png"));
        let pixels = picture(&file);
        // The recording has no rule for images under one token; the program enlarges them first.
        if pixels.width < 28 || pixels.height < 28 {
            continue;
        }
        fs_err::write(&image, pixels.encode_png().unwrap()).unwrap();
        let dump = folder.path().join("dump.safetensors");
        let model = checkpoints().remove(0);
        let arguments = [image.to_str().unwrap(), "--model", model.to_str().unwrap(), "--dump", dump.to_str().unwrap()];
        visionthink(&[&["inspect"], arguments.as_slice()].concat());
        let dumped = fs_err::read(&dump).unwrap();
        let dumped = SafeTensors::deserialize(&dumped).unwrap();
        let (grid, values) = (integers(&dumped, "full.image_grid_thw"), floats(&dumped, "full.pixel_values"));
        assert_eq!(grid, integers(&recorded, "default.grid_thw"), "{file}");
        let width = dumped.tensor("full.pixel_values").unwrap().shape()[1];
        let expected = floats(&recorded, "default.pixel_values");
        for (row, expected) in integers(&recorded, "default.pixel_rows").into_iter().zip(expected.chunks_exact(width)) {
            let found = &values[row as usize * width..][..width];
            for (found, expected) in found.iter().zip(expected) {
                assert!((found - expected).abs() <= 1e-6, "{file} row {row}: {found} for {expected}");
            }
        }
        read += 1;
    }
    assert!(read > 0, "no recording below {}", recordings.display());
}

fn close(found: &Value, expected: &[f64], what: &str) {
    let found: Vec<f64> = found.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect();
    assert_eq!(found.len(), expected.len(), "{what}");
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!(found.is_finite(), "{what} at {index}: {found}");
        assert!((found - expected).abs() <= LOGPROB_TOLERANCE, "{what} at {index}: {found} for {expected}");
    }
}

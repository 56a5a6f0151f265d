//! `cargo xtask bench [NAME]`: this project's figures, and transformers' beside them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::peers;
use crate::workspace::Workspace;

/// What can be measured: the embedded model, a random checkpoint of 0.15 B parameters, a step of GRPO, and the server.
pub(crate) const NAMES: &[&str] = &["micro", "small", "rl", "serve"];

/// Each checkpoint is measured in a process of its own, so that peaks of memory are its own too.
pub(crate) fn run(workspace: &Workspace, names: &[&str]) -> Result<()> {
    let program = build(workspace)?;
    for name in if names.is_empty() { NAMES } else { names } {
        let out = workspace.target.join("bench").join(name);
        if *name == "rl" {
            succeed(Command::new(&program).arg("rl").arg(&workspace.root).arg(&out))?;
            beside(workspace, "trl_grpo", &out)?;
            continue;
        }
        if *name == "serve" {
            serve(workspace, &program, &out)?;
            continue;
        }
        let checkpoint = match *name {
            "micro" => workspace.root.join("assets/micro"),
            _ => out.join("checkpoint"),
        };
        if *name == "small" {
            succeed(Command::new(&program).arg("make").arg(&checkpoint))?;
        } else if !checkpoint.join("config.json").is_file() {
            println!("{name}: skipped, `assets/micro` is not there\n");
            continue;
        }
        succeed(Command::new(&program).arg("run").arg(&checkpoint).arg(&out))?;
        beside(workspace, "transformers_bench", &out)?;
    }
    Ok(())
}

/// The gateway, the embedded model behind the server, and the same model in a plain loop of transformers.
fn serve(workspace: &Workspace, program: &Path, out: &Path) -> Result<()> {
    let server = program.with_file_name("visionthink");
    succeed(Command::new(program).arg("gateway").arg(&server).arg(out))?;
    succeed(Command::new(program).arg("embedded").arg(&server).arg(out))?;
    if !peers::python(workspace).is_file() {
        println!("for a peer beside it: `cargo xtask peers`, once");
        return Ok(());
    }
    let questions = out.join("questions");
    if !questions.exists() {
        let mut synth = Command::new(&server);
        synth.arg("synth").arg("--out").arg(&questions).args(["--split", "test", "--n", "60", "--seed", "4"]);
        succeed(&mut synth)?;
    }
    let checkpoint = workspace.root.join("assets/micro");
    let [asked, found] = [questions.join("test.jsonl"), out.join("transformers_loop.json")];
    println!("transformers in a plain loop, the full image, one question after the other");
    peers::run_script(workspace, "transformers_loop", &[checkpoint.as_ref(), asked.as_ref(), found.as_ref()])
}

/// `cargo xtask soak MINUTES`: the server under load with faults.
pub(crate) fn soak(workspace: &Workspace, minutes: &str) -> Result<()> {
    let program = build(workspace)?;
    let server = program.with_file_name("visionthink");
    succeed(Command::new(&program).arg("soak").arg(server).arg(workspace.target.join("bench/soak")).arg(minutes))
}

/// Runs a peer on the workload in `out`, and prints its figures beside this project's.
fn beside(workspace: &Workspace, script: &str, out: &Path) -> Result<()> {
    if peers::python(workspace).is_file() {
        let theirs = out.join(format!("{script}.json"));
        let workload = out.join("workload.json");
        peers::run_script(workspace, script, &[workload.as_ref(), theirs.as_ref()])?;
        print_comparison(&read(&out.join("visionthink.json"))?, &read(&theirs)?)?;
    } else {
        println!("for a peer beside it: `cargo xtask peers`, once");
    }
    println!();
    Ok(())
}

/// Builds the program, in the profile of `cargo run`: what is measured is what runs. Says where it is. The whole workspace is built:
/// alone, the package would have its dependencies compiled once more with fewer features.
pub(crate) fn build(workspace: &Workspace) -> Result<PathBuf> {
    let status = workspace.cargo(&["build", "--workspace"]).status().context("`cargo build` did not start")?;
    if !status.success() {
        bail!("`cargo build --workspace` ended with {status}");
    }
    Ok(workspace.target.join("debug/visionthink-bench"))
}

pub(crate) fn succeed(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("{command:?} did not start"))?;
    if !status.success() {
        bail!("{command:?} ended with {status}");
    }
    Ok(())
}

fn read(file: &Path) -> Result<Value> {
    serde_json::from_str(&fs_err::read_to_string(file)?).with_context(|| format!("{} is not JSON", file.display()))
}

/// Rows of one name beside each other. The ratio is above 1 where this project is the better one.
fn print_comparison(ours: &Value, theirs: &Value) -> Result<()> {
    let peer = theirs["program"].as_str().unwrap_or("peer");
    println!("{:<28} {:>12} {peer:>12} {:>7}", "", "visionthink", "ratio");
    for comparison in compare(ours, theirs)? {
        let Comparison { name, unit, ours, theirs, ratio } = comparison;
        println!("{name:<28} {ours:>12.1} {theirs:>12.1} {ratio:>7.2}  {unit}");
    }
    println!("ratio: how many times better visionthink is; {}", theirs["version"].as_str().unwrap_or_default());
    Ok(())
}

struct Comparison {
    name: String,
    unit: String,
    ours: f64,
    theirs: f64,
    ratio: f64,
}

fn compare(ours: &Value, theirs: &Value) -> Result<Vec<Comparison>> {
    let rows = |report: &Value| report["rows"].as_array().cloned().context("a report without `rows`");
    let theirs = rows(theirs)?;
    let mut comparisons = Vec::new();
    for row in rows(ours)? {
        let Some(other) = theirs.iter().find(|other| other["name"] == row["name"]) else { continue };
        let (Some(name), Some(unit)) = (row["name"].as_str(), row["unit"].as_str()) else { continue };
        let (Some(ours), Some(theirs)) = (row["value"].as_f64(), other["value"].as_f64()) else { continue };
        if other["unit"] != unit {
            bail!("`{name}` is in `{unit}` here and in {} there", other["unit"]);
        }
        let ratio = if unit.ends_with("/s") { ours / theirs } else { theirs / ours };
        comparisons.push(Comparison { name: name.to_owned(), unit: unit.to_owned(), ours, theirs, ratio });
    }
    Ok(comparisons)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_ratio_above_one_is_better_for_rates_and_for_times() {
        let ours = json!({"rows": [
            {"name": "prefill", "unit": "tokens/s", "value": 300.0},
            {"name": "vision_tower", "unit": "ms", "value": 10.0},
            {"name": "only_here", "unit": "ms", "value": 1.0},
        ]});
        let theirs = json!({"rows": [
            {"name": "vision_tower", "unit": "ms", "value": 25.0},
            {"name": "prefill", "unit": "tokens/s", "value": 200.0},
        ]});
        let ratios: Vec<(String, f64)> =
            compare(&ours, &theirs).unwrap().into_iter().map(|row| (row.name, row.ratio)).collect();
        assert_eq!(ratios, [("prefill".to_owned(), 1.5), ("vision_tower".to_owned(), 2.5)]);
    }

    #[test]
    fn rows_of_different_units_are_not_compared() {
        let ours = json!({"rows": [{"name": "load", "unit": "ms", "value": 3.0}]});
        let theirs = json!({"rows": [{"name": "load", "unit": "s", "value": 3.0}]});
        assert!(compare(&ours, &theirs).is_err());
    }
}

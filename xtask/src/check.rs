//! `cargo xtask check`: everything that has to hold before a commit, cheapest first.

use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::arrows;
use crate::workspace::Workspace;

/// What a step came to, when it did not fail.
enum Outcome {
    Passed,
    /// Not run on this machine, with the reason.
    Skipped(&'static str),
}

type Step = (&'static str, fn(&Workspace) -> Result<Outcome>);

const STEPS: &[Step] = &[
    ("format", format),
    ("arrows", crate_graph),
    ("licences", licences),
    ("advisories", advisories),
    ("clippy", clippy),
    ("tests", tests),
    ("docs", docs),
];

/// Names of the steps, in order.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    STEPS.iter().map(|(name, _)| *name)
}

/// Runs the steps named, or all of them, and stops at the first that fails: the later ones cost more.
pub(crate) fn run(workspace: &Workspace, only: &[&str]) -> Result<()> {
    let mut skipped = Vec::new();
    for (name, step) in STEPS.iter().filter(|(name, _)| only.is_empty() || only.contains(name)) {
        eprintln!("=== {name}");
        let start = Instant::now();
        let outcome = step(workspace);
        let seconds = start.elapsed().as_secs_f64();
        match outcome {
            Ok(Outcome::Passed) => println!("{name:<12} ok       {seconds:7.1} s"),
            Ok(Outcome::Skipped(reason)) => {
                println!("{name:<12} skipped  {seconds:7.1} s  {reason}");
                skipped.push(*name);
            }
            Err(error) => {
                println!("{name:<12} FAILED   {seconds:7.1} s");
                return Err(error.context(format!("the step `{name}` failed")));
            }
        }
    }
    if !skipped.is_empty() {
        println!("not checked on this machine: {}", skipped.join(", "));
    }
    Ok(())
}

fn format(workspace: &Workspace) -> Result<Outcome> {
    require(workspace, "fmt", "rustup component add rustfmt")?;
    succeed(&mut workspace.cargo(&["fmt", "--all", "--", "--check"]), "run `cargo fmt --all`")
}

fn crate_graph(workspace: &Workspace) -> Result<Outcome> {
    arrows::check(workspace)?;
    Ok(Outcome::Passed)
}

const NO_CARGO_DENY: &str = "cargo-deny is not installed; `cargo install --locked cargo-deny` brings it";

fn licences(workspace: &Workspace) -> Result<Outcome> {
    if !answers(workspace, "deny")? {
        return Ok(Outcome::Skipped(NO_CARGO_DENY));
    }
    succeed(
        &mut workspace.cargo(&["deny", "--locked", "check", "bans", "licenses", "sources"]),
        "replace the dependency, or allow it in `deny.toml` with a reason",
    )
}

/// A step of its own because it alone needs the network, for the list of known faults.
fn advisories(workspace: &Workspace) -> Result<Outcome> {
    if !answers(workspace, "deny")? {
        return Ok(Outcome::Skipped(NO_CARGO_DENY));
    }
    let output =
        workspace.cargo(&["deny", "--locked", "check", "advisories"]).output().context("`cargo deny` did not start")?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        return Ok(Outcome::Passed);
    }
    if said.contains("failed to fetch advisory database") {
        return Ok(Outcome::Skipped("the list of advisories cannot be reached from here"));
    }
    eprint!("{}{said}", String::from_utf8_lossy(&output.stdout));
    bail!("`cargo deny check advisories` failed: update the crate it names")
}

fn clippy(workspace: &Workspace) -> Result<Outcome> {
    require(workspace, "clippy", "rustup component add clippy")?;
    succeed(
        &mut workspace.cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "--deny", "warnings"]),
        "each warning above says what to write",
    )
}

fn tests(workspace: &Workspace) -> Result<Outcome> {
    succeed(&mut workspace.cargo(&["test", "--workspace", "--locked"]), "the failing tests are listed above")
}

fn docs(workspace: &Workspace) -> Result<Outcome> {
    succeed(
        workspace.cargo(&["doc", "--workspace", "--no-deps", "--locked"]).env("RUSTDOCFLAGS", "--deny warnings"),
        "each warning above names the comment",
    )
}

/// Runs a command with its output on the terminal.
fn succeed(command: &mut Command, fix: &str) -> Result<Outcome> {
    let status = command.status().with_context(|| format!("{command:?} did not start"))?;
    if !status.success() {
        bail!("{} ended with {status}; {fix}", shown(command));
    }
    Ok(Outcome::Passed)
}

/// Whether `cargo NAME` exists here.
fn answers(workspace: &Workspace, name: &str) -> Result<bool> {
    let status = workspace
        .cargo(&[name, "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .with_context(|| format!("`cargo {name}` did not start"))?;
    Ok(status.success())
}

fn require(workspace: &Workspace, name: &str, fix: &str) -> Result<()> {
    if answers(workspace, name)? {
        return Ok(());
    }
    bail!("`cargo {name}` is not installed; run `{fix}`")
}

/// A command as it would be typed.
fn shown(command: &Command) -> String {
    let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
    format!("`cargo {}`", words.join(" "))
}

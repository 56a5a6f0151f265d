//! `cargo xtask peers [NAME [ARG]…]`: the Python programs that the project is compared with.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::bench;
use crate::workspace::Workspace;

/// The interpreter of the peers' environment, whether or not it has been made yet.
pub(crate) fn python(workspace: &Workspace) -> PathBuf {
    workspace.target.join("peers/bin/python")
}

/// Makes the environment where it is missing or out of date, and runs `bench/peers/NAME.py` in it.
///
/// `load_saved` takes a checkpoint: this project saves it again first, and the script gets what was saved.
pub(crate) fn run(workspace: &Workspace, name: Option<&str>, arguments: &[&str]) -> Result<()> {
    set_up(workspace)?;
    match (name, arguments) {
        (None, _) => {
            println!("the environment is in {}", workspace.target.join("peers").display());
            Ok(())
        }
        (Some("load_saved"), [checkpoint]) => {
            let saved = workspace.target.join("bench/saved");
            if saved.exists() {
                fs_err::remove_dir_all(&saved)?;
            }
            let program = bench::build(workspace)?;
            bench::succeed(Command::new(program).arg("save").arg(checkpoint).arg(&saved))?;
            run_script(workspace, "load_saved", &[saved.as_ref()])
        }
        (Some("load_saved"), _) => bail!("`load_saved` takes one checkpoint folder"),
        (Some(name), arguments) => {
            let arguments: Vec<&OsStr> = arguments.iter().map(AsRef::as_ref).collect();
            run_script(workspace, name, &arguments)
        }
    }
}

fn set_up(workspace: &Workspace) -> Result<()> {
    let status = Command::new("bash")
        .arg(workspace.root.join("bench/peers/setup.sh"))
        .arg(workspace.target.join("peers"))
        .status()
        .context("`bash` did not start")?;
    if !status.success() {
        bail!("`bench/peers/setup.sh` ended with {status}");
    }
    Ok(())
}

/// Runs `bench/peers/NAME.py` in the environment, which has to be there.
pub(crate) fn run_script(workspace: &Workspace, name: &str, arguments: &[&OsStr]) -> Result<()> {
    let script = workspace.root.join("bench/peers").join(format!("{name}.py"));
    if !script.is_file() {
        bail!("`bench/peers/{name}.py` does not exist; there are {}", scripts(workspace)?.join(", "));
    }
    let status = Command::new(python(workspace))
        .arg(&script)
        .args(arguments)
        .env("HF_HUB_OFFLINE", "1")
        .env("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        .status()
        .context("the peers' Python did not start")?;
    if !status.success() {
        bail!("`bench/peers/{name}.py` ended with {status}");
    }
    Ok(())
}

fn scripts(workspace: &Workspace) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs_err::read_dir(workspace.root.join("bench/peers"))? {
        let path = entry?.path();
        if let (Some(stem), Some("py")) = (path.file_stem(), path.extension().and_then(OsStr::to_str)) {
            names.push(format!("`{}`", stem.to_string_lossy()));
        }
    }
    names.sort();
    Ok(names)
}

//! `cargo xtask peers [NAME [ARG]…]`: the Python programs that the project is compared with.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::bench;
use crate::workspace::Workspace;

/// An environment below the target folder, and what is installed there.
struct Environment {
    folder: &'static str,
    requirements: &'static str,
    overrides: Option<&'static str>,
}

/// What the project is compared with.
const PEERS: Environment = Environment { folder: "peers", requirements: "requirements.txt", overrides: None };

/// The server in front of which the gateway stands.
const VLLM: Environment =
    Environment { folder: "vllm", requirements: "requirements-vllm.txt", overrides: Some("overrides-vllm.txt") };

/// Questions a family that `vllm_gateway` asks.
const GATEWAY_QUESTIONS: &str = "20";

impl Environment {
    fn python(&self, workspace: &Workspace) -> PathBuf {
        workspace.target.join(self.folder).join("bin/python")
    }

    fn set_up(&self, workspace: &Workspace) -> Result<()> {
        let mut setup = Command::new("bash");
        setup.arg(workspace.root.join("bench/peers/setup.sh")).arg(workspace.target.join(self.folder));
        setup.arg(self.requirements).args(self.overrides);
        let status = setup.status().context("`bash` did not start")?;
        if !status.success() {
            bail!("`bench/peers/setup.sh` ended with {status}");
        }
        Ok(())
    }
}

/// The interpreter of the peers' environment, whether or not it has been made yet.
pub(crate) fn python(workspace: &Workspace) -> PathBuf {
    PEERS.python(workspace)
}

/// Makes the environment where it is missing or out of date, and runs `bench/peers/NAME.py` in it.
///
/// `load_saved` takes a checkpoint: this project saves it again first, and the script gets what was saved. `vllm_gateway` gets
/// this project's program and the embedded model.
pub(crate) fn run(workspace: &Workspace, name: Option<&str>, arguments: &[&str]) -> Result<()> {
    if name == Some("vllm_gateway") {
        return vllm_gateway(workspace, arguments);
    }
    PEERS.set_up(workspace)?;
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

fn vllm_gateway(workspace: &Workspace, arguments: &[&str]) -> Result<()> {
    let questions = match arguments {
        [] => GATEWAY_QUESTIONS,
        [questions] => questions,
        _ => bail!("`vllm_gateway` takes at most a number of questions"),
    };
    VLLM.set_up(workspace)?;
    let program = bench::build(workspace)?.with_file_name("visionthink");
    let mut command = Command::new(VLLM.python(workspace));
    command.arg(workspace.root.join("bench/peers/vllm_gateway.py")).arg(program);
    command.arg(workspace.root.join("assets/micro")).arg(workspace.target.join("bench/vllm")).arg(questions);
    bench::succeed(&mut command)
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

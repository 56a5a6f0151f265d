//! `cargo xtask clients [CONFIG]`: OpenAI's own packages, and curl, against the server.

use std::process::Command;

use anyhow::Result;

use crate::bench;
use crate::workspace::Workspace;

/// Serves the embedded model, or what `config` describes, and asks it with every client that can be installed.
pub(crate) fn run(workspace: &Workspace, config: Option<&str>) -> Result<()> {
    let program = bench::build(workspace)?.with_file_name("visionthink");
    let script = workspace.root.join("examples/clients/check.sh");
    let mut check = Command::new("bash");
    check.arg(script).arg(program).args(config).env("CARGO_TARGET_DIR", &workspace.target);
    bench::succeed(&mut check)
}

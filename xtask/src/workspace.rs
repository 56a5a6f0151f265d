//! Where things are, and how cargo is called.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// The workspace as `cargo metadata --no-deps` describes it.
pub(crate) struct Workspace {
    /// The folder of the workspace's `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// Cargo's target folder, which `CARGO_TARGET_DIR` may have moved.
    pub(crate) target: PathBuf,
    /// Every member, `xtask` included.
    pub(crate) members: Vec<Member>,
}

/// One package of the workspace.
pub(crate) struct Member {
    pub(crate) name: String,
    /// Path of the folder relative to the workspace root, such as `crates/image`.
    pub(crate) folder: String,
    pub(crate) dependencies: Vec<Dependency>,
}

/// One entry of a `[dependencies]` table.
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// Whether it stands under `[dev-dependencies]`, so that only tests see it.
    pub(crate) only_for_tests: bool,
}

impl Workspace {
    /// Asks cargo for the workspace that this program belongs to.
    pub(crate) fn find() -> Result<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        let output = cargo()
            .current_dir(folder)
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .output()
            .context("`cargo metadata` did not start")?;
        if !output.status.success() {
            bail!("`cargo metadata` failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        let metadata: Value = serde_json::from_slice(&output.stdout).context("`cargo metadata` did not print JSON")?;
        let root = PathBuf::from(text(&metadata, "workspace_root")?);
        let members =
            list(&metadata, "packages")?.iter().map(|package| Member::read(package, &root)).collect::<Result<_>>()?;
        Ok(Self { target: PathBuf::from(text(&metadata, "target_directory")?), root, members })
    }

    /// A cargo call that runs in the workspace root.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = cargo();
        command.current_dir(&self.root).args(arguments);
        command
    }
}

impl Member {
    fn read(package: &Value, root: &Path) -> Result<Self> {
        let manifest = PathBuf::from(text(package, "manifest_path")?);
        let folder = manifest.parent().unwrap_or(root);
        let mut dependencies = Vec::new();
        for dependency in list(package, "dependencies")? {
            dependencies.push(Dependency {
                name: text(dependency, "name")?.to_owned(),
                only_for_tests: dependency["kind"] == "dev",
            });
        }
        Ok(Self {
            name: text(package, "name")?.to_owned(),
            folder: folder.strip_prefix(root).unwrap_or(folder).display().to_string(),
            dependencies,
        })
    }
}

/// The cargo that runs this program, so that the pinned toolchain stays the pinned one.
fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str> {
    value[key].as_str().with_context(|| format!("`cargo metadata` has no text `{key}`"))
}

fn list<'a>(value: &'a Value, key: &str) -> Result<&'a Vec<Value>> {
    value[key].as_array().with_context(|| format!("`cargo metadata` has no list `{key}`"))
}

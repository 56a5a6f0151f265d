//! Which crate may use which: ARCHITECTURE.md's arrows as data, and the test that the manifests follow them.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};

use crate::workspace::{Member, Workspace};

/// One row per package of the workspace: its folder and the workspace packages that it may depend on, in the order
/// of the flow. A package may only name packages above it, so the table itself cannot hold a cycle.
const ARROWS: &[Row] = &[
    Row { folder: "crates/image", package: "visionthink-image", may_use: &[], burn: false },
    Row { folder: "crates/protocol", package: "visionthink-protocol", may_use: &["visionthink-image"], burn: false },
    Row { folder: "crates/data", package: "visionthink-data", may_use: &["visionthink-image"], burn: false },
    Row { folder: "crates/rules", package: "visionthink-rules", may_use: &[], burn: false },
    Row { folder: "crates/prune", package: "visionthink-prune", may_use: &[], burn: false },
    Row {
        folder: "crates/model",
        package: "visionthink-model",
        may_use: &["visionthink-image", "visionthink-prune"],
        burn: true,
    },
    Row {
        folder: "crates/engine",
        package: "visionthink-engine",
        may_use: &["visionthink-image", "visionthink-protocol", "visionthink-prune", "visionthink-model"],
        burn: true,
    },
    Row {
        folder: "crates/reward",
        package: "visionthink-reward",
        may_use: &["visionthink-image", "visionthink-protocol"],
        burn: false,
    },
    Row {
        folder: "crates/judge",
        package: "visionthink-judge",
        may_use: &["visionthink-image", "visionthink-protocol", "visionthink-reward"],
        burn: false,
    },
    Row {
        folder: "crates/train",
        package: "visionthink-train",
        may_use: &[
            "visionthink-image",
            "visionthink-protocol",
            "visionthink-data",
            "visionthink-rules",
            "visionthink-model",
            "visionthink-engine",
            "visionthink-reward",
            "visionthink-judge",
        ],
        burn: true,
    },
    Row {
        folder: "crates/eval",
        package: "visionthink-eval",
        may_use: &[
            "visionthink-image",
            "visionthink-protocol",
            "visionthink-data",
            "visionthink-prune",
            "visionthink-reward",
            "visionthink-judge",
        ],
        burn: false,
    },
    Row { folder: "crates/plot", package: "visionthink-plot", may_use: &[], burn: false },
    Row {
        folder: "crates/serve",
        package: "visionthink-serve",
        may_use: &[
            "visionthink-image",
            "visionthink-protocol",
            "visionthink-data",
            "visionthink-model",
            "visionthink-engine",
        ],
        burn: true,
    },
    Row {
        folder: "crates/cli",
        package: "visionthink",
        may_use: &[
            "visionthink-image",
            "visionthink-protocol",
            "visionthink-data",
            "visionthink-rules",
            "visionthink-prune",
            "visionthink-model",
            "visionthink-engine",
            "visionthink-reward",
            "visionthink-judge",
            "visionthink-train",
            "visionthink-eval",
            "visionthink-plot",
            "visionthink-serve",
        ],
        burn: true,
    },
    Row {
        folder: "bench",
        package: "visionthink-bench",
        may_use: &[
            "visionthink-image",
            "visionthink-protocol",
            "visionthink-data",
            "visionthink-model",
            "visionthink-engine",
            "visionthink-train",
        ],
        burn: true,
    },
    Row { folder: "xtask", package: "xtask", may_use: &[], burn: false },
];

struct Row {
    folder: &'static str,
    package: &'static str,
    may_use: &'static [&'static str],
    /// Whether burn may be in its dependency tree, directly or through another crate.
    burn: bool,
}

/// Holds the manifests against [`ARROWS`], and the table in ARCHITECTURE.md against the crates that exist.
///
/// All faults are reported at once.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let mut faults = Vec::new();
    let packages: BTreeSet<&str> = workspace.members.iter().map(|member| member.name.as_str()).collect();
    for member in &workspace.members {
        faults.extend(faults_of_member(member, &packages));
    }
    faults.extend(faults_of_table(workspace)?);
    for row in ARROWS.iter().filter(|row| !row.burn && packages.contains(row.package)) {
        faults.extend(burn_below(workspace, row.package)?);
    }
    if !faults.is_empty() {
        bail!("the crate graph is not ARCHITECTURE.md's:\n  {}", faults.join("\n  "));
    }
    Ok(())
}

fn faults_of_member(member: &Member, packages: &BTreeSet<&str>) -> Vec<String> {
    let Some(row) = ARROWS.iter().find(|row| row.package == member.name) else {
        return vec![format!("`{}` has no row in `xtask/src/arrows.rs`; say there what it may use", member.name)];
    };
    let mut faults = Vec::new();
    if row.folder != member.folder {
        faults.push(format!("`{}` is in `{}`, expected `{}`", member.name, member.folder, row.folder));
    }
    for dependency in &member.dependencies {
        let name = dependency.name.as_str();
        if packages.contains(name) && !row.may_use.contains(&name) {
            let table = if dependency.only_for_tests { "dev-dependencies" } else { "dependencies" };
            faults.push(format!(
                "`{}/Cargo.toml`: `{name}` under `[{table}]` is an arrow against the flow; `{}` may use {}",
                member.folder,
                member.name,
                names(row.may_use)
            ));
        }
    }
    faults
}

/// The crates of ARCHITECTURE.md's table are the folders under `crates/`.
fn faults_of_table(workspace: &Workspace) -> Result<Vec<String>> {
    let path = workspace.root.join("ARCHITECTURE.md");
    let page = fs_err::read_to_string(&path)?;
    let mut faults = Vec::new();
    let listed: BTreeSet<&str> =
        page.lines().filter_map(|line| line.strip_prefix("| `crates/")?.split('`').next()).collect();
    let present: BTreeSet<&str> =
        workspace.members.iter().filter_map(|member| member.folder.strip_prefix("crates/")).collect();
    for name in present.difference(&listed) {
        faults.push(format!("`crates/{name}` has no row in ARCHITECTURE.md's table"));
    }
    for name in listed.difference(&present) {
        faults.push(format!("ARCHITECTURE.md's table has `crates/{name}`, which does not exist"));
    }
    Ok(faults)
}

/// Whether burn is anywhere below a package that has to build without it, its own tests included.
fn burn_below(workspace: &Workspace, package: &str) -> Result<Option<String>> {
    let output = workspace
        .cargo(&["tree", "--package", package, "--edges", "all", "--prefix", "none", "--format", "{p}"])
        .output()
        .context("`cargo tree` did not start")?;
    if !output.status.success() {
        bail!("`cargo tree` failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let tree = String::from_utf8_lossy(&output.stdout);
    let found = tree.lines().filter_map(|line| line.split(' ').next()).find(|name| is_burn(name));
    Ok(found.map(|name| format!("`{package}` has to build without burn, and `{name}` is below it")))
}

fn is_burn(name: &str) -> bool {
    name == "burn" || name.starts_with("burn-")
}

fn names(packages: &[&str]) -> String {
    if packages.is_empty() {
        return "no other crate".to_owned();
    }
    packages.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Dependency;

    #[test]
    fn a_row_only_names_rows_above_it() {
        for (index, row) in ARROWS.iter().enumerate() {
            for used in row.may_use {
                assert!(
                    ARROWS[..index].iter().any(|above| above.package == *used),
                    "`{}` names `{used}`, which is not above it",
                    row.package
                );
            }
        }
    }

    #[test]
    fn a_crate_without_burn_uses_only_crates_without_burn() {
        for row in ARROWS.iter().filter(|row| !row.burn) {
            for used in row.may_use {
                let below = ARROWS.iter().find(|other| other.package == *used);
                assert!(below.is_some_and(|below| !below.burn), "`{}` uses `{used}`", row.package);
            }
        }
    }

    #[test]
    fn an_arrow_against_the_flow_is_named() {
        let member = Member {
            name: "visionthink-image".to_owned(),
            folder: "crates/image".to_owned(),
            dependencies: vec![
                Dependency { name: "serde".to_owned(), only_for_tests: false },
                Dependency { name: "visionthink-model".to_owned(), only_for_tests: false },
            ],
        };
        let faults = faults_of_member(&member, &BTreeSet::from(["visionthink-image", "visionthink-model"]));
        assert_eq!(faults.len(), 1);
        assert!(faults[0].contains("`visionthink-model`"), "{}", faults[0]);
    }
}

//! What a run folder says about what made it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use visionthink_eval::run::{RunFile, replace};
use visionthink_prune::Pruning;

use super::answer::Session;
use crate::experiment::trial::commit;

const FILE: &str = "manifest.json";

/// `manifest.json`; the settings are in `config.toml` beside it.
#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    program: String,
    /// Of the program that began the run.
    version: String,
    /// Of the working directory, where that is a repository.
    commit: Option<String>,
    /// Of the answers, and of the intervals.
    seeds: [u64; 2],
    /// By model and method, how visual tokens are dropped: names and shares of the run file as settings for the model's depth.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    prunings: BTreeMap<String, BTreeMap<String, Pruning>>,
    /// Every process that has worked on it.
    sessions: Vec<Value>,
}

/// Writes down that a session begins or, with what it did, that it has ended; one without `done` was killed.
pub(crate) fn write_manifest(run: &RunFile, folder: &Path, device: &str, done: Option<Session>) -> anyhow::Result<()> {
    let mut manifest = read(folder).unwrap_or_else(|| Manifest::new(run));
    if done.is_some() {
        manifest.sessions.pop();
    }
    manifest.sessions.push(serde_json::json!({
        "version": env!("CARGO_PKG_VERSION"),
        "device": device,
        "threads": threads(),
        "hardware": hardware(),
        "done": done,
    }));
    manifest.write(folder)
}

/// Writes down how each method drops visual tokens of a model, in the order of the run file.
pub(crate) fn write_prunings(
    run: &RunFile,
    folder: &Path,
    model: &str,
    prunings: &[Option<Pruning>],
) -> anyhow::Result<()> {
    let settings: BTreeMap<String, Pruning> = run
        .methods
        .iter()
        .zip(prunings)
        .filter_map(|(method, pruning)| Some((method.name.clone(), pruning.clone()?)))
        .collect();
    if settings.is_empty() {
        return Ok(());
    }
    let mut manifest = read(folder).unwrap_or_else(|| Manifest::new(run));
    manifest.prunings.insert(model.to_owned(), settings);
    manifest.write(folder)
}

/// Writes the manifest of a run that was put together: the sessions of all its parts.
pub(crate) fn merge_manifests(run: &RunFile, parts: &[PathBuf], folder: &Path) -> anyhow::Result<()> {
    let mut manifest = Manifest::new(run);
    for part in parts.iter().filter_map(|part| read(part)) {
        manifest.sessions.extend(part.sessions);
        manifest.prunings.extend(part.prunings);
    }
    manifest.write(folder)
}

/// `None` where there is none that can be read.
fn read(folder: &Path) -> Option<Manifest> {
    serde_json::from_slice(&fs_err::read(folder.join(FILE)).ok()?).ok()
}

impl Manifest {
    fn new(run: &RunFile) -> Self {
        Self {
            program: "visionthink".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: commit(),
            seeds: [run.run.seed, run.bootstrap.seed],
            prunings: BTreeMap::new(),
            sessions: Vec::new(),
        }
    }

    fn write(&self, folder: &Path) -> anyhow::Result<()> {
        replace(&folder.join(FILE), format!("{}\n", serde_json::to_string_pretty(self)?).as_bytes())?;
        Ok(())
    }
}

/// What made the answers of a run, in a line; empty where nobody wrote it down.
pub(crate) fn machine(folder: &Path) -> String {
    let Some(manifest) = read(folder) else { return String::new() };
    let mut machines: Vec<String> = manifest
        .sessions
        .iter()
        .map(|session| {
            let text = |value: &Value| value.as_str().unwrap_or("unknown").to_owned();
            let hardware = &session["hardware"];
            let [processor, device, version] =
                [&hardware["processor"], &session["device"], &session["version"]].map(text);
            format!(
                "{processor}, {} cores, {} threads, device {device}, version {version}",
                hardware["cores"], session["threads"]
            )
        })
        .collect();
    machines.dedup();
    let commit = manifest
        .commit
        .map_or_else(String::new, |commit| format!("; the folder it was called in stands at commit {commit}"));
    format!("- made by: {}{commit}\n", machines.join("; then "))
}

/// Threads that products are shared among: what the environment says, else one a core.
fn threads() -> usize {
    let wanted = std::env::var("RAYON_NUM_THREADS").ok().and_then(|text| text.parse().ok()).filter(|count| *count > 0);
    wanted.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get))
}

/// Processor, cores, memory and system, as far as the system tells.
fn hardware() -> Value {
    let of = |file: &str, key: &str| {
        let text = fs_err::read_to_string(file).ok()?;
        let line = text.lines().find(|line| line.starts_with(key))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    serde_json::json!({
        "processor": of("/proc/cpuinfo", "model name"),
        "cores": std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        "memory": of("/proc/meminfo", "MemTotal"),
        "system": format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
    })
}

//! The file of an experiment: variants of one training run, each with several seeds.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::{Table, Value};
use visionthink_train::TrainConfig;
use visionthink_train::grpo::GrpoConfig;

use crate::failure::Failure;
use crate::training::refused;

/// An experiment as its file says it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Definition {
    /// What all variants share.
    pub(crate) experiment: Experiment,
    /// Put over the base of every variant.
    #[serde(default)]
    overrides: Table,
    /// What is compared.
    #[serde(rename = "variant")]
    pub(crate) variants: Vec<Variant>,
    /// What is drawn over the steps.
    #[serde(rename = "plot", default)]
    pub(crate) plots: Vec<Plot>,
}

/// What all variants share.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Experiment {
    /// Names the run folders and the page.
    pub(crate) name: String,
    /// Heading of the page.
    pub(crate) title: String,
    /// The run file that variants differ from.
    base: PathBuf,
    /// The run folders lie in `out/name`.
    out: PathBuf,
    /// Each variant runs once a seed; pictures are drawn from the seed behind it.
    pub(crate) seeds: Vec<u64>,
    /// Held-out questions a family that each trained model answers.
    pub(crate) questions: u64,
    /// Where those are drawn from.
    pub(crate) questions_seed: u64,
}

/// One way to train.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Variant {
    /// Names its run folders.
    pub(crate) name: String,
    /// How readers see it.
    pub(crate) label: String,
    /// A run file of its own, to which the overrides do not apply.
    #[serde(default)]
    base: Option<PathBuf>,
    /// What it changes.
    #[serde(default)]
    set: Table,
}

/// A number of `metrics.jsonl` over the steps.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plot {
    /// Names its file.
    pub(crate) name: String,
    /// Stands above it.
    pub(crate) title: String,
    /// The key in `metrics.jsonl`.
    pub(crate) metric: String,
    /// What the vertical axis is.
    pub(crate) axis: String,
    /// Its lowest and highest value; found from the numbers without it.
    #[serde(default)]
    pub(crate) range: Option<(f64, f64)>,
}

/// A run file of either kind.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum RunFile {
    /// Imitation.
    Imitation(Box<TrainConfig>),
    /// Reinforcement.
    Reinforcement(Box<GrpoConfig>),
}

/// A variant with a seed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Trial {
    /// Which of the variants.
    pub(crate) variant: usize,
    /// The seed.
    pub(crate) seed: u64,
    /// What runs.
    pub(crate) run: RunFile,
}

impl Trial {
    /// The run folder.
    pub(crate) fn folder(&self) -> PathBuf {
        match &self.run {
            RunFile::Imitation(config) => config.folder(),
            RunFile::Reinforcement(config) => config.folder(),
        }
    }
}

impl Definition {
    /// Reads the file; anything wrong in it is the caller's to mend.
    pub(crate) fn from_file(file: &Path) -> anyhow::Result<Self> {
        let text = fs_err::read_to_string(file).map_err(|error| Failure::usage(error.to_string()))?;
        let definition: Self =
            toml::from_str(&text).map_err(|error| Failure::usage(format!("{}: {error}", file.display())))?;
        let wrong = |what: &str| Err(Failure::usage(format!("{}: {what}", file.display())).into());
        if definition.experiment.seeds.is_empty() {
            return wrong("`experiment.seeds` is empty; a variant runs once a seed");
        }
        if definition.variants.is_empty() {
            return wrong("there is no `[[variant]]`; an experiment compares at least one");
        }
        let mut names: Vec<&str> = definition.variants.iter().map(|variant| variant.name.as_str()).collect();
        names.sort_unstable();
        if let Some([name, _]) = names.array_windows().find(|[one, next]| one == next) {
            return wrong(&format!("two variants are named `{name}`; each names a run folder"));
        }
        Ok(definition)
    }

    /// Every variant with every seed, checked; the first seed of all variants comes first.
    pub(crate) fn trials(&self) -> anyhow::Result<Vec<Trial>> {
        let mut trials = Vec::new();
        for &seed in &self.experiment.seeds {
            for (index, variant) in self.variants.iter().enumerate() {
                trials.push(Trial { variant: index, seed, run: self.resolve(variant, seed)? });
            }
        }
        Ok(trials)
    }

    fn resolve(&self, variant: &Variant, seed: u64) -> anyhow::Result<RunFile> {
        let base = variant.base.as_ref().unwrap_or(&self.experiment.base);
        let text = fs_err::read_to_string(base).map_err(|error| Failure::usage(error.to_string()))?;
        let mut run: Table =
            toml::from_str(&text).map_err(|error| Failure::usage(format!("{}: {error}", base.display())))?;
        if variant.base.is_none() {
            put_over(&mut run, &self.overrides);
        }
        put_over(&mut run, &variant.set);
        let identity = self.identity(variant, seed, &run);
        put_over(&mut run, &identity);
        let text = toml::to_string(&run)?;
        // Problems are told with the file they mostly come from.
        // Rollouts are what only reinforcement has.
        Ok(if run.contains_key("rollout") {
            RunFile::Reinforcement(Box::new(GrpoConfig::from_toml(&text, base).map_err(refused)?))
        } else {
            RunFile::Imitation(Box::new(TrainConfig::from_toml(&text, base).map_err(refused)?))
        })
    }

    /// What tells the run from all others.
    fn identity(&self, variant: &Variant, seed: u64, run: &Table) -> Table {
        let text = |text: String| Value::String(text);
        let out = self.experiment.out.join(&self.experiment.name);
        let mut identity = Table::new();
        identity.insert(
            "run".to_owned(),
            Value::Table(Table::from_iter([
                ("name".to_owned(), text(format!("{}-seed{seed}", variant.name))),
                ("seed".to_owned(), Value::Integer(seed as i64)),
                ("out".to_owned(), text(out.display().to_string())),
            ])),
        );
        if run.get("data").and_then(|data| data.get("synthetic")).is_some() {
            let pictures = Table::from_iter([("seed".to_owned(), Value::Integer(seed as i64 + 1))]);
            let data = Table::from_iter([("synthetic".to_owned(), Value::Table(pictures))]);
            identity.insert("data".to_owned(), Value::Table(data));
        }
        identity
    }
}

/// Puts the values of one table over those of another, table by table. A table that names a `rule` is a choice, and replaces
/// what was chosen.
fn put_over(table: &mut Table, over: &Table) {
    for (key, value) in over {
        match (table.get_mut(key), value) {
            (Some(Value::Table(below)), Value::Table(over)) if !over.contains_key("rule") => put_over(below, over),
            _ => {
                table.insert(key.clone(), value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Table {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn values_are_put_over_one_by_one_and_a_rule_as_a_whole() {
        let mut run = table("[a]\nx = 1\ny = 2\n[a.control]\nrule = 'eq5'\nthreshold = 0.2\n[b]\nz = 3");
        put_over(&mut run, &table("[a]\ny = 5\ncontrol = { rule = 'never' }"));
        assert_eq!(run, table("[a]\nx = 1\ny = 5\ncontrol = { rule = 'never' }\n[b]\nz = 3"));
    }

    #[test]
    fn the_experiments_that_ship_resolve_to_run_files() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for entry in fs_err::read_dir(root.join("experiments")).unwrap() {
            let file = entry.unwrap().path();
            let definition = Definition::from_file(&file).unwrap();
            let bases = definition.variants.iter().map(|variant| variant.base.as_ref());
            for base in bases.flatten().chain([&definition.experiment.base]) {
                assert!(root.join(base).is_file(), "{}: {} is not there", file.display(), base.display());
            }
        }
    }
}

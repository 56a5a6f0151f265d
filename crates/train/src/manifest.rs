//! What a run folder says about its run: the run file as it was understood, and what ran it.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use crate::answer_judge::JudgeSection;
use crate::error::TrainError;
use crate::replace::replace_file;

const CONFIG_FILE: &str = "config.toml";

/// Sections that say what is written down and when, or how what was found is sorted. They change no number that a run computes, so a resumed
/// run may change them.
const FREE_SECTIONS: [&str; 5] = ["checkpoint", "log", "classes", "balance", "output"];

/// Whether a resumed run may change a key: see [`FREE_SECTIONS`] and [`JudgeSection::FREE_KEYS`].
fn is_free(key: &str) -> bool {
    let section = key.split('.').next().unwrap_or(key);
    let of_judge = key.strip_prefix("reward.").unwrap_or(key).strip_prefix("judge.").is_some_and(|key| {
        JudgeSection::FREE_KEYS
            .iter()
            .any(|free| key.strip_prefix(free).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
    });
    FREE_SECTIONS.contains(&section) || key == "reward.verdicts" || of_judge
}

/// Writes the run file as it was understood, and what runs it.
///
/// # Errors
/// A file cannot be written.
pub(crate) fn write_manifest(config: &impl Serialize, seed: u64, folder: &Path) -> Result<(), TrainError> {
    fs_err::create_dir_all(folder)?;
    let resolved = toml::to_string_pretty(config).expect("a run file that was read can be written");
    replace_file(&folder.join(CONFIG_FILE), &resolved)?;
    let manifest = serde_json::json!({
        "program": "visionthink-train",
        "version": env!("CARGO_PKG_VERSION"),
        "seed": seed,
        "threads": rayon::current_num_threads(),
    });
    replace_file(&folder.join("manifest.json"), &format!("{manifest:#}\n"))?;
    Ok(())
}

/// Compares a run file with the one that the run in `folder` began with. A folder without one has nothing to compare.
///
/// # Errors
/// [`TrainError::ResumeDiffers`] with all keys that differ, but for those of [`FREE_SECTIONS`] and where the judge is.
pub(crate) fn check_unchanged(folder: &Path, config: &impl Serialize) -> Result<(), TrainError> {
    let file = folder.join(CONFIG_FILE);
    if !file.is_file() {
        return Ok(());
    }
    let began: toml::Value = toml::from_str(&fs_err::read_to_string(&file)?)
        .map_err(|error| TrainError::Checkpoint { file, problem: error.message().to_owned() })?;
    let now = toml::Value::try_from(config).expect("a run file that was read can be written");
    let (began, now) = (flat(&began), flat(&now));
    let shown = |value: Option<&String>| value.map_or_else(|| "not given".to_owned(), |value| format!("`{value}`"));
    let mut keys: Vec<&String> = began.keys().chain(now.keys()).collect();
    keys.sort_unstable();
    keys.dedup();
    let keys: Vec<String> = keys
        .into_iter()
        .filter(|key| !is_free(key))
        .filter(|key| began.get(*key) != now.get(*key))
        .map(|key| format!("`{key}` was {} and is {}", shown(began.get(key)), shown(now.get(key))))
        .collect();
    if keys.is_empty() { Ok(()) } else { Err(TrainError::ResumeDiffers { folder: folder.to_path_buf(), keys }) }
}

/// Values by dotted key.
fn flat(value: &toml::Value) -> BTreeMap<String, String> {
    fn walk(key: String, value: &toml::Value, into: &mut BTreeMap<String, String>) {
        let below = |name: &str| if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") };
        match value {
            toml::Value::Table(table) => {
                for (name, value) in table {
                    walk(below(name), value, into);
                }
            }
            toml::Value::Array(values) if values.iter().any(toml::Value::is_table) => {
                for (index, value) in values.iter().enumerate() {
                    walk(below(&index.to_string()), value, into);
                }
            }
            value => {
                into.insert(key, value.to_string());
            }
        }
    }
    let mut into = BTreeMap::new();
    walk(String::new(), value, &mut into);
    into
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn config() -> Value {
        json!({"run": {"seed": 1}, "log": {"every": 5}, "stage": [{"steps": 3}, {"steps": 4}]})
    }

    #[test]
    fn a_run_goes_on_with_its_settings_and_with_another_way_of_logging() {
        let folder = tempfile::tempdir().unwrap();
        check_unchanged(folder.path(), &config()).unwrap();
        write_manifest(&config(), 1, folder.path()).unwrap();
        let mut quieter = config();
        quieter["log"]["every"] = 50.into();
        check_unchanged(folder.path(), &quieter).unwrap();
    }

    #[test]
    fn a_judge_may_move_and_not_become_another() {
        for (free, keys) in [
            (
                true,
                ["reward.judge.endpoint.url", "reward.judge.endpoint.prices.prompt", "reward.verdicts", "log.every"],
            ),
            (false, ["reward.judge.endpoint.model", "reward.judge", "reward.judge.endpoint.variant.kind", "run.seed"]),
        ] {
            assert!(keys.iter().all(|key| is_free(key) == free), "{keys:?}");
        }
    }

    #[test]
    fn every_setting_that_differs_is_named_with_both_values() {
        let folder = tempfile::tempdir().unwrap();
        write_manifest(&config(), 1, folder.path()).unwrap();
        let mut other = config();
        other["stage"][1]["steps"] = 9.into();
        other["run"]["name"] = "b".into();
        let error = check_unchanged(folder.path(), &other).unwrap_err().to_string();
        assert!(error.contains("`stage.1.steps` was `4` and is `9`"), "{error}");
        assert!(error.contains("`run.name` was not given and is `\"b\"`"), "{error}");
    }
}

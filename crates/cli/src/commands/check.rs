//! `visionthink check`: validates a run file and prints it resolved.

use std::path::Path;

use serde::Serialize;
use visionthink_eval::run::RunFile;
use visionthink_serve::ServeConfig;
use visionthink_train::curate::CurateConfig;
use visionthink_train::grpo::GrpoConfig;
use visionthink_train::{TrainConfig, TrainError};

use crate::args::CheckArguments;
use crate::commands::{eval, serve};
use crate::failure::Failure;
use crate::output;
use crate::training::refused;

pub(crate) fn run(arguments: &CheckArguments) -> anyhow::Result<()> {
    let file = &arguments.config;
    let text = fs_err::read_to_string(file).map_err(|error| Failure::usage(error.to_string()))?;
    // A file that is no TOML is read as imitation, and says what is wrong with it.
    let sections = toml::from_str::<toml::Table>(&text).unwrap_or_default();
    let checked = if sections.contains_key("benchmark") {
        let config = RunFile::from_toml(&text, file).map_err(eval::refused)?;
        let named = config.benchmarks.iter().filter_map(|section| Some((&section.name, section.data.as_ref()?)));
        let missing = named.filter(|(_, path)| !path.to_string_lossy().starts_with("hf:") && !path.exists());
        let missing = missing
            .map(|(name, path)| format!("`benchmark.data` of `{name}` is {}, which is not there", path.display()));
        Ok((toml::to_string_pretty(&config)?, missing.collect()))
    } else if sections.contains_key("classes") {
        resolved(&text, file, CurateConfig::without_files)
    } else if sections.contains_key("rollout") {
        resolved(&text, file, GrpoConfig::without_files)
    } else if sections.contains_key("upstream") || sections.contains_key("engine") {
        let config = ServeConfig::from_file(file).map_err(|error| serve::refused(file, &error))?;
        Ok((toml::to_string_pretty(&config)?, Vec::new()))
    } else {
        resolved(&text, file, TrainConfig::without_files)
    };
    let (resolved, missing) = checked?;
    for missing in missing {
        // The file may be meant for another machine; whoever runs it here is refused.
        tracing::warn!("{}: {missing}", file.display());
    }
    output::line(resolved.trim_end())?;
    Ok(())
}

/// A run file, and the files it names that are not there.
type Named<C> = (C, Vec<String>);

/// A run file as it was understood, and the files it names that are not there.
fn resolved<C: Serialize>(
    text: &str,
    file: &Path,
    read: fn(&str, &Path) -> Result<Named<C>, TrainError>,
) -> anyhow::Result<(String, Vec<String>)> {
    let (config, missing) = read(text, file).map_err(refused)?;
    Ok((toml::to_string_pretty(&config)?, missing))
}

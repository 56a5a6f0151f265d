//! `visionthink check`: validates a run file and prints it resolved.

use crate::args::CheckArguments;
use crate::commands::{grpo, sft};
use crate::failure::Failure;
use crate::output;

pub(crate) fn run(arguments: &CheckArguments) -> anyhow::Result<()> {
    let text = fs_err::read_to_string(&arguments.config).map_err(|error| Failure::usage(error.to_string()))?;
    let resolved = if is_reinforcement(&text) {
        toml::to_string_pretty(&grpo::read(&arguments.config)?)?
    } else {
        toml::to_string_pretty(&sft::read(&arguments.config)?)?
    };
    output::line(resolved.trim_end())?;
    Ok(())
}

/// Rollouts are what only reinforcement has. A file that is no TOML is read as imitation, and says what is wrong with it.
pub(crate) fn is_reinforcement(text: &str) -> bool {
    toml::from_str::<toml::Table>(text).is_ok_and(|table| table.contains_key("rollout"))
}

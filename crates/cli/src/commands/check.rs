//! `visionthink check`: a run file, validated and printed resolved.

use crate::args::CheckArguments;
use crate::commands::sft::read;
use crate::output;

pub(crate) fn run(arguments: &CheckArguments) -> anyhow::Result<()> {
    let config = read(&arguments.config)?;
    output::line(toml::to_string_pretty(&config)?.trim_end())?;
    Ok(())
}

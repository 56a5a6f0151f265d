//! `visionthink export`: a checkpoint of a run as a Hugging Face folder, without the state of the trainer.

use burn::tensor::Device;
use visionthink_train::export;

use crate::args::ExportArguments;
use crate::failure::Failure;
use crate::output;

pub(crate) fn run(arguments: &ExportArguments) -> anyhow::Result<()> {
    let out = &arguments.out;
    if out.exists() && fs_err::read_dir(out)?.next().is_some() {
        return Err(Failure::usage(format!("`--out` {} is not empty", out.display())).into());
    }
    fs_err::create_dir_all(out)?;
    export(&arguments.checkpoint, out, arguments.dtype, &Device::flex())?;
    output::line(&format!("{} holds the checkpoint", out.display()))?;
    Ok(())
}

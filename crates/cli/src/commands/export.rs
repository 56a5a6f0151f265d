//! `visionthink export`: a checkpoint of a run without the state of the trainer: a Hugging Face folder, or an adapter in the layout of PEFT.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use visionthink_model::{Adapter, Dtype};
use visionthink_train::{export, export_adapter, export_merged};

use crate::args::ExportArguments;
use crate::failure::Failure;
use crate::output;

pub(crate) fn run(arguments: &ExportArguments) -> anyhow::Result<()> {
    let (checkpoint, out) = (&arguments.checkpoint, &arguments.out);
    let adapter = Adapter::is_in(checkpoint);
    check(arguments, adapter)?;
    if out.exists() && fs_err::read_dir(out)?.next().is_some() {
        return Err(Failure::usage(format!("`--out` {} is not empty", out.display())).into());
    }
    let dtype = arguments.dtype.unwrap_or(if arguments.lora.is_some() { Dtype::F32 } else { Dtype::Bf16 });
    if !adapter {
        fs_err::create_dir_all(out)?;
        export(checkpoint, out, dtype, &Device::flex())?;
        output::line(&format!("{} holds the checkpoint", out.display()))?;
        return Ok(());
    }
    let base = base(arguments)?;
    fs_err::create_dir_all(out)?;
    if arguments.merge {
        export_merged(checkpoint, &base, out, dtype, &Device::flex())?;
        output::line(&format!("{} holds {} with the adapter merged in", out.display(), base.display()))?;
    } else {
        export_adapter(checkpoint, &base, out, dtype)?;
        output::line(&format!("{} holds the adapter; its base is {}", out.display(), base.display()))?;
    }
    Ok(())
}

/// Refuses flags that do not suit what the checkpoint holds.
fn check(arguments: &ExportArguments, adapter: bool) -> Result<(), Failure> {
    let place = arguments.checkpoint.display();
    let asked = arguments.lora.is_some() || arguments.merge;
    if adapter && !asked {
        return Err(Failure::usage(format!("{place} holds an adapter"))
            .hint("`--lora peft` writes the adapter alone, `--merge` its base with the adapter merged in"));
    }
    if !adapter && (asked || arguments.base.is_some()) {
        return Err(Failure::usage(format!("{place} holds no adapter; `--lora`, `--merge` and `--base` are for one")));
    }
    Ok(())
}

/// The checkpoint that the adapter belongs to.
fn base(arguments: &ExportArguments) -> anyhow::Result<PathBuf> {
    let named = match &arguments.base {
        Some(base) => Some(base.clone()),
        None => Adapter::base_in(&arguments.checkpoint)?.map(PathBuf::from),
    };
    let there = |base: &PathBuf| Path::new(base).join("config.json").is_file();
    match named {
        Some(base) if there(&base) => Ok(base),
        Some(base) => {
            Err(Failure::usage(format!("the base of the adapter, {}, is no checkpoint folder", base.display()))
                .hint("`--base DIR` says where it is")
                .into())
        }
        None => Err(Failure::usage("the adapter does not name its base").hint("`--base DIR` says where it is").into()),
    }
}

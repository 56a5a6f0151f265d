//! What is given to `eval` and `report`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use visionthink_eval::metrics::answer_tag::TagOrder;
use visionthink_eval::{Benchmark, Edition, ShardOf};

use crate::device::DeviceChoice;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct EvalArguments {
    #[command(subcommand)]
    pub(crate) command: Option<EvalCommand>,
    #[command(flatten)]
    pub(crate) run: EvalRunArguments,
}

#[derive(Debug, Args)]
pub(crate) struct EvalRunArguments {
    /// The run file: models, methods and benchmarks. The same command goes on where an interrupted run ended.
    #[arg(long, required = true)]
    pub(crate) config: Option<PathBuf>,
    /// Only so many questions of each benchmark.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: Option<u64>,
    /// Only a part of the questions: `i/n`, i counted from 0. Each part has a run folder of its own.
    #[arg(long, value_name = "I/N", value_parser = shard, conflicts_with_all = ["merge", "page"])]
    pub(crate) shard: Option<ShardOf>,
    /// Put the folders of so many parts together and report, without asking anything.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) merge: Option<u64>,
    /// Write the report to this Markdown file too, with its charts beside it.
    #[arg(long, value_name = "FILE.md")]
    pub(crate) page: Option<PathBuf>,
    /// Print the numbers as one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
    /// auto, cpu, cuda:N, rocm:N, vulkan:N, metal or tch:N.
    #[arg(long, default_value = "auto")]
    pub(crate) device: DeviceChoice,
}

fn shard(text: &str) -> Result<ShardOf, String> {
    let wrong = || format!("`{text}` is no part; expected `i/n` with i from 0 to n - 1, as `0/4`");
    let (index, of) = text.split_once('/').ok_or_else(wrong)?;
    let (Ok(index), Ok(of)) = (index.parse(), of.parse()) else { return Err(wrong()) };
    if index < of { Ok(ShardOf { index, of }) } else { Err(wrong()) }
}

#[derive(Debug, Subcommand)]
pub(crate) enum EvalCommand {
    /// Score a file of predictions by the rules of a benchmark.
    Score(EvalScoreArguments),
}

#[derive(Debug, Args)]
pub(crate) struct ReportArguments {
    /// The folder of a run of `eval`: its report is written again. With a second one, what changed from the first to the second.
    #[arg(value_name = "RUN", num_args = 1..=2, required = true)]
    pub(crate) runs: Vec<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct EvalScoreArguments {
    /// Its name, as `docvqa`; an unknown one is answered with all names.
    #[arg(long)]
    pub(crate) benchmark: Benchmark,
    /// Predictions, one JSON object a line: `prediction`, optional `id`, and the columns of the benchmark.
    #[arg(long)]
    pub(crate) input: PathBuf,
    /// Cut predictions to their answer tag: close-first (`</answer>`, then `<answer>`) or open-last-first.
    #[arg(long, value_parser = tag_order)]
    pub(crate) answer_tag: Option<TagOrder>,
    /// Take thinking between `<think>` or `<analysis>` tags out first.
    #[arg(long)]
    pub(crate) strip_reasoning: bool,
    /// Whose rules: reference (today's lmms-eval), or v0.3.2 (the paper's time).
    #[arg(long, default_value = "reference", value_parser = edition)]
    pub(crate) edition: Edition,
    /// Print one JSON object with every sample.
    #[arg(long)]
    pub(crate) json: bool,
}

fn tag_order(name: &str) -> Result<TagOrder, String> {
    match name {
        "close-first" => Ok(TagOrder::CloseFirst),
        "open-last-first" => Ok(TagOrder::OpenLastFirst),
        _ => Err("expected close-first or open-last-first".to_owned()),
    }
}

fn edition(name: &str) -> Result<Edition, String> {
    match name {
        "reference" => Ok(Edition::Reference),
        "v0.3.2" => Ok(Edition::V032),
        _ => Err("expected reference or v0.3.2".to_owned()),
    }
}

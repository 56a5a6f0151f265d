//! `visionthink`: look at a quarter of the pixels first, ask for the rest only when the question needs it.
//!
//! This crate owns arguments, device choice, run files, progress, reports and exit codes. It holds no mathematics.
//! Data goes to stdout, logs and progress to stderr. Exit codes: 0 done, 1 failed, 2 wrong usage or run file.

mod args;
mod commands;
mod demo;
mod device;
mod elsewhere;
mod evaluation;
mod experiment;
mod failure;
mod html;
mod images;
mod interrupt;
mod micro;
mod model;
mod output;
mod progress;
mod requests;
mod training;

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use args::{Arguments, Command, EvalCommand};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    start_logging(arguments.verbose);
    match run(arguments.command) {
        Ok(()) => ExitCode::SUCCESS,
        // `| head` has read enough.
        Err(error) if output::reader_is_gone(&error) => ExitCode::SUCCESS,
        Err(error) => failure::report(&error),
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Ask(arguments) => commands::ask::run(&arguments),
        Command::Bench(arguments) => commands::bench::run(&arguments),
        Command::Check(arguments) => commands::check::run(&arguments),
        Command::Curate(arguments) => commands::curate::run(&arguments),
        Command::Demo(arguments) => commands::demo::run(&arguments),
        Command::Eval(arguments) => match &arguments.command {
            Some(EvalCommand::Score(score)) => commands::eval::score(score),
            None => commands::eval::run(&arguments.run),
        },
        Command::Experiment(arguments) => commands::experiment::run(&arguments),
        Command::Judge(arguments) => commands::judge::run(&arguments),
        Command::Export(arguments) => commands::export::run(&arguments),
        Command::Grpo(arguments) => commands::grpo::run(&arguments),
        Command::Generate(arguments) => commands::generate::run(&arguments),
        Command::Inspect(arguments) => commands::inspect::run(&arguments),
        Command::Report(arguments) => commands::report::run(&arguments),
        Command::Reward(arguments) => commands::reward::run(&arguments),
        Command::Score(arguments) => commands::score::run(&arguments),
        Command::Serve(arguments) => commands::serve::run(&arguments),
        Command::Sft(arguments) => commands::sft::run(&arguments),
        Command::Synth(arguments) => commands::synth::run(&arguments),
    }
}

/// Logs go to stderr: warnings by default, more with `-v`, or as `RUST_LOG` says.
fn start_logging(verbose: u8) {
    let default = match verbose {
        0 => "warn",
        1 => "info",
        _ => "debug",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let colours = progress::has_terminal() && progress::colours();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| progress::LogLines).with_target(false);
    // What a person reads needs no clock; whoever asks for phases wants to see where time goes.
    if verbose == 0 {
        log.with_ansi(colours).without_time().init();
    } else {
        log.with_ansi(colours).init();
    }
}

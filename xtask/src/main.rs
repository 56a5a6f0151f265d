//! Developer commands, run as `cargo xtask COMMAND`.
//!
//! One file per command: [`check`], [`mod@reference`], [`mod@bench`], [`peers`], [`clients`]. [`workspace`] knows where things are and how
//! cargo is called.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a developer program talks to a terminal")]

mod arrows;
mod bench;
mod check;
mod clients;
mod departures;
mod peers;
mod reference;
mod workspace;

use std::process::ExitCode;

use workspace::Workspace;

const USAGE: &str = "\
Developer commands.

usage: cargo xtask COMMAND

  check [STEP]      everything that has to hold before a commit, cheapest first; or only the steps named:
                    format, arrows, licences, advisories, clippy, tests, docs
  reference [DIR]   run the reference-vector tests against the vectors in DIR (default: `fixtures/`)
  bench [NAME]      speed, memory and the limits of this machine; NAME is `micro`, `small`, `rl`, a step of GRPO, or
                    `serve` (default: all); transformers and TRL beside it where their environment is set up
  soak [MINUTES]    the server under load with faults on both sides, and told to stop in the middle (default: 10)
  peers [NAME ARG]  set up the Python environment in `target/peers`, and run `bench/peers/NAME.py` in it:
                    `load_saved CHECKPOINT`, `transformers_bench WORKLOAD.json`, `trl_grpo WORKLOAD.json`;
                    `vllm_gateway [QUESTIONS]` makes one with vLLM in `target/vllm` and serves the embedded model there
  clients [CONFIG]  install OpenAI's Python and JavaScript packages in `target/clients`, and ask the server that CONFIG
                    describes with them and with curl (default: the embedded model)
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["check", steps @ ..] if steps.iter().all(|step| check::names().any(|name| name == *step)) => {
            Workspace::find().and_then(|workspace| check::run(&workspace, steps))
        }
        ["reference"] => Workspace::find().and_then(|workspace| reference::run(&workspace, None)),
        ["reference", folder] if !folder.starts_with('-') => {
            Workspace::find().and_then(|workspace| reference::run(&workspace, Some(folder.as_ref())))
        }
        ["bench", names @ ..] if names.iter().all(|name| bench::NAMES.contains(name)) => {
            Workspace::find().and_then(|workspace| bench::run(&workspace, names))
        }
        ["soak"] => Workspace::find().and_then(|workspace| bench::soak(&workspace, "10")),
        ["soak", minutes] if !minutes.starts_with('-') => {
            Workspace::find().and_then(|workspace| bench::soak(&workspace, minutes))
        }
        ["peers"] => Workspace::find().and_then(|workspace| peers::run(&workspace, None, &[])),
        ["peers", name, rest @ ..] if !name.starts_with('-') => {
            Workspace::find().and_then(|workspace| peers::run(&workspace, Some(name), rest))
        }
        ["clients"] => Workspace::find().and_then(|workspace| clients::run(&workspace, None)),
        ["clients", config] if !config.starts_with('-') => {
            Workspace::find().and_then(|workspace| clients::run(&workspace, Some(config)))
        }
        ["help" | "-h" | "--help"] => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

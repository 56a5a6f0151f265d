//! Writes the tokenizer of the embedded model: `cargo run -p visionthink-train --example micro_tokenizer -- configs/micro`.
#![expect(clippy::print_stderr, reason = "a program, not a library")]

use std::path::Path;
use std::process::ExitCode;

use visionthink_train::micro_tokenizer::build_micro_tokenizer;

fn main() -> ExitCode {
    let Some(folder) = std::env::args().nth(1) else {
        eprintln!("usage: micro_tokenizer FOLDER");
        return ExitCode::from(2);
    };
    match build_micro_tokenizer(Path::new(&folder)) {
        Ok(vocabulary) => {
            eprintln!("{vocabulary:#?}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

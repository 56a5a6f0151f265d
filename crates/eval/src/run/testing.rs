//! Records and run files for tests.

use std::path::Path;

use serde_json::json;
use visionthink_protocol::Decision;

use super::file::RunFile;
use super::record::{Answer, Ledger, Outcome, Record, Seconds, Source};

/// One model, the methods `full` and `adaptive`, six drawn questions.
pub(crate) fn run_file() -> RunFile {
    let text = "[run]\nname = 'a'\nout = 'runs'\nseed = 1\n\
        [generation]\nmax_new_tokens = 32\ntemperature = 0.0\nmax_rows = 8\n[scoring]\nedition = 'reference'\n\
        [bootstrap]\nresamples = 200\nseed = 2\nlevel = 0.95\n\
        [[model]]\nname = 'm'\nsource = 'micro'\n\
        [[method]]\nname = 'full'\nmode = 'full'\n[[method]]\nname = 'adaptive'\nmode = 'adaptive'\n\
        [[benchmark]]\nname = 'b'\nmetric = 'own-exact'\nsynthetic = { families = ['scene'], questions = 6, seeds = [3] }\n";
    RunFile::from_toml(text, Path::new("eval.toml")).unwrap()
}

/// The `index`-th question of benchmark `b`, whose answer is `yes`; every second one needs the full image.
pub(crate) fn answered(method: &str, index: u64, text: &str) -> Record {
    let [model, method, benchmark] = ["m", method, "b"].map(str::to_owned);
    let (tokens, per_layer, decision) = match method.as_str() {
        "full" => (16, 16.0, Decision::None),
        // Inside the decoder half of the tokens are dropped, in front of it none.
        "fastv-50" => (16, 8.0, Decision::None),
        _ if index % 2 == 1 => (20, 20.0, Decision::Resize),
        _ => (4, 4.0, Decision::Direct),
    };
    let answer = Answer {
        text: text.into(),
        decision,
        turns: vec![text.into()],
        ledger: Ledger { visual_tokens: tokens, visual_tokens_per_layer: per_layer, ..Ledger::default() },
        seconds: Seconds { share: 0.25 * per_layer, ..Seconds::default() },
    };
    let row = json!({ "answer": "yes", "needs_full": index % 2 == 1 });
    let source = Source { model, method, benchmark, index };
    Record { source, id: index.to_string(), question: "Is it?".into(), row, outcome: Outcome::Answered { answer } }
}

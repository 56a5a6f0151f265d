//! A key goes into one header and nowhere else.

use std::io::Write;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use serde_json::json;
use visionthink_judge::{Judge, JudgeEndpoint, PredictionFiles, judge_file};

use crate::server::{Answer, Server};
use crate::{QUESTION, endpoint};

const KEY: &str = "sk-very-secret-0123456789";

/// Repeats the key of the request wherever a server could: in an error, in a reply, in a broken one.
fn indiscreet() -> Server {
    Server::start(|nth, request| {
        let header = request.headers.iter().find_map(|line| line.strip_prefix("authorization: Bearer "));
        let key = header.unwrap();
        match nth % 4 {
            0 => Answer::Raw("500 Oops", format!("x-key: {key}\r\n"), json!({"error": {"message": key}}).to_string()),
            1 => Answer::Raw("200 OK", String::new(), format!("{key} is no JSON")),
            2 => Answer::Says(format!("I know {key}.\nScore: 1")),
            _ => Answer::Raw("401 Unauthorized", String::new(), format!("Incorrect API key: {key}")),
        }
    })
}

fn with_key(server: &Server, folder: &Path) -> JudgeEndpoint {
    let key_file = folder.join("key");
    fs_err::write(&key_file, format!("{KEY}\n")).unwrap();
    JudgeEndpoint { key_file: Some(key_file), ..endpoint(server) }
}

/// Keeps what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_key_is_in_no_debug_output_log_judgement_or_cache() {
    let (server, folder) = (indiscreet(), tempfile::tempdir().unwrap());
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let endpoint = with_key(&server, folder.path());
    let cache = folder.path().join("cache");
    // For all threads: what is logged elsewhere first, where nobody listens, would never be heard of here either. The other tests of this
    // program may not log the key any more than this one.
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let shown = {
        let mut judge = Judge::open(endpoint.clone(), Some(&cache)).unwrap();
        let judged = judge.judge(&QUESTION).unwrap();
        let refused = judge.judge(&visionthink_reward::judge::Question { prediction: "3", ..QUESTION }).unwrap();
        assert!(server.requests()[0].headers.contains(&format!("authorization: Bearer {KEY}")));
        format!("{judge:#?} {judged:?} {refused:?} {refused:#?} {endpoint:?}")
    };
    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let kept = fs_err::read_to_string(cache.join("verdicts.jsonl")).unwrap();
    assert!(shown.contains("Incorrect API key: ***"), "{shown}");
    assert!(logged.contains("judge called"), "{logged}");
    assert!(kept.contains("I know ***."), "{kept}");
    for text in [shown, logged, kept, toml::to_string(&endpoint).unwrap()] {
        assert!(!text.contains("0123456789"), "{text}");
    }
}

#[test]
fn a_key_is_in_no_error_and_no_output_file() {
    let (server, folder) = (indiscreet(), tempfile::tempdir().unwrap());
    let endpoint = JudgeEndpoint { concurrency: 1, max_unreachable: 1, ..with_key(&server, folder.path()) };
    let (input, output) = (folder.path().join("preds.jsonl"), folder.path().join("judged.jsonl"));
    let rows = ["2", "3"].map(|prediction| {
        json!({"id": prediction, "question": "q", "answer": "2", "prediction": prediction}).to_string() + "\n"
    });
    fs_err::write(&input, rows.concat()).unwrap();
    let mut judge = Judge::open(endpoint, None).unwrap();
    let files = PredictionFiles { input: &input, output: &output };
    let error = judge_file(&mut judge, files, &AtomicBool::new(false), &mut |_| ()).unwrap_err();
    let written = fs_err::read_to_string(&output).unwrap();
    assert!(error.to_string().contains("Incorrect API key: ***"), "{error}");
    assert_eq!(written.lines().count(), 2, "{written}");
    for text in [error.to_string(), format!("{error:?}"), written] {
        assert!(!text.contains("0123456789"), "{text}");
    }
}

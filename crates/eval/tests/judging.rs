//! Answers that a judge decides on, with a judge that fails and comes back.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use serde_json::{Value, json};
use visionthink_eval::run::{Answer, Ledger, Outcome, Record, Scoring, Seconds, Source, Verdicts, scored};
use visionthink_eval::statistics::Bootstrap;
use visionthink_eval::{Benchmark, Options};
use visionthink_judge::{EndpointKind, Judge, JudgeEndpoint};
use visionthink_protocol::Decision;

const METRIC: Benchmark = Benchmark::ChartQaJudge;

/// A server that finds predictions right that are `seven`, and is out of order while `is_down`.
fn server(is_down: Arc<AtomicBool>) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut line, mut length) = (String::new(), 0);
            while reader.read_line(&mut line).unwrap() > 2 {
                if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                line.clear();
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            counted.fetch_add(1, Ordering::Relaxed);
            let request: Value = serde_json::from_slice(&body).unwrap();
            let prompt = request["messages"][1]["content"].as_str().unwrap();
            let score = u8::from(prompt.contains("**Model Predicted Answer**: seven\n"));
            let reply = json!({ "choices": [{ "message": { "content": format!("Score: {score}") } }] }).to_string();
            let status = if is_down.load(Ordering::Relaxed) { "401 Unauthorized" } else { "200 OK" };
            write!(stream, "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{reply}", reply.len())
                .unwrap();
        }
    });
    (url, calls)
}

fn judge(url: &str, folder: &Path) -> Judge {
    let endpoint =
        JudgeEndpoint { concurrency: 1, max_unreachable: 2, ..JudgeEndpoint::new(EndpointKind::OpenAi, url, "m") };
    Judge::open(endpoint, Some(&folder.join("verdicts"))).unwrap()
}

fn answered(index: u64, text: &str) -> Record {
    let [model, method, benchmark] = ["m", "full", "charts"].map(str::to_owned);
    let answer = Answer {
        text: text.into(),
        decision: Decision::None,
        turns: vec![text.into()],
        ledger: Ledger::default(),
        seconds: Seconds::default(),
    };
    Record {
        source: Source { model, method, benchmark, index },
        id: index.to_string(),
        question: format!("How many bars has chart {index}?"),
        row: json!({ "answer": "7" }),
        outcome: Outcome::Answered { answer },
    }
}

#[test]
fn what_a_judge_could_not_say_is_unjudged_and_completed_by_a_later_run() {
    let folder = tempfile::tempdir().unwrap();
    let is_down = Arc::new(AtomicBool::new(true));
    let (url, calls) = server(is_down.clone());
    let records = [answered(0, "seven"), answered(1, "eight"), answered(2, "  ")];
    let records: Vec<&Record> = records.iter().collect();
    let score = |verdicts: &Verdicts| {
        let bootstrap = Bootstrap { resamples: 10, seed: 1, level: 0.95 };
        let scoring = Scoring { metric: METRIC, options: &Options::default(), verdicts };
        scored(&records, scoring, &bootstrap).unwrap().map(|interval| interval.value)
    };
    let ask = |verdicts: &mut Verdicts| {
        let mut judge = judge(&url, folder.path());
        verdicts.ask(&mut judge, METRIC, &records, &AtomicBool::new(false), &mut |_, _| {})
    };

    let mut verdicts = Verdicts::default();
    let error = ask(&mut verdicts).unwrap_err().to_string();
    assert!(error.contains("served none of 2 calls"), "{error}");
    // An answer that was not given is wrong without being judged; the others are no answers of the score's.
    assert_eq!([0, 1, 2].map(|place: usize| verdicts.get(&records[place].source)), [None, None, Some(false)]);
    assert_eq!(score(&verdicts), Some(0.0));

    is_down.store(false, Ordering::Relaxed);
    let mut verdicts = Verdicts::default();
    ask(&mut verdicts).unwrap();
    assert_eq!(verdicts.get(&records[0].source), Some(true));
    assert!((score(&verdicts).unwrap() - 100.0 / 3.0).abs() < 1e-9);

    // What was judged once costs nothing.
    let before = calls.load(Ordering::Relaxed);
    ask(&mut Verdicts::default()).unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), before);
}

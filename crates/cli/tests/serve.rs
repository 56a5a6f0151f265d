//! The server as a client and a service manager meet it: the program in front of an upstream server, on loopback addresses.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "in a test an error is a failure")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use base64::Engine;
use serde_json::{Value, json};

const CALL: &str = "<think>too small</think>\n<tool_call>\n{\"name\": \"resize_image\", \"arguments\": {\"action\": \"resize\"}}\n</tool_call>";
const ANSWER: &str = "<think>now I see</think>\n<answer> 42 </answer>";

/// An upstream server that calls the tool while it sees one image, and answers when it sees two. Keeps what it was asked.
fn upstream() -> (String, Arc<Mutex<Vec<Value>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let kept = asked.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let kept = kept.clone();
            std::thread::spawn(move || reply(stream.unwrap(), &kept));
        }
    });
    (url, asked)
}

fn reply(stream: TcpStream, asked: &Mutex<Vec<Value>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut length = 0;
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let said = match serde_json::from_slice::<Value>(&body) {
        Ok(request) => {
            let text = if images(&request) > 1 { ANSWER } else { CALL };
            asked.lock().unwrap().push(request);
            let chunk = json!({"choices": [{"index": 0, "delta": {"content": text}}]});
            let end = json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]});
            format!("data: {chunk}\n\ndata: {end}\n\ndata: [DONE]\n\n")
        }
        Err(_) => "{}".to_owned(),
    };
    let kind = if length > 0 { "text/event-stream" } else { "application/json" };
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        said.len()
    );
    let mut stream = stream;
    // A client that has gone needs no reply.
    let _ = stream.write_all(format!("{head}{said}").as_bytes());
}

fn images(request: &Value) -> usize {
    let messages = request["messages"].as_array().unwrap();
    let parts = messages.iter().filter_map(|message| message["content"].as_array()).flatten();
    parts.filter(|part| part["type"] == "image_url").count()
}

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_visionthink"));
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Starts the server and waits for its address.
fn start(arguments: &[&str]) -> (Child, String) {
    let mut child = program(&[&["serve"], arguments].concat()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on ").unwrap_or_else(|| panic!("said `{line}`")).to_owned();
    (child, address)
}

#[test]
fn a_client_gets_one_answer_behind_two_turns_and_a_terminated_server_ends_well() {
    let (url, asked) = upstream();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("serve.toml");
    let text = format!(
        "model = \"seer\"\nprofile = \"visionthink\"\nmode = \"adaptive\"\n[server]\nlisten = \"127.0.0.1:0\"\n[[upstream]]\nurl = \"{url}\"\n"
    );
    fs_err::write(&config, text).unwrap();
    let config = config.to_str().unwrap();

    let checked = program(&["serve", "--config", config, "--check"]).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    assert_eq!(String::from_utf8(checked.stdout).unwrap(), format!("{url} answers\n"));

    let (mut server, address) = start(&["--config", config]);
    let image = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/models/images/shapes_224x224.png");
    let image = base64::engine::general_purpose::STANDARD.encode(fs_err::read(image).unwrap());
    let content = json!([
        {"type": "image_url", "image_url": {"url": format!("data:image/png;base64,{image}")}},
        {"type": "text", "text": "What number is on it?"},
    ]);
    let request = json!({"model": "seer", "messages": [{"role": "user", "content": content}]}).to_string();
    let mut response = ureq::post(format!("{address}/v1/chat/completions"))
        .header("content-type", "application/json")
        .send(request.as_str())
        .unwrap();
    let answer: Value = serde_json::from_str(&response.body_mut().read_to_string().unwrap()).unwrap();
    assert_eq!(answer["choices"][0]["message"]["content"], "42", "{answer}");
    assert_eq!(answer["visionthink"]["samples"][0]["decision"], "resize", "{answer}");
    let turns: Vec<usize> = asked.lock().unwrap().iter().map(images).collect();
    assert_eq!(turns, [1, 2], "the small image, then the full one beside it");

    let told = Command::new("kill").arg("-TERM").arg(server.id().to_string()).status().unwrap();
    assert!(told.success());
    assert_eq!(server.wait().unwrap().code(), Some(0));
}

#[test]
fn an_upstream_server_that_is_not_there_is_named_by_the_check() {
    let absent = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("serve.toml");
    let text = format!(
        "model = \"seer\"\nprofile = \"visionthink\"\nmode = \"adaptive\"\n[[upstream]]\nurl = \"http://{absent}/v1\"\n"
    );
    fs_err::write(&config, text).unwrap();
    let checked = program(&["serve", "--config", config.to_str().unwrap(), "--check"]).output().unwrap();
    assert_eq!(checked.status.code(), Some(1));
    assert_eq!(String::from_utf8(checked.stdout).unwrap(), format!("http://{absent}/v1 does not answer\n"));
    assert!(String::from_utf8_lossy(&checked.stderr).contains("1 of 1 upstream servers do not answer"));
}

#[test]
fn another_server_completes_requests_as_they_are_and_a_second_run_asks_only_what_is_missing() {
    let (url, asked) = upstream();
    let folder = tempfile::tempdir().unwrap();
    let image = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/models/images/shapes_224x224.png");
    fs_err::copy(image, folder.path().join("seen.png")).unwrap();
    let content = json!([
        {"type": "image_url", "image_url": {"url": "seen.png"}},
        {"type": "text", "text": "What number is on it?"},
    ]);
    let asks = |id: &str| json!({"id": id, "messages": [{"role": "user", "content": content}]}).to_string();
    let input = folder.path().join("requests.jsonl");
    let lines = [asks("a"), json!({"id": "raw", "prompt": "What?"}).to_string(), asks("b")];
    fs_err::write(&input, lines.join("\n")).unwrap();
    let output = folder.path().join("results.jsonl");
    let generate = |engine: &str| {
        let [input, output] = [&input, &output].map(|path| path.to_str().unwrap().to_owned());
        let arguments =
            ["generate", "--input", &input, "--output", &output, "--engine", engine, "--engine-model", "seer"];
        program(&arguments).output().unwrap()
    };

    for asked_before in [0, 2] {
        let ended = generate(&url);
        assert_eq!(ended.status.code(), Some(1));
        let told = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(told.contains("request \"raw\"") && told.contains("1 request failed"), "{told}");
        assert_eq!(asked.lock().unwrap().len(), 2, "{asked_before} were asked before");
    }
    let written = fs_err::read_to_string(&output).unwrap();
    let results: Vec<Value> = written.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(results.len(), 2);
    for result in &results {
        // No profile stands between: a call of the tool is text like any other.
        assert_eq!((result["text"].as_str(), result["finish_reason"].as_str()), (Some(CALL), Some("stop")));
    }
    let request = asked.lock().unwrap()[0].clone();
    assert_eq!((request["model"].as_str(), images(&request)), (Some("seer"), 1));
    assert_eq!(request["logprobs"], true);

    let absent = format!("http://{}/v1", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    let ended = program(&["generate", "--input", input.to_str().unwrap(), "--engine", &absent]).output().unwrap();
    assert_eq!(ended.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&ended.stderr).contains(&format!("{absent}/models")));
}

/// A question about a picture that `visionthink synth` draws, and the picture.
fn drawn(folder: &std::path::Path) -> Vec<(std::path::PathBuf, String)> {
    let made = program(&["synth", "--out", folder.to_str().unwrap(), "--split", "test", "--n", "6"]).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let mut files = fs_err::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let rows = files.find(|path| path.extension().is_some_and(|kind| kind == "jsonl")).unwrap();
    let rows = fs_err::read_to_string(rows).unwrap();
    let row = |line: &str| {
        let row: Value = serde_json::from_str(line).unwrap();
        (folder.join(row["image"].as_str().unwrap()), row["question"].as_str().unwrap().to_owned())
    };
    rows.lines().map(row).collect()
}

fn ready(address: &str) {
    for _ in 0..600 {
        if ureq::get(format!("{address}/ready")).call().is_ok() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("{address} is never ready");
}

fn completion(address: &str, request: &Value) -> Result<Value, ureq::Error> {
    let sent = ureq::post(format!("{address}/v1/chat/completions"))
        .header("content-type", "application/json")
        .send(request.to_string().as_str());
    let text = sent?.body_mut().read_to_string()?;
    Ok(serde_json::from_str(&text).unwrap())
}

fn question(image: &std::path::Path, question: &str) -> Value {
    let image = base64::engine::general_purpose::STANDARD.encode(fs_err::read(image).unwrap());
    let content = json!([
        {"type": "image_url", "image_url": {"url": format!("data:image/png;base64,{image}")}},
        {"type": "text", "text": question},
    ]);
    json!({"model": "micro", "messages": [{"role": "user", "content": content}], "temperature": 1.0, "seed": 7})
}

#[test]
fn without_a_run_file_the_embedded_model_is_served_and_says_what_ask_says() {
    let checked = program(&["serve", "--check"]).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    assert_eq!(String::from_utf8(checked.stdout).unwrap(), "micro is loaded\n");

    let folder = tempfile::tempdir().unwrap();
    let (mut server, address) = start(&["--listen", "127.0.0.1:0"]);
    ready(&address);
    for (image, text) in drawn(folder.path()) {
        let served = completion(&address, &question(&image, &text)).unwrap();
        let asked = program(&["ask", "--json", "--temperature", "1", "--seed", "7", "--image"])
            .arg(&image)
            .arg(&text)
            .output()
            .unwrap();
        let asked: Value = serde_json::from_slice(&asked.stdout).unwrap();
        assert_eq!(served["choices"][0]["message"]["content"], asked["answer"], "{text}");
        assert_eq!(served["visionthink"]["samples"][0]["decision"], asked["decision"], "{text}");
        assert_eq!(served["usage"]["completion_tokens"], asked["usage"]["completion_tokens"], "{text}");
    }
    let told = Command::new("kill").arg("-TERM").arg(server.id().to_string()).status().unwrap();
    assert!(told.success());
    assert_eq!(server.wait().unwrap().code(), Some(0));
}

#[test]
fn a_server_that_is_terminated_under_load_answers_what_it_has_taken_on() {
    let folder = tempfile::tempdir().unwrap();
    let (mut server, address) = start(&["--listen", "127.0.0.1:0"]);
    ready(&address);
    let (image, text) = drawn(folder.path()).remove(0);
    let mut request = question(&image, &text);
    request["n"] = json!(8);
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let (address, request) = (address.clone(), request.clone());
            std::thread::spawn(move || completion(&address, &request))
        })
        .collect();
    // As soon as the first of them is at work.
    let metrics = || ureq::get(format!("{address}/metrics")).call().unwrap().body_mut().read_to_string().unwrap();
    while metrics().contains("visionthink_engine_sampled_tokens_total 0\n") {}
    let told = Command::new("kill").arg("-TERM").arg(server.id().to_string()).status().unwrap();
    assert!(told.success());
    assert_eq!(server.wait().unwrap().code(), Some(0));
    // A request is either answered whole or not taken on.
    let answered: Vec<Value> = clients.into_iter().filter_map(|client| client.join().unwrap().ok()).collect();
    assert!(!answered.is_empty());
    assert!(answered.iter().all(|reply| reply["choices"].as_array().is_some_and(|choices| choices.len() == 8)));
}

#[test]
fn an_evaluation_on_a_server_scores_what_it_scores_in_this_process() {
    let folder = tempfile::tempdir().unwrap();
    let (mut server, address) = start(&["--listen", "127.0.0.1:0"]);
    ready(&address);
    let evaluate = |name: &str, engine: &str, more: &str| {
        let text = format!(
            "[run]\nname = \"{name}\"\nout = \"{}\"\nseed = 1\n[generation]\nmax_new_tokens = 64\ntemperature = 0.0\nmax_rows = 4\n\
             [scoring]\nedition = \"reference\"\n[bootstrap]\nresamples = 20\nseed = 1\nlevel = 0.95\n\
             [[model]]\nname = \"micro\"\nsource = \"micro\"\n{engine}\n\
             [[method]]\nname = \"adaptive\"\nmode = \"adaptive\"\n[[method]]\nname = \"full\"\nmode = \"full\"\n{more}\n\
             [[benchmark]]\nname = \"drawn\"\nmetric = \"own-exact\"\n\
             synthetic = {{ families = [\"scene\", \"chart\", \"document\"], questions = 4, seeds = [5] }}\n",
            folder.path().display()
        );
        let file = folder.path().join(format!("{name}.toml"));
        fs_err::write(&file, text).unwrap();
        program(&["eval", "--config", file.to_str().unwrap()]).output().unwrap()
    };
    let samples = |name: &str| -> Vec<Value> {
        let lines = fs_err::read_to_string(folder.path().join(name).join("samples.jsonl")).unwrap();
        let mut rows: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        rows.sort_by_key(|row| row["source"].to_string());
        rows
    };
    let there = format!("engine = {{ url = \"{address}/v1\" }}");
    for (name, engine) in [("here", ""), ("there", &there)] {
        let ended = evaluate(name, engine, "");
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    }
    let (here, there_rows) = (samples("here"), samples("there"));
    assert_eq!(here.len(), 24);
    let decided = |row: &Value| row["outcome"]["answer"]["decision"].clone();
    assert!(["direct", "resize"].iter().all(|decision| here.iter().any(|row| decided(row) == *decision)));
    for (one, other) in here.iter().zip(&there_rows) {
        assert_eq!(one["source"], other["source"]);
        let (one, other) = (&one["outcome"]["answer"], &other["outcome"]["answer"]);
        // A server of this program says what is inside the tags of an answer, so that turns read otherwise.
        for key in ["text", "decision"] {
            assert_eq!(one[key], other[key]);
        }
        for key in ["patches_encoded", "visual_tokens", "generated_tokens"] {
            assert_eq!(one["ledger"][key], other["ledger"][key], "{key}");
        }
    }

    // Nothing is asked twice, and what a server cannot be told is refused before anything is asked.
    let told = Command::new("kill").arg("-TERM").arg(server.id().to_string()).status().unwrap();
    assert!(told.success());
    server.wait().unwrap();
    let again = evaluate("gone", &there, "");
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains(&format!("{address}/v1/models")));
    let pruned = evaluate("pruned", &there, "[[method]]\nname = \"half\"\nmode = \"full\"\npruning = \"uniform:0.5\"");
    assert_eq!(pruned.status.code(), Some(2));
    let said = String::from_utf8_lossy(&pruned.stderr).into_owned();
    assert!(said.contains("method `half` drops visual tokens"), "{said}");
}

//! An HTTP server of a hundred lines, one thread a connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) path: String,
    /// `name: value` lines, names in lower case.
    pub(crate) headers: Vec<String>,
    pub(crate) body: Value,
}

impl Request {
    /// What the user message says.
    pub(crate) fn prompt(&self) -> &str {
        self.body["messages"][1]["content"].as_str().unwrap()
    }

    /// The predicted answer in the judge's prompt.
    pub(crate) fn prediction(&self) -> &str {
        let (_, rest) = self.prompt().split_once("**Model Predicted Answer**: ").unwrap();
        rest.split_once("\n\nYour task is").unwrap().0
    }
}

/// What the server does with a request.
pub(crate) enum Answer {
    /// 200, with this as what the model says, 100 prompt and 5 completion tokens.
    Says(String),
    /// This status line, these header lines (each ended by `\r\n`), this body.
    Raw(&'static str, String, String),
    /// Nothing, for longer than anybody waits.
    Hang,
    /// The connection ends without a reply.
    Close,
}

impl Answer {
    pub(crate) fn says(text: &str) -> Self {
        Self::Says(text.to_owned())
    }

    pub(crate) fn raw(status: &'static str, body: &str) -> Self {
        Self::Raw(status, String::new(), body.to_owned())
    }

    pub(crate) fn later(header: &str) -> Self {
        Self::Raw("429 Too Many Requests", format!("{header}\r\n"), "{}".to_owned())
    }
}

#[derive(Default)]
struct Seen {
    requests: Mutex<Vec<Request>>,
    now: AtomicUsize,
    most: AtomicUsize,
}

/// A server that runs until the tests end.
pub(crate) struct Server {
    url: String,
    seen: Arc<Seen>,
}

impl Server {
    /// Answers the n-th request, counted from 0, as `script` says.
    pub(crate) fn start(script: impl Fn(usize, &Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let (seen, script) = (Arc::new(Seen::default()), Arc::new(script));
        let shared = Arc::clone(&seen);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (seen, script) = (Arc::clone(&shared), Arc::clone(&script));
                thread::spawn(move || serve(stream.unwrap(), &seen, &*script));
            }
        });
        Self { url, seen }
    }

    /// Says the same to every request.
    pub(crate) fn saying(text: &'static str) -> Self {
        Self::start(move |_, _| Answer::says(text))
    }

    /// An address where nobody listens.
    pub(crate) fn absent() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        Self { url, seen: Arc::default() }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.seen.requests.lock().unwrap().clone()
    }

    pub(crate) fn calls(&self) -> usize {
        self.requests().len()
    }

    /// The largest number of requests that were open at one time.
    pub(crate) fn most_at_once(&self) -> usize {
        self.seen.most.load(Ordering::SeqCst)
    }
}

fn serve(stream: TcpStream, seen: &Seen, script: &dyn Fn(usize, &Request) -> Answer) {
    let Some(request) = receive(&stream) else { return };
    let now = seen.now.fetch_add(1, Ordering::SeqCst) + 1;
    seen.most.fetch_max(now, Ordering::SeqCst);
    let nth = {
        let mut requests = seen.requests.lock().unwrap();
        requests.push(request.clone());
        requests.len() - 1
    };
    let answer = script(nth, &request);
    seen.now.fetch_sub(1, Ordering::SeqCst);
    send(&stream, answer);
}

fn receive(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut lines = (&mut reader).lines().map_while(Result::ok);
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let lower = |line: String| line.split_once(':').map(|(name, value)| format!("{}:{value}", name.to_lowercase()));
    let headers: Vec<String> = lines.take_while(|line| !line.is_empty()).filter_map(lower).collect();
    let length = headers.iter().find_map(|line| line.strip_prefix("content-length: "))?.parse().unwrap();
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { path, headers, body: serde_json::from_slice(&body).unwrap() })
}

fn send(mut stream: &TcpStream, answer: Answer) {
    let (status, headers, body) = match answer {
        Answer::Says(text) => {
            let usage = json!({"prompt_tokens": 100, "completion_tokens": 5});
            let body = json!({"choices": [{"message": {"role": "assistant", "content": text}}], "usage": usage});
            ("200 OK", String::new(), body.to_string())
        }
        Answer::Raw(status, headers, body) => (status, headers, body),
        Answer::Hang => return thread::sleep(Duration::from_mins(1)),
        Answer::Close => return,
    };
    let length = body.len();
    // The client may have gone: a test of time-outs wants that.
    _ = write!(stream, "HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}");
}

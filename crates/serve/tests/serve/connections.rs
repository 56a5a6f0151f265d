//! Clients as they come: over sockets, slow, leaving, many, and while the server stops.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use visionthink_serve::routes::AppState;
use visionthink_serve::{ServeConfig, ServeError};

use crate::stub::{Act, Stub};
use crate::{config, question};

struct Running {
    address: std::net::SocketAddr,
    state: Arc<AppState>,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<Result<(), ServeError>>,
}

async fn run(config: &ServeConfig) -> Running {
    let state = visionthink_serve::state(config).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = visionthink_serve::serve(listener, state.clone(), async move {
        let _ = stopped.await;
    });
    Running { address, state, stop, serving: tokio::spawn(serving) }
}

fn request(body: &str) -> String {
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

async fn exchange(address: std::net::SocketAddr, text: &str) -> String {
    let Ok(mut stream) = TcpStream::connect(address).await else { return String::new() };
    // A server that is stopping may not read all of it.
    let _ = stream.write_all(text.as_bytes()).await;
    let mut reply = Vec::new();
    // What was read before a reset counts.
    let _ = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut reply)).await.unwrap();
    String::from_utf8(reply).unwrap()
}

async fn asked(stub: &Stub) {
    for _ in 0..1000 {
        if !stub.requests().is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("nobody asked");
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_upstream_servers_work() {
    for (act, stream) in [(Act::Hang, false), (Act::Hang, true), (Act::Rambles, false), (Act::Rambles, true)] {
        let stub = Stub::start([act]).await;
        let running = run(&config(&[&stub])).await;
        let mut client = TcpStream::connect(running.address).await.unwrap();
        client.write_all(request(&question(json!({"stream": stream})).to_string()).as_bytes()).await.unwrap();
        asked(&stub).await;
        drop(client);
        stub.abandoned(1).await;
        for _ in 0..200 {
            if exchange(running.address, "GET /metrics HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
                .await
                .contains("visionthink_requests_total{status=\"left\"} 1")
            {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let metrics = crate::get(&running.state, "/metrics").await.text;
        assert!(metrics.contains("visionthink_requests_total{status=\"left\"} 1"), "{metrics}");
        assert!(metrics.contains("visionthink_requests_in_flight 0"), "{metrics}");
    }
}

#[tokio::test]
async fn a_client_that_stops_reading_is_given_up() {
    let stub = Stub::start([Act::Rambles]).await;
    let mut config = config(&[&stub]);
    config.server.stall_timeout_secs = 0.3;
    let running = run(&config).await;
    let mut client = TcpStream::connect(running.address).await.unwrap();
    client.write_all(request(&question(json!({"stream": true})).to_string()).as_bytes()).await.unwrap();
    // The connection is kept open and nothing is read from it.
    stub.abandoned(1).await;
    drop(client);
}

#[tokio::test]
async fn a_client_that_takes_its_time_with_headers_or_body_is_cut_off() {
    let stub = Stub::says("<answer>7</answer>").await;
    let mut config = config(&[&stub]);
    config.server.header_timeout_secs = 0.3;
    config.server.body_timeout_secs = 0.3;
    let running = run(&config).await;
    let began = Instant::now();
    let reply = exchange(running.address, "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nx-slow: ").await;
    assert!(!reply.contains(" 200 "), "{reply}");
    let reply =
        exchange(running.address, "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n{")
            .await;
    assert!(reply.starts_with("HTTP/1.1 408") && reply.contains("body_too_slow"), "{reply}");
    assert!(began.elapsed() < Duration::from_secs(10));
    assert!(stub.requests().is_empty());
}

/// A thousand, or what this process may have open of both ends of a connection.
fn crowd() -> usize {
    let limits = fs_err::read_to_string("/proc/self/limits").unwrap_or_default();
    let open = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft = open.and_then(|numbers| numbers.split_whitespace().next()?.parse::<usize>().ok()).unwrap_or(1024);
    (soft.saturating_sub(300) / 2).clamp(50, 1000)
}

#[tokio::test]
async fn idle_connections_do_not_keep_others_out() {
    let stub = Stub::says("<answer>7</answer>").await;
    let mut config = config(&[&stub]);
    let crowd = crowd();
    config.server.max_connections = crowd;
    config.server.header_timeout_secs = 2.0;
    let running = run(&config).await;
    let mut idle = Vec::new();
    for _ in 0..crowd {
        idle.push(TcpStream::connect(running.address).await.unwrap());
    }
    // All places are taken; this one gets the first that is given back.
    let reply = exchange(running.address, &request(&question(json!({})).to_string())).await;
    assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
}

#[tokio::test]
async fn a_server_that_stops_answers_what_it_has_taken_on() {
    let stub = Stub::start([Act::Looks]).await;
    let running = run(&config(&[&stub])).await;
    let clients: Vec<_> = (0..20)
        .map(|_| {
            let (address, body) = (running.address, request(&question(json!({})).to_string()));
            tokio::spawn(async move { exchange(address, &body).await })
        })
        .collect();
    asked(&stub).await;
    running.stop.send(()).unwrap();
    running.serving.await.unwrap().unwrap();
    let mut answered = 0;
    for client in clients {
        let reply = client.await.unwrap();
        // A connection that was not accepted any more has no reply; whatever was taken on has a whole one.
        if !reply.is_empty() {
            let whole = reply.starts_with("HTTP/1.1 200") && reply.contains("\"content\":\"42\"");
            assert!(whole || reply.contains("shutting_down"), "{reply}");
            answered += 1;
        }
    }
    assert!(answered > 0);
    assert!(TcpStream::connect(running.address).await.is_err());
}

#[tokio::test]
async fn what_does_not_end_in_time_is_cut_off_when_the_server_stops() {
    let stub = Stub::start([Act::Hang]).await;
    let mut config = config(&[&stub]);
    config.server.drain_timeout_secs = 0.2;
    let running = run(&config).await;
    let client = {
        let (address, body) = (running.address, request(&question(json!({})).to_string()));
        tokio::spawn(async move { exchange(address, &body).await })
    };
    asked(&stub).await;
    running.stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(10), running.serving).await.unwrap().unwrap().unwrap();
    assert_eq!(client.await.unwrap(), "");
    stub.abandoned(1).await;
}

#[tokio::test]
async fn a_request_on_its_way_while_the_server_stops_is_told_so_and_its_connection_ends() {
    let stub = Stub::says("<answer>7</answer>").await;
    let running = run(&config(&[&stub])).await;
    let mut kept = TcpStream::connect(running.address).await.unwrap();
    kept.write_all(b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut reply = vec![0; 4096];
    let read = kept.read(&mut reply).await.unwrap();
    let health = String::from_utf8_lossy(&reply[..read]).into_owned();
    assert!(health.starts_with("HTTP/1.1 200") && !health.contains("connection: close"), "{health}");
    // Connected, and not accepted yet or just now.
    let mut fresh = TcpStream::connect(running.address).await.unwrap();
    running.stop.send(()).unwrap();
    while TcpStream::connect(running.address).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for stream in [&mut kept, &mut fresh] {
        let request = request(&question(json!({})).to_string()).replace("connection: close\r\n", "");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.unwrap();
        assert!(reply.starts_with("HTTP/1.1 503") && reply.contains("shutting_down"), "{reply}");
        assert!(reply.contains("connection: close"), "{reply}");
    }
    running.serving.await.unwrap().unwrap();
}

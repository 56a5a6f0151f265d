//! Upstream servers that are down, slow, overloaded or out of their minds.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use visionthink_serve::ServeConfig;

use crate::stub::{Act, CALL, Stub, urls};
use crate::{ask, config, get, question, server};

const ANSWER: &str = "<answer>7</answer>";

/// An address where nobody listens.
async fn nobody() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}/v1", listener.local_addr().unwrap())
}

fn with_nobody_first(stub: &Stub, url: String) -> ServeConfig {
    let mut config = config(&[stub, stub]);
    config.upstream[0].url = url;
    config
}

#[tokio::test]
async fn a_server_that_is_down_is_passed_over_and_left_alone() {
    let stub = Stub::says(ANSWER).await;
    let mut config = with_nobody_first(&stub, nobody().await);
    config.pool.failures = 2;
    config.pool.cool_down_secs = 60.0;
    let state = visionthink_serve::state(&config).unwrap();
    for _ in 0..6 {
        assert_eq!(ask(&state, &question(json!({}))).await.status, 200);
    }
    let metrics = get(&state, "/metrics").await.text;
    assert!(metrics.contains("visionthink_upstream_failures_total 2\n"), "{metrics}");
    assert!(metrics.contains("visionthink_upstream_retries_total 2\n"), "{metrics}");
    assert!(metrics.contains("visionthink_upstream_available 1\n"), "{metrics}");
    assert_eq!(stub.requests().len(), 6);
}

#[tokio::test]
async fn where_all_are_down_the_client_hears_when_to_come_back() {
    let stub = Stub::says(ANSWER).await;
    let mut config = with_nobody_first(&stub, nobody().await);
    config.upstream.truncate(1);
    config.pool.failures = 1;
    config.pool.cool_down_secs = 30.0;
    let state = visionthink_serve::state(&config).unwrap();
    let began = Instant::now();
    for stream in [false, true] {
        let reply = ask(&state, &question(json!({"stream": stream}))).await;
        assert_eq!((reply.status, &reply.json()["error"]["code"]), (503, &json!("no_upstream")), "{}", reply.text);
        let after: u64 = reply.header("retry-after").parse().unwrap();
        assert!((20..=30).contains(&after), "{after}");
    }
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(get(&state, "/ready").await.status, 503);
}

#[tokio::test]
async fn a_server_that_fails_is_not_asked_twice_for_one_request_and_is_asked_again_for_the_next() {
    let stub = Stub::start([Act::Status(500, "", "{\"error\": {\"message\": \"out of\\nmemory\"}}"), Act::Looks]).await;
    let state = server(&[&stub]);
    let reply = ask(&state, &question(json!({}))).await;
    let error = reply.json();
    assert_eq!((reply.status, &error["error"]["type"]), (502, &json!("server_error")));
    assert_eq!(error["error"]["message"], "the upstream server failed: status 500: out of memory");
    assert_eq!(stub.requests().len(), 1);
    assert_eq!(ask(&state, &question(json!({}))).await.status, 200);
}

#[tokio::test]
async fn a_refusal_is_the_clients_to_read_and_a_refused_key_is_not() {
    let stub = Stub::start([
        Act::Status(400, "", "{\"error\": {\"message\": \"context is 4096 tokens\"}}"),
        Act::Status(401, "", "{\"error\": {\"message\": \"wrong key sk-secret\"}}"),
        Act::Status(302, "location: http://127.0.0.1:1/", ""),
    ])
    .await;
    let state = server(&[&stub]);
    let reply = ask(&state, &question(json!({}))).await;
    assert_eq!(reply.status, 400);
    assert!(reply.text.contains("context is 4096 tokens"), "{}", reply.text);
    let reply = ask(&state, &question(json!({}))).await;
    assert_eq!(reply.status, 502);
    assert!(!reply.text.contains("sk-secret"), "{}", reply.text);
    let reply = ask(&state, &question(json!({}))).await;
    assert_eq!((reply.status, stub.requests().len()), (502, 3), "{}", reply.text);
}

#[tokio::test]
async fn an_overloaded_server_is_left_alone_for_as_long_as_it_asks() {
    let busy = Stub::start([Act::Status(429, "retry-after: 7", "{}")]).await;
    let state = server(&[&busy]);
    for _ in 0..2 {
        let reply = ask(&state, &question(json!({}))).await;
        assert_eq!((reply.status, reply.header("retry-after")), (429, "7"), "{}", reply.text);
        assert_eq!(reply.json()["error"]["type"], "rate_limit_error");
    }
    // The second time it was not even asked.
    assert_eq!(busy.requests().len(), 1);

    let free = Stub::says(ANSWER).await;
    let state = server(&[&busy, &free]);
    for _ in 0..3 {
        assert_eq!(ask(&state, &question(json!({}))).await.status, 200);
    }
    assert_eq!((busy.requests().len(), free.requests().len()), (2, 3));
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    let stub = Stub::start([Act::Hang]).await;
    let mut config = config(&[&stub]);
    config.pool.idle_timeout_secs = 1.0;
    let state = visionthink_serve::state(&config).unwrap();
    let reply = ask(&state, &question(json!({}))).await;
    assert_eq!((reply.status, &reply.json()["error"]["code"]), (504, &json!("timeout")));
    stub.abandoned(1).await;

    config.pool.idle_timeout_secs = 60.0;
    config.server.request_timeout_secs = 1.0;
    let state = visionthink_serve::state(&config).unwrap();
    for stream in [false, true] {
        assert_eq!(ask(&state, &question(json!({"stream": stream}))).await.status, 504);
    }
    stub.abandoned(3).await;
}

#[tokio::test]
async fn a_stream_that_is_cut_or_is_none_is_an_error_wherever_the_client_stands() {
    for act in [Act::Cuts, Act::Garbage, Act::Status(200, "", "{}")] {
        let stub = Stub::start([act.clone()]).await;
        let state = server(&[&stub]);
        let reply = ask(&state, &question(json!({}))).await;
        assert_eq!((reply.status, &reply.json()["error"]["code"]), (502, &json!("upstream_failed")), "{}", reply.text);
        let reply = ask(&state, &question(json!({"stream": true}))).await;
        let is_cut = matches!(act, Act::Cuts);
        assert_eq!(reply.status, if is_cut { 200 } else { 502 });
        if is_cut {
            let events = reply.events();
            let last: Value = serde_json::from_str(events.last().unwrap()).unwrap();
            assert_eq!(last["error"]["code"], "upstream_failed", "{}", reply.text);
            assert!(reply.text.contains("so far"), "{}", reply.text);
        }
        let metrics = get(&state, "/metrics").await.text;
        assert!(metrics.contains("visionthink_requests_total{status=\"5xx\"} 2"), "{metrics}");
    }
}

#[tokio::test]
async fn a_failure_of_the_second_turn_is_one_of_the_request() {
    let stub = Stub::start([Act::Says(CALL.to_owned()), Act::Status(500, "", "oh")]).await;
    let reply = ask(&server(&[&stub]), &question(json!({}))).await;
    assert_eq!((reply.status, stub.requests().len()), (502, 2), "{}", reply.text);
}

#[tokio::test]
async fn requests_go_where_the_fewest_are() {
    let stubs = [Stub::start([Act::Hang]).await, Stub::says(ANSWER).await];
    let state = server(&[&stubs[0], &stubs[1]]);
    let stuck = tokio::spawn({
        let state = state.clone();
        async move { ask(&state, &question(json!({}))).await.status }
    });
    while stubs[0].requests().is_empty() && stubs[1].requests().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for _ in 0..4 {
        assert_eq!(ask(&state, &question(json!({}))).await.status, 200);
    }
    assert_eq!((stubs[0].requests().len(), stubs[1].requests().len()), (1, 4));
    stuck.abort();
    stubs[0].abandoned(1).await;
    let metrics = get(&state, "/metrics").await.text;
    assert!(metrics.contains("visionthink_upstream_in_flight 0\n"), "{metrics}");
    assert!(metrics.contains("visionthink_requests_total{status=\"left\"} 1\n"), "{metrics}");
}

#[tokio::test]
async fn a_second_turn_goes_to_the_server_that_had_the_first() {
    let stubs = [Stub::start([Act::Looks]).await, Stub::start([Act::Looks]).await];
    let state = server(&[&stubs[0], &stubs[1]]);
    // Unequal load, which would send second turns elsewhere.
    for clients in [1, 3, 8] {
        let body = question(json!({}));
        let replies = futures_util::future::join_all((0..clients).map(|_| ask(&state, &body))).await;
        assert!(replies.iter().all(|reply| reply.status == 200));
    }
    for stub in &stubs {
        let images: Vec<usize> = stub.requests().iter().map(|asked| urls(asked).len()).collect();
        let turns = |count: usize| images.iter().filter(|images| **images == count).count();
        assert_eq!((turns(1), turns(2)), (images.len() / 2, images.len() / 2), "{images:?}");
        assert!(!images.is_empty());
    }
}

#[tokio::test]
async fn where_there_is_no_room_requests_wait_and_too_many_are_refused() {
    let stub = Stub::start([Act::Hang]).await;
    let mut config = config(&[&stub]);
    config.upstream[0].max_requests = 1;
    config.pool.max_waiting = 1;
    config.pool.wait_timeout_secs = 3.0;
    let state = visionthink_serve::state(&config).unwrap();
    let asked = || {
        let state = state.clone();
        tokio::spawn(async move { ask(&state, &question(json!({}))).await })
    };
    let stuck = asked();
    while stub.requests().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let waits = asked();
    while !get(&state, "/metrics").await.text.contains("visionthink_upstream_waiting 1\n") {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let refused = ask(&state, &question(json!({}))).await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, "1"), "{}", refused.text);
    assert_eq!(waits.await.unwrap().status, 429);
    stuck.abort();

    config.server.max_requests = 1;
    let state = visionthink_serve::state(&config).unwrap();
    let stuck = tokio::spawn({
        let state = state.clone();
        async move { ask(&state, &question(json!({}))).await }
    });
    while !get(&state, "/metrics").await.text.contains("visionthink_requests_in_flight 1\n") {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let refused = ask(&state, &question(json!({}))).await;
    assert_eq!((refused.status, &refused.json()["error"]["code"]), (429, &json!("rate_limit_exceeded")));
    stuck.abort();
}

#[tokio::test]
async fn a_request_that_waits_is_served_when_there_is_room() {
    let stub = Stub::start([Act::Looks]).await;
    let mut config = config(&[&stub]);
    config.upstream[0].max_requests = 1;
    let state = visionthink_serve::state(&config).unwrap();
    let body = question(json!({}));
    let replies = futures_util::future::join_all((0..16).map(|_| ask(&state, &body))).await;
    assert!(
        replies.iter().all(|reply| reply.status == 200 && reply.json()["choices"][0]["message"]["content"] == "42")
    );
    assert_eq!(stub.requests().len(), 32);
}

#[tokio::test]
async fn the_health_of_servers_is_watched() {
    let stub = Stub::says(ANSWER).await;
    let mut config = with_nobody_first(&stub, nobody().await);
    config.pool.connect_timeout_secs = 1.0;
    let state = visionthink_serve::state(&config).unwrap();
    let visionthink_serve::engine::Engine::Gateway(gateway) = &state.engine else { panic!("no gateway") };
    assert_eq!(gateway.pool().counts().available, 2);
    gateway.pool().look().await;
    assert_eq!(gateway.pool().counts().available, 1);
    assert_eq!(ask(&state, &question(json!({}))).await.status, 200);
    assert_eq!(gateway.pool().counts().failures, 0);
}

#[tokio::test]
async fn a_server_that_answers_late_is_given_up_only_after_a_while_and_comes_back() {
    let stub = Stub::says(ANSWER).await;
    // Accepts connections, as its system does, and answers none.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = with_nobody_first(&stub, format!("http://{}/v1", silent.local_addr().unwrap()));
    config.pool.connect_timeout_secs = 0.2;
    let state = visionthink_serve::state(&config).unwrap();
    let visionthink_serve::engine::Engine::Gateway(gateway) = &state.engine else { panic!("no gateway") };
    let mut available = Vec::new();
    for _ in 0..3 {
        gateway.pool().look().await;
        available.push(gateway.pool().counts().available);
    }
    assert_eq!(available, [2, 2, 1]);
    let answering = axum::Router::new().route("/v1/models", axum::routing::get(|| async { "{}" }));
    tokio::spawn(async move { axum::serve(silent, answering).await });
    for _ in 0..20 {
        gateway.pool().look().await;
        if gateway.pool().counts().available == 2 {
            return;
        }
    }
    panic!("it answers and is not taken back");
}

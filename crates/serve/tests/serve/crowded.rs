//! A model with more to do than it has rows, and with clients that leave, wait too long or ask too much.

use std::time::Duration;

use serde_json::json;
use visionthink_engine::{Load, Sampling};

use crate::embedded::{body, counts, held, micro_folder, questions, random, rolled_out, server, some_body, until};
use crate::{ask, get};

#[tokio::test]
async fn a_crowd_is_answered_as_each_alone_and_those_who_leave_take_nothing_along() {
    let questions = questions();
    let expected = rolled_out(&micro_folder(), &questions, |_| Sampling::greedy());
    let state = server(micro_folder(), |config| {
        config.schedule.max_rows = 3;
        config.schedule.tokens_before_pause = 4;
        config.schedule.max_prefill_tokens = 64;
        config.schedule.max_prefix_tokens = 500;
        config.server.max_held_bytes = 4 << 30;
    })
    .await;
    for round in 0..3 {
        let clients: Vec<_> = (questions.iter().enumerate())
            .map(|(index, (image, asked))| {
                let extra = json!({"n": 1 + index % 3, "stream": index % 5 == 4});
                let (state, body) = (state.clone(), body(image, &asked.question, extra));
                tokio::spawn(async move { ask(&state, &body).await })
            })
            .collect();
        for (index, client) in clients.iter().enumerate().filter(|(index, _)| index % 3 == round) {
            tokio::time::sleep(Duration::from_millis(index as u64)).await;
            client.abort();
        }
        for ((index, client), expected) in clients.into_iter().enumerate().zip(&expected) {
            match client.await {
                Ok(reply) if index % 5 == 4 => assert_eq!(reply.status, 200, "{}", reply.text),
                Ok(reply) => {
                    let reply = reply.json();
                    let choices = reply["choices"].as_array().unwrap();
                    assert_eq!(choices.len(), 1 + index % 3);
                    assert!(choices.iter().all(|choice| choice["message"]["content"] == **expected), "{reply}");
                }
                Err(gone) => assert!(gone.is_cancelled() && index % 3 == round, "{gone}"),
            }
        }
        until("nothing is held", async || held(&state) == Load::default()).await;
        assert!(counts(&state).load.prefix_tokens <= 500);
    }
}

#[tokio::test]
async fn work_whose_client_has_left_ends_and_gives_back_what_it_held() {
    let state = random(|config| config.schedule.max_rows = 2).await;
    let mut clients = Vec::new();
    for stream in [false, true, false, true] {
        let (state, body) = (state.clone(), some_body(json!({"max_tokens": 3500, "stream": stream})));
        clients.push(tokio::spawn(async move { ask(&state, &body).await.status }));
    }
    until("two run and two wait", async || (held(&state).running, held(&state).waiting) == (2, 2)).await;
    clients.iter().for_each(tokio::task::JoinHandle::abort);
    until("nothing is held", async || held(&state) == Load::default()).await;
    let sampled = counts(&state).counters.sampled_tokens;
    assert!(sampled < 4 * 3500, "{sampled} tokens were sampled for nobody");
    let metrics = get(&state, "/metrics").await.text;
    for line in ["requests_total{status=\"left\"} 4", "requests_in_flight 0", "engine_held_tokens 0"] {
        assert!(metrics.contains(&format!("visionthink_{line}")), "{metrics}");
    }
    assert_eq!(ask(&state, &some_body(json!({"max_tokens": 2}))).await.status, 200);
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_given_up_with_its_work() {
    let state = random(|config| config.server.request_timeout_secs = 0.3).await;
    let reply = ask(&state, &some_body(json!({"max_tokens": 3500, "n": 3}))).await;
    assert_eq!((reply.status, &reply.json()["error"]["code"]), (504, &json!("timeout")), "{}", reply.text);
    until("nothing is held", async || held(&state) == Load::default()).await;
}

#[tokio::test]
async fn a_full_server_says_when_to_come_again() {
    let full = random(|config| {
        config.schedule.max_rows = 1;
        config.schedule.max_waiting = 1;
        config.limits.max_samples = 2;
    })
    .await;
    let narrow = random(|config| config.schedule.max_held_tokens = 3000).await;
    for (state, extra) in [(full, json!({"max_tokens": 3000, "n": 2})), (narrow, json!({"max_tokens": 2000}))] {
        let client = {
            let (state, body) = (state.clone(), some_body(extra));
            tokio::spawn(async move { ask(&state, &body).await })
        };
        until("it runs", async || held(&state).running > 0).await;
        let reply = ask(&state, &some_body(json!({"max_tokens": 2000}))).await;
        assert_eq!((reply.status, reply.header("retry-after")), (429, "1"), "{}", reply.text);
        assert_eq!(reply.json()["error"]["type"], "rate_limit_error");
        client.abort();
        until("it is given up", async || held(&state) == Load::default()).await;
        assert_eq!(ask(&state, &some_body(json!({"max_tokens": 2}))).await.status, 200);
    }
}

#[tokio::test]
async fn what_would_never_fit_is_refused_for_good() {
    let state = random(|config| config.schedule.max_held_tokens = 3000).await;
    let reply = ask(&state, &some_body(json!({"max_tokens": 3500}))).await;
    assert_eq!((reply.status, &reply.json()["error"]["param"]), (400, &json!("max_tokens")), "{}", reply.text);
    assert!(reply.text.contains("this server holds 3000"), "{}", reply.text);
}

#[tokio::test]
async fn a_short_request_is_answered_while_a_long_one_holds_the_only_row() {
    let state = random(|config| {
        config.schedule.max_rows = 1;
        config.schedule.tokens_before_pause = 16;
    })
    .await;
    let long = {
        let (state, body) = (state.clone(), some_body(json!({"max_tokens": 3500})));
        tokio::spawn(async move { ask(&state, &body).await })
    };
    until("it runs", async || held(&state).running == 1).await;
    for _ in 0..3 {
        assert_eq!(ask(&state, &some_body(json!({"max_tokens": 4}))).await.status, 200);
    }
    assert!(!long.is_finished(), "the long request went first");
    long.abort();
}

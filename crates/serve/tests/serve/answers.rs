//! What a client gets, and what the upstream server is asked for it.

use proptest::prelude::*;
use serde_json::{Value, json};
use visionthink_image::{DecodeOptions, decode, low_view};

use crate::stub::{Act, CALL, Stub, images, urls};
use crate::{ask, config, data_url, get, picture, question, question_about, server};

const DIRECT: &str = "<think>\nI can read it.\n</think>\n<answer> 7 </answer>";

#[tokio::test]
async fn an_answer_from_the_small_image_is_an_ordinary_message() {
    let stub = Stub::says(DIRECT).await;
    let state = server(&[&stub]);
    let reply = ask(&state, &question(json!({}))).await;
    let body = reply.json();
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(body["object"], "chat.completion");
    assert_eq!(
        body["choices"][0]["message"],
        json!({"role": "assistant", "content": "7", "reasoning_content": "I can read it.", "refusal": null})
    );
    assert_eq!(body["choices"][0]["finish_reason"], "stop");
    assert_eq!(body["visionthink"]["mode"], "adaptive");
    assert_eq!(body["visionthink"]["samples"][0]["decision"], "direct");
    assert_eq!(body["visionthink"]["samples"][0]["views"], json!(["low"]));
    assert_eq!(body["usage"]["prompt_tokens"], 100);
    assert_eq!(body["usage"]["prompt_tokens_details"]["cached_tokens"], 40);
    assert_eq!(reply.header("x-visionthink-decision"), "direct");
    assert_eq!(body["id"], format!("chatcmpl-{}", reply.header("x-request-id")));

    let asked = stub.requests();
    let original = decode(&picture(112, 56), &DecodeOptions::default()).unwrap();
    assert_eq!(images(&asked[0]), [low_view(&original).unwrap()]);
    assert!(asked[0]["messages"][0]["content"].as_str().unwrap().contains("resize_image"));
    assert_eq!(asked[0]["model"], "seer");
    assert_eq!(asked.len(), 1);
}

#[tokio::test]
async fn a_call_is_answered_with_the_full_image_behind_the_clients_back() {
    let stub = Stub::start([Act::Looks]).await;
    let state = server(&[&stub]);
    let reply = ask(&state, &question(json!({"visionthink": {"show_turns": true}}))).await;
    let body = reply.json();
    assert_eq!(body["choices"][0]["message"]["content"], "42");
    assert_eq!(body["choices"][0]["message"]["reasoning_content"], "too small\nnow I see");
    assert!(body["choices"][0]["message"].get("tool_calls").is_none());
    let report = &body["visionthink"]["samples"][0];
    assert_eq!(
        (&report["decision"], &report["turns"], &report["views"]),
        (&json!("resize"), &json!(2), &json!(["low", "full"]))
    );
    assert_eq!(report["transcript"][0]["text"], CALL);
    assert_eq!(report["transcript"][0]["tool_call"]["name"], "resize_image");
    assert_eq!(body["usage"]["prompt_tokens"], 200);
    assert_eq!(reply.header("x-visionthink-turns"), "2");

    let asked = stub.requests();
    let roles: Vec<&str> =
        asked[1]["messages"].as_array().unwrap().iter().map(|m| m["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["system", "user", "assistant", "user"]);
    assert_eq!(asked[1]["messages"][2]["content"], CALL);
    // The full image is the client's own file, to the byte.
    assert_eq!(urls(&asked[1])[1], data_url(&picture(112, 56)));
    assert_eq!(urls(&asked[1])[0], urls(&asked[0])[0]);
    let metrics = get(&state, "/metrics").await.text;
    assert!(metrics.contains("visionthink_decisions_total{decision=\"resize\"} 1"), "{metrics}");
    assert!(metrics.contains("visionthink_requests_in_flight 0"), "{metrics}");
}

#[tokio::test]
async fn a_stream_tells_what_the_whole_reply_says_and_nothing_of_the_tool() {
    for mode in ["adaptive", "full", "low"] {
        let act = if mode == "adaptive" { Act::Looks } else { Act::Says(DIRECT.to_owned()) };
        let stub = Stub::start([act]).await;
        let state = server(&[&stub]);
        let asked = json!({"visionthink": {"mode": mode}});
        let whole = ask(&state, &question(asked.clone())).await.json();
        let mut streamed = question(asked);
        streamed["stream"] = json!(true);
        streamed["stream_options"] = json!({"include_usage": true});
        let reply = ask(&state, &streamed).await;
        assert!(reply.header("content-type").starts_with("text/event-stream"));
        let message = &whole["choices"][0]["message"];
        let told = (message["content"].as_str().unwrap(), message["reasoning_content"].as_str().unwrap());
        assert_eq!(reply.told(), (told.0.to_owned(), told.1.to_owned()), "{mode}");
        assert!(!reply.text.contains("tool_call"), "{}", reply.text);
        let events = reply.events();
        let chunk = |back: usize| serde_json::from_str::<Value>(&events[events.len() - back]).unwrap();
        assert_eq!(events.last().unwrap(), "[DONE]");
        assert_eq!(chunk(2)["usage"], whole["usage"]);
        assert_eq!(chunk(3)["choices"][0]["finish_reason"], "stop");
        assert_eq!(chunk(3)["visionthink"], whole["visionthink"]);
    }
}

#[tokio::test]
async fn an_answer_that_a_further_turn_takes_back_is_never_told() {
    let both = "<think>hm</think><answer>1</answer><tool_call>{}</tool_call>".to_owned();
    for stream in [false, true] {
        let stub = Stub::start([Act::Says(both.clone()), Act::Says("<answer>2</answer>".to_owned())]).await;
        let reply = ask(&server(&[&stub]), &question(json!({"stream": stream}))).await;
        if stream {
            assert_eq!(reply.told(), ("2".to_owned(), "hm".to_owned()), "{}", reply.text);
        } else {
            assert_eq!(reply.json()["choices"][0]["message"]["content"], "2");
            assert_eq!(reply.header("x-visionthink-decision"), "malformed");
        }
        let asked = &stub.requests()[1];
        let told = asked["messages"][3]["content"].as_str().unwrap();
        assert!(told.contains("ERROR occurs") && told.contains("both a call and an `<answer>`"), "{told}");
        assert_eq!(urls(asked).len(), 1);
    }
}

#[tokio::test]
async fn thoughts_are_streamed_before_the_reply_is_over_and_answers_when_they_are_sure() {
    let stub = Stub::says(DIRECT).await;
    let mut asked = question(json!({"stream": true}));
    let adaptive = ask(&server(&[&stub]), &asked).await;
    asked["visionthink"] = json!({"mode": "full"});
    let full = ask(&server(&[&stub]), &asked).await;
    let pieces = |reply: &crate::Reply, key: &str| {
        reply.events().iter().filter(|event| event.contains(&format!("\"{key}\":\""))).count()
    };
    assert!(pieces(&adaptive, "reasoning_content") > 3, "{}", adaptive.text);
    assert_eq!(adaptive.told(), full.told());
}

#[tokio::test]
async fn a_question_without_images_is_handed_on_as_it_came() {
    let stub = Stub::says("<think>hm</think> hello <answer>").await;
    let state = server(&[&stub]);
    let messages =
        json!([{"role": "system", "content": "Be brief."}, {"role": "user", "name": "ann", "content": "hi"}]);
    let body = json!({"model": "seer", "messages": messages, "response_format": {"type": "json_object"}, "top_k": 5});
    let reply = ask(&state, &body).await.json();
    assert_eq!(reply["choices"][0]["message"]["content"], "<think>hm</think> hello <answer>");
    assert_eq!(reply["visionthink"]["mode"], Value::Null);
    let asked = &stub.requests()[0];
    assert_eq!((&asked["messages"], &asked["top_k"]), (&messages, &json!(5)));
    assert_eq!(asked["response_format"]["type"], "json_object");
}

#[tokio::test]
async fn each_sample_has_its_own_seed_and_takes_its_own_turns() {
    let stub = Stub::start([Act::Says(DIRECT.to_owned()), Act::Looks]).await;
    let reply = ask(&server(&[&stub]), &question(json!({"n": 2, "seed": 5}))).await;
    let body = reply.json();
    let mut contents: Vec<&str> = body["choices"]
        .as_array()
        .unwrap()
        .iter()
        .map(|choice| choice["message"]["content"].as_str().unwrap())
        .collect();
    contents.sort_unstable();
    assert_eq!(contents, ["42", "7"]);
    let mut seeds: Vec<i64> = stub.requests().iter().map(|asked| asked["seed"].as_i64().unwrap()).collect();
    seeds.dedup();
    seeds.sort_unstable();
    seeds.dedup();
    assert_eq!(seeds, [5, 6]);
    assert_eq!(body["usage"]["prompt_tokens"], 300);
}

#[tokio::test]
async fn the_clients_tools_are_its_own_and_ours_is_found_wherever_the_server_puts_it() {
    let call = |name: &str, arguments: &str| json!({"tool_calls": [{"index": 0, "id": "c1", "function": {"name": name, "arguments": arguments}}]});
    let tools = json!({"tools": [{"type": "function", "function": {"name": "weather"}}]});
    let stub = Stub::start([
        Act::Deltas(vec![call("resize_image", "{\"action\": \"resize\"}")]),
        Act::Deltas(vec![json!({"reasoning": "ask"}), call("weather", "{\"city\":"), call("", " \"Bern\"}")]),
    ])
    .await;
    let state = server(&[&stub]);
    let mut asked = question(tools.clone());
    let reply = ask(&state, &asked).await.json();
    let choice = &reply["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls");
    assert_eq!(choice["message"]["content"], Value::Null);
    let function = json!({"name": "weather", "arguments": "{\"city\": \"Bern\"}"});
    assert_eq!(choice["message"]["tool_calls"], json!([{"type": "function", "function": function, "id": "c1"}]));
    assert_eq!(reply["visionthink"]["samples"][0]["decision"], "resize");
    assert_eq!(stub.requests()[1]["tools"], tools["tools"]);

    asked["stream"] = json!(true);
    let streamed = ask(&state, &asked).await;
    let calls = streamed
        .events()
        .iter()
        .filter_map(|event| serde_json::from_str::<Value>(event).ok())
        .find_map(|chunk| chunk["choices"][0]["delta"].get("tool_calls").cloned());
    assert_eq!(calls.unwrap()[0]["index"], 0);
}

#[tokio::test]
async fn logprobs_and_ids_are_those_of_the_upstream_server() {
    let stub = Stub::says(DIRECT).await;
    let mut config = config(&[&stub]);
    config.upstream[0].token_ids = true;
    config.upstream[0].model = Some("inner".to_owned());
    let state = visionthink_serve::state(&config).unwrap();
    let asked = json!({"logprobs": true, "top_logprobs": 3, "visionthink": {"show_turns": true}});
    let body = ask(&state, &question(asked)).await.json();
    let tokens = body["usage"]["completion_tokens"].as_u64().unwrap() as usize;
    assert_eq!(body["choices"][0]["logprobs"]["content"].as_array().unwrap().len(), tokens);
    assert_eq!(body["visionthink"]["samples"][0]["transcript"][0]["token_ids"].as_array().unwrap().len(), tokens);
    let asked = &stub.requests()[0];
    assert_eq!((&asked["return_token_ids"], &asked["model"]), (&json!(true), &json!("inner")));
    assert_eq!((&asked["logprobs"], &asked["top_logprobs"]), (&json!(true), &json!(3)));
}

#[tokio::test]
async fn a_server_that_knows_what_images_cost_says_it_and_keeps_to_a_budget() {
    let folder = tempfile::tempdir().unwrap();
    let settings =
        r#"{"patch_size": 14, "temporal_patch_size": 2, "merge_size": 2, "min_pixels": 3136, "max_pixels": 1000000}"#;
    fs_err::write(folder.path().join("preprocessor_config.json"), settings).unwrap();
    let stub = Stub::start([Act::Looks]).await;
    let mut config = config(&[&stub]);
    config.processor = Some(folder.path().to_owned());
    let state = visionthink_serve::state(&config).unwrap();
    let url = data_url(&picture(112, 112));
    let reply = ask(&state, &question_about(&url, json!({}))).await.json();
    let report = &reply["visionthink"]["samples"][0];
    assert_eq!((&report["image_tokens"], &report["full_image_tokens"]), (&json!(20), &json!(16)));
    let budget = |tokens: u64| question_about(&url, json!({"visionthink": {"budget_tokens": tokens}}));
    let reply = ask(&state, &budget(19)).await.json();
    assert_eq!(reply["visionthink"]["mode"], "low");
    let refused = ask(&state, &budget(3)).await;
    assert_eq!((refused.status, &refused.json()["error"]["param"]), (400, &json!("visionthink.budget_tokens")));
}

#[tokio::test]
async fn the_model_is_listed_and_the_server_says_how_it_is() {
    let stub = Stub::says(DIRECT).await;
    let state = server(&[&stub]);
    assert_eq!(get(&state, "/v1/models").await.json()["data"][0]["id"], "seer");
    assert_eq!(get(&state, "/health").await.status, 200);
    assert_eq!(get(&state, "/ready").await.status, 200);
    state.drain();
    assert_eq!(get(&state, "/health").await.status, 200);
    assert_eq!(get(&state, "/ready").await.status, 503);
    let refused = ask(&state, &question(json!({}))).await;
    assert_eq!((refused.status, &refused.json()["error"]["code"]), (503, &json!("shutting_down")));
}

#[test]
fn whatever_the_model_writes_a_stream_and_a_whole_reply_say_the_same() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let piece = prop_oneof![
        Just("<think>"),
        Just("</think>"),
        Just("<answer>"),
        Just("</answer>"),
        Just("<tool_call>"),
        Just("</tool_call>"),
        Just(CALL),
        Just("{\"name\": \"weather\"}"),
        Just(" "),
        Just("\n"),
        Just("<"),
        Just("7"),
        Just("é"),
    ];
    let replies = prop::collection::vec(piece, 0..10);
    proptest!(ProptestConfig::with_cases(48), |(first in replies.clone(), second in replies, mode in prop::sample::select(vec!["adaptive", "full", "low"]))| {
        let acts = [first.concat(), second.concat()].map(Act::Says);
        let mut asked = question(json!({"visionthink": {"mode": mode}}));
        // A server of its own for each, so that both begin with the first reply.
        let (whole, streamed) = runtime.block_on(async {
            let stubs = [Stub::start(acts.clone()).await, Stub::start(acts).await];
            let whole = ask(&server(&[&stubs[0]]), &asked).await;
            asked["stream"] = json!(true);
            (whole, ask(&server(&[&stubs[1]]), &asked).await)
        });
        let body = whole.json();
        let message = &body["choices"][0]["message"];
        let text = |key: &str| message[key].as_str().unwrap_or_default().to_owned();
        prop_assert_eq!(streamed.told(), (text("content"), text("reasoning_content")));
        prop_assert!(streamed.text.ends_with("data: [DONE]\n\n"));
        let samples = body["visionthink"]["samples"].clone();
        prop_assert!(streamed.text.contains(&samples.to_string()), "{}", streamed.text);
    });
}

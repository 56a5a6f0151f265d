//! The server with a model in its own process: the embedded one, which looks, and a random one, which talks for ever.
//! What happens when there are many requests, or their clients leave, is in `crowded`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use burn::tensor::Device;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use visionthink_data::world::{Asked, Family, Split, draw_one};
use visionthink_engine::{CancelToken, EngineOptions, Load, ModelFolder, Picture, Sampling, Task, run};
use visionthink_image::{DecodeOptions, RgbImage, decode};
use visionthink_model::LoadOptions;
use visionthink_protocol::{Conversation, Limits, Mode, Profile, ProfileName, Rules, Setup};
use visionthink_serve::embedded::{EngineCounts, LocalModel};
use visionthink_serve::engine::Engine;
use visionthink_serve::routes::AppState;
use visionthink_serve::{ServeConfig, ServeError, embedded_state};

use crate::{Reply, ask, data_url, get, picture};

fn folder(name: &str) -> ModelFolder {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    ModelFolder::open(&root.join::<PathBuf>(name.into())).unwrap()
}

pub(crate) fn micro_folder() -> ModelFolder {
    folder("assets/micro")
}

fn local(folder: ModelFolder) -> LocalModel {
    let opened = folder.clone();
    let load = move |options| opened.engine(&LoadOptions::default(), &Device::flex(), options);
    LocalModel { folder, load: Box::new(load) }
}

pub(crate) fn config(change: impl FnOnce(&mut ServeConfig)) -> ServeConfig {
    let mut config = ServeConfig::local("micro", ProfileName::Compact);
    change(&mut config);
    config
}

pub(crate) async fn server(folder: ModelFolder, change: impl FnOnce(&mut ServeConfig)) -> Arc<AppState> {
    let state = embedded_state(&config(change), local(folder)).unwrap();
    until("the model is loaded", async || get(&state, "/ready").await.status == 200).await;
    state
}

pub(crate) async fn micro() -> Arc<AppState> {
    server(micro_folder(), |_| {}).await
}

/// A model with random weights: it has nothing to say, and says it up to the bound.
pub(crate) async fn random(change: impl FnOnce(&mut ServeConfig)) -> Arc<AppState> {
    server(folder("fixtures/models/qwen2_5_vl-a"), |config| {
        config.mode = Mode::Full;
        change(config);
    })
    .await
}

pub(crate) async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    for _ in 0..3000 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("waited in vain until {what}");
}

pub(crate) fn counts(state: &AppState) -> EngineCounts {
    let Engine::Embedded(embedded) = &state.engine else { panic!("no model here") };
    embedded.counts()
}

/// What it holds of open conversations.
pub(crate) fn held(state: &AppState) -> Load {
    Load { prefix_tokens: 0, ..counts(state).load }
}

pub(crate) fn body(image: &RgbImage, question: &str, extra: Value) -> Value {
    let url = data_url(&image.encode_png().unwrap());
    let content = json!([{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": question}]);
    with(json!({"model": "micro", "messages": [{"role": "user", "content": content}]}), extra)
}

pub(crate) fn with(mut body: Value, extra: Value) -> Value {
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    body
}

pub(crate) fn some_body(extra: Value) -> Value {
    body(&decode(&picture(112, 56), &DecodeOptions::default()).unwrap(), "What?", extra)
}

pub(crate) fn questions() -> Vec<(RgbImage, Asked)> {
    let draw = |family| (0..6).map(move |index| draw_one(family, Split::Test, 11, index));
    Family::ALL.into_iter().flat_map(draw).collect()
}

/// A question that needs the full image, and one that does not.
fn hard_and_easy() -> [(RgbImage, Asked); 2] {
    [true, false].map(|hard| questions().into_iter().find(|(_, asked)| asked.needs_full() == hard).unwrap())
}

fn content(reply: &Reply) -> String {
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.json()["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
}

/// The answer of the rollout loop, as `visionthink ask` has it.
pub(crate) fn rolled_out(
    folder: &ModelFolder,
    questions: &[(RgbImage, Asked)],
    sampling: impl Fn(usize) -> Sampling,
) -> Vec<String> {
    let mut engine = folder.engine(&LoadOptions::default(), &Device::flex(), EngineOptions::default()).unwrap();
    let profile = Arc::new(Profile::from(ProfileName::Compact));
    let tasks = questions.iter().enumerate().map(|(index, (image, asked))| {
        let pictures = vec![Arc::new(Picture::new(image.clone(), folder.processor.clone().unwrap()).unwrap())];
        let setup = Setup {
            tokenizer: folder.tokenizer.clone(),
            profile: profile.clone(),
            mode: Mode::Adaptive,
            images: vec![pictures[0].tokens()],
            limits: Limits { max_new_tokens_per_turn: 512, ..Limits::for_context(4096) },
            rules: Rules::Exact,
        };
        let question = profile.question(&asked.question, 1);
        let conversation = Conversation::start(setup, &folder.template, &[question]).unwrap();
        Task {
            conversation,
            pictures,
            sampling: sampling(index),
            samples: 1,
            suppressed_ids: folder.suppressed_ids(),
            stop_texts: Vec::new(),
            logprobs: false,
        }
    });
    let rollouts = run(&mut engine, tasks, &CancelToken::new(), |_| {});
    rollouts.iter().map(|rollout| rollout.conversation.answer().unwrap_or_default().to_owned()).collect()
}

#[tokio::test]
async fn easy_questions_are_answered_from_the_small_image_and_hard_ones_from_the_full_one() {
    let state = server(micro_folder(), |config| config.server.max_held_bytes = 1 << 30).await;
    let questions = questions();
    let asked = questions.iter().map(|(image, asked)| {
        let body = body(image, &asked.question, json!({"visionthink": {"show_turns": true}}));
        let state = state.clone();
        async move { ask(&state, &body).await }
    });
    let replies = join_all(asked).await;
    let mut as_needed = 0;
    for ((_, asked), reply) in questions.iter().zip(&replies) {
        let body = reply.json();
        let report = &body["visionthink"]["samples"][0];
        let looked = report["decision"] == "resize";
        as_needed += usize::from(looked == asked.needs_full());
        let usage = &body["usage"];
        assert_eq!(usage, &report["usage"]);
        if looked {
            assert_eq!((&report["views"], &report["turns"]), (&json!(["low", "full"]), &json!(2)), "{body}");
            let turns = report["transcript"].as_array().unwrap();
            assert_eq!(turns[0]["tool_call"]["name"], "resize_image");
            // All that the first turn computed is there for the second one.
            let first = &turns[0]["usage"];
            let known = first["prompt_tokens"].as_u64().unwrap() + first["completion_tokens"].as_u64().unwrap() - 1;
            assert_eq!(turns[1]["usage"]["prompt_tokens_details"]["cached_tokens"], known);
            assert_eq!((&report["image_tokens"], &report["full_image_tokens"]), (&json!(20), &json!(16)));
        } else {
            assert_eq!((&report["views"], &report["image_tokens"]), (&json!(["low"]), &json!(4)), "{body}");
        }
    }
    assert!(as_needed * 10 >= replies.len() * 8, "{as_needed} of {} looked as needed", replies.len());
    let expected = rolled_out(&micro_folder(), &questions, |_| Sampling::greedy());
    assert_eq!(replies.iter().map(content).collect::<Vec<_>>(), expected);

    let metrics = get(&state, "/metrics").await.text;
    let counted = counts(&state).counters;
    assert!(
        metrics.contains(&format!("visionthink_engine_sampled_tokens_total {}", counted.sampled_tokens)),
        "{metrics}"
    );
    let told: u64 = replies.iter().map(|reply| reply.json()["usage"]["completion_tokens"].as_u64().unwrap()).sum();
    assert_eq!(counted.sampled_tokens, told);
    let prompts = |key: &str| -> u64 {
        replies.iter().map(|reply| reply.json()["usage"].pointer(key).unwrap().as_u64().unwrap()).sum()
    };
    assert_eq!(counted.reused_tokens, prompts("/prompt_tokens_details/cached_tokens"));
    assert_eq!(counted.prefilled_tokens + counted.reused_tokens, prompts("/prompt_tokens"));
}

#[tokio::test]
async fn a_seed_gives_the_text_that_the_rollout_loop_draws_with_it() {
    let state = micro().await;
    let folder = micro_folder();
    let questions: Vec<_> = questions().into_iter().take(8).collect();
    let expected = rolled_out(&folder, &questions, |index| Sampling {
        top_p: 0.95,
        ..Sampling::at_temperature(1.2, index as u64)
    });
    for (index, ((image, asked), expected)) in questions.iter().zip(expected).enumerate() {
        let extra = json!({"temperature": 1.2, "top_p": 0.95, "seed": index});
        assert_eq!(content(&ask(&state, &body(image, &asked.question, extra)).await), expected, "{}", asked.question);
    }
}

#[tokio::test]
async fn a_stream_tells_what_the_whole_reply_says() {
    let state = micro().await;
    for (image, asked) in hard_and_easy() {
        for mode in ["adaptive", "low", "full"] {
            let extra = json!({"visionthink": {"mode": mode}, "temperature": 1.0, "seed": 5});
            let whole = ask(&state, &body(&image, &asked.question, extra.clone())).await;
            let streaming = json!({"stream": true, "stream_options": {"include_usage": true}});
            let streamed = ask(&state, &with(body(&image, &asked.question, extra), streaming)).await;
            let message = &whole.json()["choices"][0]["message"];
            let (told, thought) = streamed.told();
            assert_eq!(told, content(&whole));
            assert_eq!(thought, message["reasoning_content"].as_str().unwrap_or_default());
            let events = streamed.events();
            assert_eq!(events.last().unwrap(), "[DONE]");
            let usage: Value = serde_json::from_str(&events[events.len() - 2]).unwrap();
            // The second request finds the beginning of its prompt computed, and has nothing else that differs.
            assert_eq!(usage["usage"]["total_tokens"], whole.json()["usage"]["total_tokens"]);
            assert_eq!(whole.json()["visionthink"]["mode"], mode);
        }
    }
}

#[tokio::test]
async fn samples_share_their_prompt_and_each_goes_its_own_way() {
    let state = micro().await;
    let [(image, asked), _] = hard_and_easy();
    let extra = json!({"n": 4, "temperature": 1.5, "seed": 3, "visionthink": {"show_turns": true}});
    let reply = ask(&state, &body(&image, &asked.question, extra)).await;
    let reply = reply.json();
    let samples = reply["visionthink"]["samples"].as_array().unwrap();
    assert_eq!((reply["choices"].as_array().unwrap().len(), samples.len()), (4, 4));
    let prompt = samples[0]["transcript"][0]["usage"]["prompt_tokens"].clone();
    let cached: Vec<&Value> = samples
        .iter()
        .map(|sample| &sample["transcript"][0]["usage"]["prompt_tokens_details"]["cached_tokens"])
        .collect();
    assert_eq!(cached, [&json!(0), &prompt, &prompt, &prompt]);
    let texts: std::collections::BTreeSet<String> =
        samples.iter().map(|sample| sample["transcript"].to_string()).collect();
    assert!(texts.len() > 1, "four samples at temperature 1.5 and one text: {texts:?}");
    let alone = ask(&state, &body(&image, &asked.question, json!({"temperature": 1.5, "seed": 3}))).await;
    assert_eq!(reply["choices"][0]["message"]["content"].as_str().unwrap(), content(&alone));
}

#[tokio::test]
async fn a_request_about_a_known_image_computes_only_what_is_new() {
    let state = micro().await;
    let [(image, asked), _] = hard_and_easy();
    let first = ask(&state, &body(&image, &asked.question, json!({"visionthink": {"mode": "full"}}))).await.json();
    assert_eq!(first["usage"]["prompt_tokens_details"]["cached_tokens"], 0);
    let encoded = counts(&state).counters.images_encoded;
    let again = body(&image, "is it red?", json!({"visionthink": {"mode": "full"}}));
    let second = ask(&state, &again).await.json();
    let cached = second["usage"]["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap();
    assert!(cached > 16, "{cached} tokens, of which the image has 16: {second}");
    assert!(cached < second["usage"]["prompt_tokens"].as_u64().unwrap());
    assert_eq!(counts(&state).counters.images_encoded, encoded);
}

#[tokio::test]
async fn a_conversation_of_several_messages_and_images_is_had() {
    let state = micro().await;
    let image = |width| json!({"type": "image_url", "image_url": {"url": data_url(&picture(width, 56))}});
    let messages = json!([
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [image(112), {"type": "text", "text": "what colour is it?"}]},
        {"role": "assistant", "content": "red"},
        {"role": "user", "content": [image(56), {"type": "text", "text": "and this?"}]},
    ]);
    let reply = ask(&state, &json!({"model": "micro", "messages": messages, "visionthink": {"mode": "full"}})).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(reply.json()["visionthink"]["samples"][0]["views"], json!(["full", "full"]));
    assert_eq!(reply.json()["visionthink"]["samples"][0]["image_tokens"], 12);
    let text = json!({"model": "micro", "messages": [{"role": "user", "content": "hello"}]});
    let reply = ask(&state, &text).await;
    assert_eq!((reply.status, &reply.json()["visionthink"]["mode"]), (200, &Value::Null));
}

#[tokio::test]
async fn a_reply_ends_before_a_stop_text_and_at_its_bound() {
    let state = random(|_| {}).await;
    let reply = |extra: Value| {
        let state = state.clone();
        async move { ask(&state, &some_body(extra)).await.json() }
    };
    let whole = reply(json!({"max_tokens": 24, "logprobs": true})).await;
    assert_eq!(
        (&whole["choices"][0]["finish_reason"], &whole["usage"]["completion_tokens"]),
        (&json!("length"), &json!(24))
    );
    let tokens = whole["choices"][0]["logprobs"]["content"].as_array().unwrap();
    assert_eq!(tokens.len(), 24);
    assert!(tokens.iter().all(|token| token["logprob"].as_f64().unwrap() <= 0.0));

    let text = whole["choices"][0]["message"]["content"].as_str().unwrap();
    let middle: Vec<char> = text.chars().collect();
    assert!(middle.len() > 8, "{text}");
    let stop: String = middle[middle.len() / 2..middle.len() / 2 + 3].iter().collect();
    let stopped = reply(json!({"max_tokens": 24, "stop": [stop]})).await;
    assert_eq!(stopped["choices"][0]["finish_reason"], "stop");
    let before = &text[..text.find(&stop).unwrap()];
    assert_eq!(stopped["choices"][0]["message"]["content"], before.trim());
}

#[tokio::test]
async fn what_the_model_cannot_do_is_refused_by_its_name() {
    let state = random(|_| {}).await;
    for (extra, param) in [
        (json!({"response_format": {"type": "json_object"}}), "response_format.type"),
        (json!({"tools": [{"type": "function", "function": {"name": "f"}}]}), "tools"),
        (json!({"logprobs": true, "top_logprobs": 3}), "top_logprobs"),
        (json!({"top_p": 0}), "top_p"),
        (json!({"presence_penalty": 1}), "presence_penalty"),
        (json!({"visionthink": {"budget_tokens": 1}}), "visionthink.budget_tokens"),
        (json!({"messages": [{"role": "assistant", "content": "a"}]}), "messages"),
        (json!({"messages": [{"role": "user", "content": "word ".repeat(6000)}]}), "messages"),
    ] {
        let reply = ask(&state, &some_body(extra)).await;
        assert_eq!((reply.status, &reply.json()["error"]["param"]), (400, &json!(param)), "{}", reply.text);
    }
    assert_eq!(counts(&state).counters.sampled_tokens, 0);
}

#[tokio::test]
async fn a_model_without_the_tool_looks_as_it_is_told_and_not_adaptively() {
    let state = random(|config| config.profile = ProfileName::General).await;
    let reply = ask(&state, &some_body(json!({"visionthink": {"mode": "adaptive"}}))).await;
    assert_eq!((reply.status, &reply.json()["error"]["param"]), (400, &json!("visionthink.mode")), "{}", reply.text);
    let reply = ask(&state, &some_body(json!({"visionthink": {"mode": "low"}, "max_tokens": 2}))).await;
    assert_eq!(reply.json()["visionthink"]["samples"][0]["decision"], "none", "{}", reply.text);
}

#[tokio::test]
async fn a_run_file_for_a_model_makes_no_gateway() {
    let Err(ServeError::Settings { problems }) = visionthink_serve::state(&config(|_| {})) else { panic!("a gateway") };
    assert!(problems[0].contains("`engine`"), "{problems:?}");
    let text = "model = \"m\"\nprofile = \"compact\"\nmode = \"full\"\n[[upstream]]\nurl = \"http://127.0.0.1:1/v1\"\n";
    let gateway: ServeConfig = toml::from_str(text).unwrap();
    assert!(matches!(embedded_state(&gateway, local(micro_folder())), Err(ServeError::Settings { .. })));
}

#[tokio::test]
async fn a_budget_takes_the_tool_away() {
    let state = micro().await;
    let [(image, asked), _] = hard_and_easy();
    let budget = |tokens: u64| body(&image, &asked.question, json!({"visionthink": {"budget_tokens": tokens}}));
    let modes = [ask(&state, &budget(20)).await.json(), ask(&state, &budget(19)).await.json()]
        .map(|reply| reply["visionthink"]["mode"].clone());
    assert_eq!(modes, ["adaptive", "low"]);
}

#[tokio::test]
async fn a_server_is_ready_when_its_model_is_loaded_and_not_before() {
    let (go, wait) = std::sync::mpsc::channel();
    let LocalModel { folder, load } = local(micro_folder());
    let load = Box::new(move |options| {
        wait.recv().unwrap();
        load(options)
    });
    let state = embedded_state(&config(|_| {}), LocalModel { folder, load }).unwrap();
    let ready = get(&state, "/ready").await;
    assert_eq!((ready.status, ready.text.as_str()), (503, "the model is being loaded\n"));
    let reply = ask(&state, &some_body(json!({}))).await;
    assert_eq!((reply.status, &reply.json()["error"]["code"]), (503, &json!("loading")), "{}", reply.text);
    assert_eq!(reply.header("retry-after"), "2");
    go.send(()).unwrap();
    until("it is ready", async || get(&state, "/ready").await.status == 200).await;
    assert_eq!(ask(&state, &some_body(json!({}))).await.status, 200);
}

#[tokio::test]
async fn a_model_that_cannot_be_loaded_ends_the_server_with_the_reason() {
    let copy = tempfile::tempdir().unwrap();
    let opened = micro_folder();
    for entry in fs_err::read_dir(&opened.path).unwrap() {
        let entry = entry.unwrap();
        fs_err::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    fs_err::write(copy.path().join("model.safetensors"), b"no weights").unwrap();
    let state = embedded_state(&config(|_| {}), local(ModelFolder::open(copy.path()).unwrap())).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ended = visionthink_serve::serve(listener, state, std::future::pending()).await;
    let Err(ServeError::Engine { reason }) = ended else { panic!("{ended:?}") };
    assert!(reason.contains("model.safetensors"), "{reason}");
}

#[tokio::test]
async fn an_engine_that_breaks_is_an_error_for_every_request_and_not_a_silence() {
    let LocalModel { folder, .. } = local(micro_folder());
    let load = Box::new(|_| panic!("a fault of the engine"));
    let state = embedded_state(&config(|_| {}), LocalModel { folder, load }).unwrap();
    until("it has failed", async || get(&state, "/ready").await.text == "the engine has failed\n").await;
    let reply = ask(&state, &some_body(json!({}))).await;
    assert_eq!((reply.status, &reply.json()["error"]["code"]), (500, &json!("engine_failed")), "{}", reply.text);
}

#[tokio::test]
async fn a_gateway_in_front_of_a_server_with_a_model_shows_low_call_and_full() {
    // As an upstream server it shows what it is sent, as it is sent.
    let upstream = server(micro_folder(), |config| config.mode = Mode::Full).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let serving = tokio::spawn(visionthink_serve::serve(listener, upstream.clone(), std::future::pending()));
    let text =
        format!("model = \"micro\"\nprofile = \"compact\"\nmode = \"adaptive\"\n[[upstream]]\nurl = \"{url}\"\n");
    let gateway = visionthink_serve::state(&toml::from_str(&text).unwrap()).unwrap();
    let [hard, easy] = hard_and_easy();
    for ((image, asked), views) in [(hard, json!(["low", "full"])), (easy, json!(["low"]))] {
        for stream in [false, true] {
            let extra = json!({"visionthink": {"show_turns": true}, "stream": stream});
            let reply = ask(&gateway, &body(&image, &asked.question, extra)).await;
            assert_eq!(reply.status, 200, "{}", reply.text);
            if stream {
                assert!(reply.text.contains(&format!("\"views\":{views}")), "{}", reply.text);
            } else {
                let report = reply.json()["visionthink"]["samples"][0].clone();
                assert_eq!(report["views"], views, "{report}");
            }
        }
    }
    let told = get(&gateway, "/metrics").await.text;
    let metrics = get(&upstream, "/metrics").await.text;
    for name in ["prompt_tokens_total", "cached_tokens_total", "completion_tokens_total"] {
        let line = |text: &str| {
            text.lines().find(|line| line.starts_with(&format!("visionthink_{name} "))).unwrap().to_owned()
        };
        assert_eq!(line(&told), line(&metrics));
    }
    serving.abort();
}

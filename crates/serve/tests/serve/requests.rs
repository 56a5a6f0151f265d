//! Requests that are wrong: each is refused with the field that is at fault, in OpenAI's shape.

use axum::body::Body;
use axum::http::Request;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use visionthink_serve::api::{ApiError, ChatRequest, RequestLimits};

use crate::stub::{Act, Stub};
use crate::{ask, config, data_url, get, picture, post, question, question_about, send, server};

#[tokio::test]
async fn what_is_wrong_is_named_and_nobody_is_asked() {
    let stub = Stub::says("no").await;
    let state = server(&[&stub]);
    let user = |content: Value| json!({"messages": [{"role": "user", "content": content}]});
    let image = |value: Value| user(json!([{"type": "text", "text": "a"}, {"type": "image_url", "image_url": value}]));
    let cut = data_url(&picture(64, 64)[..400]);
    for (extra, status, param, words) in [
        (json!({"model": 3}), 400, "model", "is 3, expected a string"),
        (json!({"model": "other"}), 404, "model", "this server has `seer`"),
        (json!({"messages": "hi"}), 400, "messages", "is the text `hi`, expected a list of messages"),
        (json!({"messages": []}), 400, "messages", "at least one message"),
        (json!({"messages": [3]}), 400, "messages[0]", "expected an object"),
        (json!({"messages": [{"role": "robot", "content": ""}]}), 400, "messages[0].role", "`robot`"),
        (json!({"messages": [{"role": "user"}]}), 400, "messages[0].content", "missing"),
        (
            json!({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": [{"type": "image_url"}]}]}),
            400,
            "messages[1].content[0].type",
            "holds no image",
        ),
        (user(json!(7)), 400, "messages[0].content", "a string or a list of parts"),
        (user(json!([{"text": "a"}])), 400, "messages[0].content[0].type", "missing"),
        (user(json!([{"type": "input_audio"}])), 400, "messages[0].content[0].type", "`text` or `image_url`"),
        (image(json!({})), 400, "messages[0].content[1].image_url.url", "missing"),
        (image(json!({"url": 3})), 400, "messages[0].content[1].image_url.url", "is 3, expected a string"),
        (image(json!({"url": "ftp://a"})), 400, "messages[0].content[1].image_url.url", "no image URL"),
        (image(json!({"url": "/etc/passwd"})), 400, "messages[0].content[1].image_url.url", "no image URL"),
        (image(json!({"url": "file:///etc/passwd"})), 400, "messages[0].content[1].image_url.url", "may read"),
        (
            image(json!({"url": "http://169.254.169.254/"})),
            400,
            "messages[0].content[1].image_url.url",
            "fetches no images",
        ),
        (
            image(json!({"url": "data:image/png;base64,AAAA"})),
            400,
            "messages[0].content[1].image_url.url",
            "not an image",
        ),
        (image(json!({"url": cut})), 400, "messages[0].content[1].image_url.url", "truncated"),
        (json!({"temperature": 3}), 400, "temperature", "from 0 to 2"),
        (json!({"temperature": "hot"}), 400, "temperature", "the text `hot`"),
        (json!({"top_p": -1}), 400, "top_p", "from 0 to 1"),
        (json!({"n": 0}), 400, "n", "from 1 to 8"),
        (json!({"n": 1.5}), 400, "n", "a whole number"),
        (json!({"seed": "a"}), 400, "seed", "a whole number"),
        (json!({"max_tokens": 0}), 400, "max_tokens", "a whole number from 1"),
        (json!({"max_completion_tokens": 1e12}), 400, "max_completion_tokens", "a whole number"),
        (json!({"stop": [""]}), 400, "stop", "not empty"),
        (json!({"stop": ["a", "b", "c", "d", "e"]}), 400, "stop", "5 entries, expected at most 4"),
        (json!({"top_logprobs": 2}), 400, "top_logprobs", "`logprobs: true`"),
        (json!({"logprobs": true, "top_logprobs": 99}), 400, "top_logprobs", "from 0 to 20"),
        (json!({"stream_options": {}}), 400, "stream_options", "`stream: true`"),
        (json!({"stream": "yes"}), 400, "stream", "true or false"),
        (json!({"response_format": {"type": "xml"}}), 400, "response_format.type", "`json_schema`"),
        (json!({"tools": [{"function": {}}]}), 400, "tools[0].function.name", "missing"),
        (json!({"visionthink": {"mode": "half"}}), 400, "visionthink.mode", "`adaptive`, `full` or `low`"),
        (json!({"visionthink": {"max_turns": 99}}), 400, "visionthink.max_turns", "from 1 to 4"),
        (json!({"visionthink": {"budget": 9}}), 400, "visionthink.budget", "`budget_tokens`"),
        (json!({"visionthink": {"budget_tokens": 9}}), 400, "visionthink.budget_tokens", "`processor`"),
    ] {
        let reply = ask(&state, &question(extra.clone())).await;
        let error = &reply.json()["error"];
        assert_eq!((reply.status, &error["param"]), (status, &json!(param)), "{extra}: {error}");
        assert!(error["message"].as_str().unwrap().contains(words), "{extra}: {error}");
    }
    assert!(stub.requests().is_empty());
}

#[tokio::test]
async fn what_is_no_json_or_no_route_is_said() {
    let stub = Stub::says("no").await;
    let state = server(&[&stub]);
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for body in ["", "{", "nul", "{\"model\": \"seer\",}", "\u{feff}{}", deep.as_str()] {
        let reply = post(&state, body.to_owned()).await;
        assert_eq!((reply.status, &reply.json()["error"]["code"]), (400, &json!("invalid_json")), "{body:.30}");
    }
    let reply = post(&state, vec![b'"', 0xff, b'"']).await;
    assert_eq!(reply.status, 400, "{}", reply.text);
    for path in ["/page", "/v1/completions", "/v1/chat/completions", "/../etc/passwd"] {
        let reply = get(&state, path).await;
        assert_eq!((reply.status, &reply.json()["error"]["type"]), (404, &json!("not_found_error")), "{path}");
    }
}

#[tokio::test]
async fn too_much_of_anything_is_refused_before_it_is_worked_on() {
    let stub = Stub::says("no").await;
    let state = server(&[&stub]);
    let message = json!({"role": "user", "content": "a"});
    let reply = ask(&state, &json!({"model": "seer", "messages": vec![message; 10_000]})).await;
    let error = reply.json();
    assert_eq!(reply.status, 400);
    assert_eq!(error["error"]["message"], "`messages` has 10000 entries, expected at most 2000");

    let part = json!({"type": "image_url", "image_url": {"url": "data:,"}});
    let reply = ask(&state, &json!({"model": "seer", "messages": [{"role": "user", "content": vec![part; 17]}]})).await;
    assert_eq!(reply.json()["error"]["message"], "the messages hold 17 images, expected at most 16");

    // 50 MB, once announced and once not.
    let announced = Request::post("/v1/chat/completions").header("content-length", 50_000_000);
    let reply = send(&state, announced.body(Body::empty()).unwrap()).await;
    assert_eq!((reply.status, &reply.json()["error"]["code"]), (413, &json!("body_too_large")));
    let chunks = futures_util::stream::iter((0..50).map(|_| Ok::<_, std::convert::Infallible>(vec![b' '; 1_000_000])));
    let reply = post(&state, Body::from_stream(chunks)).await;
    assert_eq!(reply.status, 413, "{}", reply.text);

    // An image bomb: a header that announces 60,000 x 60,000 pixels.
    let mut bomb = picture(28, 28);
    bomb[16..24].copy_from_slice(&[0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60]);
    let checksum = crc32(&bomb[12..29]);
    bomb[29..33].copy_from_slice(&checksum.to_be_bytes());
    let reply = ask(&state, &question_about(&data_url(&bomb), json!({}))).await;
    let message = reply.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("the image is 60000x60000; the limit `max_pixels`"), "{message}");
    assert!(stub.requests().is_empty());
}

#[tokio::test]
async fn bodies_that_are_too_much_together_are_refused_until_there_is_room() {
    let stub = Stub::start([Act::Hang, Act::Says("<answer>7</answer>".to_owned())]).await;
    let mut config = config(&[&stub]);
    config.limits.max_body_bytes = 60_000;
    config.server.max_held_bytes = 100_000;
    let state = visionthink_serve::state(&config).unwrap();
    let body = question(json!({"user": "x".repeat(20_000)})).to_string();
    let announced = || {
        let request = Request::post("/v1/chat/completions").header("content-length", body.len());
        request.body(Body::from(body.clone())).unwrap()
    };
    let stuck = tokio::spawn({
        let (state, request) = (state.clone(), announced());
        async move { send(&state, request).await.status }
    });
    while stub.requests().is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(send(&state, announced()).await.status, 200);
    // Who does not say how much it sends may send as much as is allowed.
    let refused = post(&state, body.clone()).await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, "1"), "{}", refused.text);
    stuck.abort();
    stub.abandoned(1).await;
    assert_eq!(post(&state, body.clone()).await.status, 200);
}

/// The checksum of PNG chunks.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

#[tokio::test]
async fn only_files_of_the_allowed_folders_are_shown() {
    let parent = tempfile::tempdir().unwrap();
    let allowed = parent.path().join("allowed");
    fs_err::create_dir(&allowed).unwrap();
    for path in [allowed.join("a.png"), parent.path().join("b.png")] {
        fs_err::write(path, picture(64, 64)).unwrap();
    }
    std::os::unix::fs::symlink(parent.path().join("b.png"), allowed.join("link.png")).unwrap();
    let stub = Stub::says("<answer>7</answer>").await;
    let mut config = config(&[&stub]);
    config.images.folders = vec![allowed.clone()];
    let state = visionthink_serve::state(&config).unwrap();
    let about = |path: &str| question_about(&format!("file://{}/{path}", allowed.display()), json!({}));
    assert_eq!(ask(&state, &about("a.png")).await.status, 200);
    for path in ["../b.png", "link.png", "%2e%2e/b.png", "..%2fb.png", "missing.png", ""] {
        let reply = ask(&state, &about(path)).await;
        let message = reply.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(reply.status == 400 && message.contains("no file that this server may read"), "{path}: {message}");
    }
}

#[tokio::test]
async fn a_key_is_needed_where_there_are_keys() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs_err::write(file.path(), "sk-0123456789abcdef\nsk-fedcba9876543210\n").unwrap();
    let stub = Stub::says("<answer>7</answer>").await;
    let mut config = config(&[&stub]);
    config.keys = Some(file.path().to_owned());
    let state = visionthink_serve::state(&config).unwrap();
    let with = |key: &str| {
        let request = Request::post("/v1/chat/completions").header("authorization", format!("Bearer {key}"));
        request.body(Body::from(question(json!({})).to_string())).unwrap()
    };
    for key in ["sk-0123456789abcdef", "sk-fedcba9876543210"] {
        assert_eq!(send(&state, with(key)).await.status, 200);
    }
    let reply = send(&state, with("sk-0123456789abcdee")).await;
    assert_eq!((reply.status, reply.header("www-authenticate")), (401, "Bearer"));
    assert_eq!(reply.json()["error"]["code"], "invalid_api_key");
    assert!(!reply.text.contains("0123456789"));
    assert_eq!(ask(&state, &question(json!({}))).await.status, 401);
    assert_eq!(get(&state, "/v1/models").await.status, 401);
    assert_eq!(get(&state, "/health").await.status, 200);
    // The client's key is not handed on.
    assert!(stub.headers().iter().all(|headers| !headers.contains_key("authorization")));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        prop_oneof![
            Just("user"),
            Just("assistant"),
            Just("text"),
            Just("image_url"),
            Just("data:image/png;base64,AAAA"),
            Just("file:///etc/passwd"),
            Just("http://[::1]/"),
            Just("seer"),
            Just("adaptive"),
        ]
        .prop_map(Value::from),
    ];
    let key = prop_oneof![
        Just("role".to_owned()),
        Just("content".to_owned()),
        Just("type".to_owned()),
        Just("text".to_owned()),
        Just("image_url".to_owned()),
        Just("url".to_owned()),
        Just("function".to_owned()),
        Just("mode".to_owned()),
        ".{0,6}",
    ];
    leaf.prop_recursive(5, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

fn any_field() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "model",
        "messages",
        "n",
        "temperature",
        "top_p",
        "seed",
        "max_tokens",
        "max_completion_tokens",
        "stop",
        "logprobs",
        "top_logprobs",
        "stream",
        "stream_options",
        "response_format",
        "tools",
        "visionthink",
        "user",
    ])
}

fn check(read: Result<ChatRequest, ApiError>) -> Result<(), TestCaseError> {
    if let Err(error) = read {
        let json = error.to_json();
        prop_assert!((400..500).contains(&error.status()), "{}", error);
        prop_assert!(json["error"]["message"].as_str().is_some_and(|message| !message.is_empty()));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_json_is_a_request_or_refused(value in any_json()) {
        check(ChatRequest::from_value(value, &RequestLimits::default()))?;
    }

    #[test]
    fn any_value_in_any_field_is_taken_or_refused(field in any_field(), value in any_json()) {
        let mut body = json!({"model": "seer", "messages": [{"role": "user", "content": "a"}]});
        body[field] = value;
        let limits = RequestLimits::default();
        let read = ChatRequest::from_value(body.clone(), &limits);
        if let Ok(request) = &read {
            let images = request.messages.typed.iter().map(visionthink_protocol::Message::image_count).sum::<usize>();
            prop_assert_eq!(images, request.messages.images.len());
            prop_assert_eq!(request.messages.raw.len(), request.messages.typed.len());
        }
        check(read)?;
    }

    #[test]
    fn any_message_is_taken_or_refused_by_its_path(message in any_json()) {
        let body = json!({"model": "seer", "messages": [{"role": "user", "content": "a"}, message]});
        let read = ChatRequest::from_value(body, &RequestLimits::default());
        if let Err(error) = &read {
            prop_assert!(error.param().is_some_and(|path| path.starts_with("messages")), "{}", error);
        }
        check(read)?;
    }
}

#[test]
fn any_body_gets_an_answer_in_the_shape_of_an_answer() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (state, _stub) = runtime.block_on(async {
        let stub = Stub::says("<answer>7</answer>").await;
        (server(&[&stub]), stub)
    });
    proptest!(ProptestConfig::with_cases(64), |(field in any_field(), value in any_json(), whole in any::<bool>())| {
        let mut body = json!({"model": "seer", "messages": [{"role": "user", "content": "a"}]});
        if whole { body = value } else { body[field] = value }
        let reply = runtime.block_on(ask(&state, &body));
        if reply.status != 200 {
            let error = reply.json();
            prop_assert!((400..500).contains(&reply.status), "{}", error);
            prop_assert!(error["error"]["message"].is_string() && error["error"]["type"].is_string());
        }
    });
}

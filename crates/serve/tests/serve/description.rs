//! The description of the API describes this API.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use crate::stub::{Act, Stub};
use crate::{ask, config, get, question, send, server};

async fn described() -> Value {
    let stub = Stub::says("<answer>7</answer>").await;
    get(&server(&[&stub]), "/openapi.json").await.json()
}

/// What a reference of the description leads to.
fn resolved<'a>(description: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(place) => description.pointer(place.strip_prefix('#').unwrap()).unwrap(),
        None => schema,
    }
}

/// Every field of `found` is described, all the way down.
fn holds(description: &Value, schema: &Value, found: &Value, path: &str) {
    let schema = resolved(description, schema);
    match found {
        Value::Object(fields) if schema.get("properties").is_some() => {
            for (key, value) in fields {
                let inner = schema["properties"].get(key);
                let path = format!("{path}.{key}");
                holds(description, inner.unwrap_or_else(|| panic!("`{path}` is not described")), value, &path);
            }
        }
        Value::Array(entries) => {
            for entry in entries {
                holds(description, &schema["items"], entry, &format!("{path}[]"));
            }
        }
        _ => {}
    }
}

#[tokio::test]
async fn every_route_that_is_described_is_there() {
    let description = described().await;
    let stub = Stub::says("<answer>7</answer>").await;
    let state = server(&[&stub]);
    for (path, methods) in description["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let request = Request::builder().method(method.to_uppercase().as_str()).uri(path);
            let status = send(&state, request.body(Body::empty()).unwrap()).await.status;
            assert!(methods[method]["responses"].get(status.to_string()).is_some(), "{method} {path}: {status}");
            assert_ne!(status, 404, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn every_field_of_a_request_that_is_described_is_read() {
    let description = described().await;
    let stub = Stub::says("<answer>7</answer>").await;
    let state = server(&[&stub]);
    let schemas = &description["components"]["schemas"];
    let top = schemas["ChatRequest"]["properties"].as_object().unwrap().keys().map(|key| (key.clone(), key.clone()));
    let vision = schemas["VisionOptions"]["properties"].as_object().unwrap().keys();
    let vision = vision.map(|key| (key.clone(), format!("visionthink.{key}")));
    for (key, path) in top.chain(vision) {
        // No field takes a list of a list.
        let wrong = json!([[]]);
        let extra = if key == path { json!({&key: wrong}) } else { json!({"visionthink": {&key: wrong}}) };
        let reply = ask(&state, &question(extra)).await;
        let param = reply.json()["error"]["param"].as_str().unwrap_or_default().to_owned();
        assert!(reply.status == 400 && param.starts_with(&path), "{path}: {} {}", reply.status, reply.text);
    }
}

#[tokio::test]
async fn every_field_of_a_reply_is_described() {
    let folder = tempfile::tempdir().unwrap();
    let settings = r#"{"patch_size": 14, "temporal_patch_size": 2, "merge_size": 2}"#;
    fs_err::write(folder.path().join("preprocessor_config.json"), settings).unwrap();
    let stub = Stub::start([Act::Looks]).await;
    let mut config = config(&[&stub]);
    config.processor = Some(folder.path().to_owned());
    let state = visionthink_serve::state(&config).unwrap();
    let description = described().await;
    let schemas = &description["components"]["schemas"];
    let reply = ask(&state, &question(json!({"logprobs": true, "visionthink": {"show_turns": true}}))).await.json();
    holds(&description, &schemas["ChatCompletion"], &reply, "reply");
    let refused = ask(&state, &json!({})).await.json();
    let error = &description["components"]["responses"]["Error"]["content"]["application/json"]["schema"];
    holds(&description, error, &refused, "error");
}

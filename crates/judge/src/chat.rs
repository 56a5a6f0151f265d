//! The chat completions protocol: what a call sends, and what its reply is.

use serde_json::{Value, json};

use crate::endpoint::JudgeEndpoint;
use crate::http::{Connection, Response};
use crate::judgement::{Fault, Usage};
use crate::prompt::{Prompt, Variant};

/// The request for one call, as JSON.
pub(crate) fn request(endpoint: &JudgeEndpoint, prompt: &Prompt, temperature: f64) -> String {
    let messages = json!([
        {"role": "system", "content": prompt.system},
        {"role": "user", "content": prompt.user},
    ]);
    let mut request = json!({"model": endpoint.model, "messages": messages});
    if endpoint.send_temperature {
        request["temperature"] = json!(temperature);
    }
    if let Some(most) = endpoint.max_tokens {
        request["max_tokens"] = json!(most);
    }
    request.to_string()
}

/// The text of a reply, or why there is none, and the tokens that were used either way.
pub(crate) fn read(response: &Response, variant: Variant, connection: &Connection) -> (Result<String, Fault>, Usage) {
    let body: Option<Value> = serde_json::from_str(&response.body).ok();
    let usage = body.as_ref().map(usage).unwrap_or_default();
    let text = match response.status {
        200..=299 => match &body {
            Some(body) => text(body, variant).map(|text| connection.scrub(&text)).ok_or(Fault::NoContent),
            None => Err(Fault::NotJson { found: kind_of(&response.body) }),
        },
        429 => Err(Fault::RateLimited),
        status => Err(refusal(status, connection.shown(&message(body.as_ref(), &response.body)))),
    };
    (text, usage)
}

/// What a status other than success amounts to. Time-outs and conflicts (408, 409, 425) pass, as do failures of the
/// server.
fn refusal(status: u16, message: String) -> Fault {
    match status {
        408 | 409 | 425 | 500..=599 => Fault::Server { status, message },
        _ => Fault::Refused { status, message },
    }
}

/// The content of the first choice. A server may hand out the thinking apart from it; where the verdict is looked for
/// behind the thinking, both are put together again.
fn text(body: &Value, variant: Variant) -> Option<String> {
    let message = body.pointer("/choices/0/message")?;
    let said = |name: &str| message.get(name).and_then(Value::as_str).filter(|text| !text.trim().is_empty());
    let content = said("content")?;
    match said("reasoning_content").or_else(|| said("reasoning")) {
        Some(thinking) if variant.needs_thinking() => Some(format!("<think>{thinking}</think>{content}")),
        _ => Some(content.to_owned()),
    }
}

fn usage(body: &Value) -> Usage {
    let count = |name: &str| body.get("usage").and_then(|usage| usage.get(name)).and_then(Value::as_u64);
    Usage {
        prompt_tokens: count("prompt_tokens").unwrap_or(0),
        completion_tokens: count("completion_tokens").unwrap_or(0),
    }
}

/// What the server says is wrong: OpenAI's and Azure's `error.message`, or the beginning of anything else but a page.
fn message(body: Option<&Value>, raw: &str) -> String {
    let named = ["/error/message", "/error", "/message", "/detail"];
    let found = body.and_then(|body| named.iter().find_map(|place| body.pointer(place)?.as_str()));
    match found {
        Some(message) => message.to_owned(),
        None if raw.trim_start().starts_with('<') || raw.trim().is_empty() => kind_of(raw).to_owned(),
        None => raw.to_owned(),
    }
}

fn kind_of(body: &str) -> &'static str {
    let body = body.trim_start();
    if body.is_empty() {
        "empty"
    } else if body.starts_with('<') {
        "HTML"
    } else {
        "other text"
    }
}

#[cfg(test)]
mod tests {
    use visionthink_reward::judge::{VerifierFamily, VerifierReading};

    use super::*;
    use crate::endpoint::EndpointKind;

    const QWEN3: Variant = Variant::Verifier { family: VerifierFamily::Qwen3, reading: VerifierReading::Strict };

    fn endpoint() -> JudgeEndpoint {
        JudgeEndpoint::new(EndpointKind::OpenAi, "http://127.0.0.1:1", "m")
    }

    fn read_as(variant: Variant, status: u16, body: &str) -> (Result<String, Fault>, Usage) {
        let connection = Connection::new(&endpoint(), None).unwrap();
        read(&Response { status, body: body.to_owned(), wait: None }, variant, &connection)
    }

    #[test]
    fn a_request_has_two_messages_and_only_the_settings_that_are_wanted() {
        let prompt = Prompt { system: "judge", user: "this".to_owned() };
        let messages = r#""messages":[{"role":"system","content":"judge"},{"role":"user","content":"this"}]"#;
        let sent = request(&endpoint(), &prompt, 0.2);
        assert_eq!(sent, format!(r#"{{"model":"m",{messages},"temperature":0.2}}"#));
        let bare = JudgeEndpoint { send_temperature: false, max_tokens: Some(64), ..endpoint() };
        assert_eq!(request(&bare, &prompt, 0.2), format!(r#"{{"model":"m",{messages},"max_tokens":64}}"#));
    }

    #[test]
    fn tokens_count_where_there_is_no_text_too() {
        let body = r#"{"choices":[{"message":{"content":null}}],"usage":{"prompt_tokens":7,"completion_tokens":2}}"#;
        let used = Usage { prompt_tokens: 7, completion_tokens: 2 };
        assert_eq!(read_as(Variant::default(), 200, body), (Err(Fault::NoContent), used));
    }

    #[test]
    fn json_of_any_other_shape_has_no_text() {
        for body in ["null", "[]", "{}", r#"{"choices":[]}"#, r#"{"choices":[{"message":{"content":[1]}}]}"#, "1"] {
            assert_eq!(read_as(Variant::default(), 200, body).0, Err(Fault::NoContent), "{body}");
        }
        for (body, found) in [("<!doctype html>", "HTML"), ("", "empty"), ("{\"choices\":", "other text")] {
            assert_eq!(read_as(Variant::default(), 200, body).0, Err(Fault::NotJson { found }), "{body}");
        }
    }

    #[test]
    fn thinking_that_comes_apart_is_put_before_the_reply_of_a_verifier_that_thinks() {
        let body = r#"{"choices":[{"message":{"content":"[[NO]]","reasoning_content":"[[YES]]?"}}]}"#;
        assert_eq!(read_as(QWEN3, 200, body).0.unwrap(), "<think>[[YES]]?</think>[[NO]]");
        assert_eq!(read_as(Variant::default(), 200, body).0.unwrap(), "[[NO]]");
    }

    #[test]
    fn what_the_server_says_is_wrong_is_passed_on() {
        for (body, expected) in [
            (r#"{"error":{"message":"no such model"}}"#, "no such model"),
            (r#"{"detail":"Not Found"}"#, "Not Found"),
            ("<html>404</html>", "HTML"),
            ("upstream\ngone", "upstream gone"),
        ] {
            let refused = Fault::Refused { status: 404, message: expected.to_owned() };
            assert_eq!(read_as(Variant::default(), 404, body).0, Err(refused));
            let failed = Fault::Server { status: 503, message: expected.to_owned() };
            assert_eq!(read_as(Variant::default(), 503, body).0, Err(failed));
        }
    }
}

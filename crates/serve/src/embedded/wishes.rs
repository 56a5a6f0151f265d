//! What a request asks of the model in this process, checked: what it cannot do is refused by the field's name.

use std::hash::{BuildHasher, Hasher, RandomState};

use serde_json::Value;
use visionthink_engine::Sampling;

use super::settings::EngineSettings;
use crate::api::{ApiError, ChatRequest, wrong};
use crate::budget::unsupported;

/// How tokens are chosen.
///
/// # Errors
/// [`ApiError::Unsupported`] and [`ApiError::Field`] for wishes that this engine cannot fulfil.
pub(super) fn sampling(request: &ChatRequest, settings: &EngineSettings) -> Result<Sampling, ApiError> {
    refuse(request)?;
    let asked = request.sampling;
    let mut sampling = Sampling::at_temperature(
        asked.temperature.unwrap_or(settings.temperature),
        // Another one each time where none is asked for.
        asked.seed.map_or_else(|| RandomState::new().build_hasher().finish(), i64::cast_unsigned),
    );
    if let Some(top_p) = asked.top_p {
        sampling.top_p = top_p;
    }
    if let Some(top_k) = number(request, "top_k")? {
        // -1 keeps all, as with vLLM.
        let whole = top_k.fract() == 0.0 && (-1.0..=f64::from(u32::MAX)).contains(&top_k);
        if !whole {
            return Err(wrong("top_k", &top_k.into(), "a whole number, -1 or more"));
        }
        sampling.top_k = top_k.max(0.0) as usize;
    }
    if let Some(min_p) = number(request, "min_p")? {
        sampling.min_p = min_p;
    }
    if let Some(penalty) = number(request, "repetition_penalty")? {
        sampling.repetition_penalty = penalty;
    }
    match sampling.check() {
        Ok(()) => Ok(sampling),
        Err(visionthink_engine::EngineError::Sampling { field, found, expected }) => {
            Err(wrong(field, &found.into(), expected))
        }
        Err(error) => Err(ApiError::EngineFailed { reason: error.to_string() }),
    }
}

fn refuse(request: &ChatRequest) -> Result<(), ApiError> {
    if request.response_format.is_some() {
        return Err(unsupported(
            "response_format.type",
            "the model of this server writes text and cannot be held to a format; use `text`",
        ));
    }
    if !request.tools.is_empty() {
        return Err(unsupported("tools", "the model of this server calls no functions of its client's"));
    }
    if request.logprobs.is_some_and(|top| top > 0) {
        return Err(unsupported(
            "top_logprobs",
            "this server gives the sampled tokens' log-probabilities alone; use 0",
        ));
    }
    for key in ["frequency_penalty", "presence_penalty"] {
        if number(request, key)?.is_some_and(|penalty| penalty != 0.0) {
            return Err(unsupported(key, "this server has `repetition_penalty` instead"));
        }
    }
    for key in ["logit_bias", "functions", "audio", "guided_json", "guided_regex", "guided_choice"] {
        let is_asked = match request.rest.get(key) {
            None | Some(Value::Null) => false,
            Some(Value::Object(fields)) => !fields.is_empty(),
            Some(Value::Array(list)) => !list.is_empty(),
            Some(_) => true,
        };
        if is_asked {
            return Err(unsupported(key, "this server does not have it"));
        }
    }
    Ok(())
}

fn number(request: &ChatRequest, key: &str) -> Result<Option<f64>, ApiError> {
    match request.rest.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_f64().map(Some).ok_or_else(|| wrong(key, value, "a number")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::RequestLimits;

    fn asked(extra: Value) -> Result<Sampling, String> {
        let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let request = ChatRequest::from_value(body, &RequestLimits::default()).unwrap();
        let settings =
            EngineSettings { model: "micro".into(), device: "cpu".into(), temperature: 0.25, max_tokens: 64 };
        sampling(&request, &settings).map_err(|error| format!("{}: {error}", error.status()))
    }

    #[test]
    fn the_fields_of_a_request_become_the_settings_of_the_sampler() {
        let found = asked(json!({
            "temperature": 0.5, "top_p": 0.9, "seed": -1, "top_k": 7, "min_p": 0.125, "repetition_penalty": 1.5,
        }));
        let expected = Sampling {
            top_p: 0.9,
            top_k: 7,
            min_p: 0.125,
            repetition_penalty: 1.5,
            ..Sampling::at_temperature(0.5, u64::MAX)
        };
        assert_eq!(found, Ok(expected));
        assert_eq!(asked(json!({"seed": 3, "top_k": -1})), Ok(Sampling::at_temperature(0.25, 3)));
        assert_ne!(asked(json!({})).unwrap().seed, asked(json!({})).unwrap().seed);
    }

    #[test]
    fn what_the_model_cannot_do_is_refused_by_its_name() {
        for (extra, field) in [
            (json!({"response_format": {"type": "json_object"}}), "`response_format.type`"),
            (json!({"tools": [{"type": "function", "function": {"name": "f"}}]}), "`tools`"),
            (json!({"logprobs": true, "top_logprobs": 2}), "`top_logprobs`"),
            (json!({"frequency_penalty": 0.5}), "`frequency_penalty`"),
            (json!({"logit_bias": {"3": 1}}), "`logit_bias`"),
            (json!({"top_p": 0}), "`top_p`"),
            (json!({"top_k": 1.5}), "`top_k`"),
            (json!({"min_p": "x"}), "`min_p`"),
            (json!({"repetition_penalty": 0}), "`repetition_penalty`"),
        ] {
            let error = asked(extra).unwrap_err();
            assert!(error.starts_with(&format!("400: {field}")), "{error}");
        }
    }

    #[test]
    fn what_changes_nothing_is_no_reason_to_refuse() {
        assert!(asked(json!({"frequency_penalty": 0, "logit_bias": {}, "user": "me", "tool_choice": "auto"})).is_ok());
        assert!(asked(json!({"response_format": {"type": "text"}, "tools": [], "presence_penalty": null})).is_ok());
    }
}

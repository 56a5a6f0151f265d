//! A chat completion as it is asked for.

use serde_json::{Map, Value, json};

use super::content::Messages;
use super::error::ApiError;
use super::field::{Object, wrong};
use super::limits::RequestLimits;
use super::options::VisionOptions;

/// Texts that may end a reply; OpenAI's bound.
const MAX_STOPS: usize = 4;
/// OpenAI's bound on `top_logprobs`.
const MAX_TOP_LOGPROBS: i64 = 20;

/// A checked request for a chat completion.
#[derive(Debug, Clone, PartialEq)]
pub struct ChatRequest {
    /// The model that is asked for.
    pub model: String,
    /// What was said so far.
    pub messages: Messages,
    /// Samples, `n`.
    pub samples: usize,
    /// Whether the answer is to come in chunks.
    pub stream: bool,
    /// Whether a chunk with the counts ends the stream.
    pub include_usage: bool,
    /// How tokens are chosen.
    pub sampling: SamplingFields,
    /// Bound on each reply, from `max_completion_tokens` or `max_tokens`.
    pub max_tokens: Option<usize>,
    /// Texts that end a reply.
    pub stop: Vec<String>,
    /// Log-probabilities are wanted; with so many alternatives.
    pub logprobs: Option<usize>,
    /// `response_format` where it asks for more than text.
    pub response_format: Option<Value>,
    /// The caller's own functions, untouched.
    pub tools: Vec<Value>,
    /// Their names.
    pub tool_names: Vec<String>,
    /// What is asked for of the images.
    pub vision: VisionOptions,
    /// Fields without a meaning here (`tool_choice`, `frequency_penalty`, `user`, …); an upstream server gets them as they are.
    pub rest: Map<String, Value>,
}

/// How tokens are chosen; what is absent is the model's or the server's own choice.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct SamplingFields {
    /// 0 to 2; 0 is greedy.
    pub temperature: Option<f64>,
    /// 0 to 1.
    pub top_p: Option<f64>,
    /// Of the random numbers.
    pub seed: Option<i64>,
}

impl ChatRequest {
    /// Reads and checks a body.
    ///
    /// # Errors
    /// An [`ApiError`] of status 400 that names the field, what is there and what should be.
    pub fn from_slice(body: &[u8], limits: &RequestLimits) -> Result<Self, ApiError> {
        let value: Value =
            serde_json::from_slice(body).map_err(|error| ApiError::NotJson { reason: error.to_string() })?;
        Self::from_value(value, limits)
    }

    /// As [`ChatRequest::from_slice`], from JSON that is read already.
    ///
    /// # Errors
    /// As there.
    pub fn from_value(value: Value, limits: &RequestLimits) -> Result<Self, ApiError> {
        let mut body = Object::new("", value)?;
        let model = body.text("model")?.ok_or_else(|| body.missing("model", "the name of a model"))?;
        let list = body.list("messages", "a list of messages")?;
        let list = list.ok_or_else(|| body.missing("messages", "a list of messages"))?;
        let messages = Messages::read(list, limits)?;
        let samples = body.whole("n", 1..=limits.max_samples as i64)?.unwrap_or(1) as usize;
        let (stream, include_usage) = stream(&mut body)?;
        let sampling = SamplingFields {
            temperature: body.number("temperature", 0.0..=2.0)?,
            top_p: body.number("top_p", 0.0..=1.0)?,
            seed: body.whole("seed", i64::MIN..=i64::MAX)?,
        };
        let most = limits.max_tokens as i64;
        let max_completion = body.whole("max_completion_tokens", 1..=most)?;
        let max_tokens = max_completion.or(body.whole("max_tokens", 1..=most)?).map(|tokens| tokens as usize);
        let stop = stop(&mut body)?;
        let logprobs = logprobs(&mut body)?;
        let response_format = response_format(&mut body)?;
        let (tools, tool_names) = tools(&mut body)?;
        let vision = body.object("visionthink")?;
        let vision = vision.map(|object| VisionOptions::read(object, limits)).transpose()?.unwrap_or_default();
        Ok(Self {
            model,
            messages,
            samples,
            stream,
            include_usage,
            sampling,
            max_tokens,
            stop,
            logprobs,
            response_format,
            tools,
            tool_names,
            vision,
            rest: body.rest(),
        })
    }
}

fn stream(body: &mut Object) -> Result<(bool, bool), ApiError> {
    let stream = body.flag("stream")?.unwrap_or(false);
    let Some(mut options) = body.object("stream_options")? else { return Ok((stream, false)) };
    let include_usage = options.flag("include_usage")?.unwrap_or(false);
    if !stream {
        let (path, reason) = ("stream_options".to_owned(), "only together with `stream: true`".to_owned());
        return Err(ApiError::Unsupported { path, reason });
    }
    Ok((stream, include_usage))
}

fn stop(body: &mut Object) -> Result<Vec<String>, ApiError> {
    let path = body.path("stop");
    let list = match body.value("stop") {
        None => return Ok(Vec::new()),
        Some(Value::Array(list)) => list,
        Some(one) => vec![one],
    };
    if list.len() > MAX_STOPS {
        return Err(ApiError::TooMany { path, found: list.len(), limit: MAX_STOPS });
    }
    let text = |value: Value| match value {
        Value::String(text) if !text.is_empty() => Ok(text),
        other => Err(wrong(&path, &other, "a text that is not empty, or a list of such")),
    };
    list.into_iter().map(text).collect()
}

fn logprobs(body: &mut Object) -> Result<Option<usize>, ApiError> {
    let wanted = body.flag("logprobs")?.unwrap_or(false);
    let top = body.whole("top_logprobs", 0..=MAX_TOP_LOGPROBS)?;
    match (wanted, top) {
        (false, Some(1..)) => {
            let (path, reason) = (body.path("top_logprobs"), "only together with `logprobs: true`".to_owned());
            Err(ApiError::Unsupported { path, reason })
        }
        (false, _) => Ok(None),
        (true, top) => Ok(Some(top.unwrap_or(0) as usize)),
    }
}

fn response_format(body: &mut Object) -> Result<Option<Value>, ApiError> {
    const KINDS: &str = "`text`, `json_object` or `json_schema`";
    let Some(mut format) = body.object("response_format")? else { return Ok(None) };
    let kind = format.text("type")?.ok_or_else(|| format.missing("type", KINDS))?;
    match kind.as_str() {
        "text" => Ok(None),
        "json_object" => Ok(Some(json!({"type": kind}))),
        "json_schema" => {
            let schema = format.object("json_schema")?;
            let schema = schema.ok_or_else(|| format.missing("json_schema", "an object with a schema"))?.rest();
            Ok(Some(json!({"type": kind, "json_schema": schema})))
        }
        _ => Err(wrong(&format.path("type"), &json!(kind), KINDS)),
    }
}

fn tools(body: &mut Object) -> Result<(Vec<Value>, Vec<String>), ApiError> {
    let Some(tools) = body.list("tools", "a list of functions")? else { return Ok((Vec::new(), Vec::new())) };
    let mut names = Vec::with_capacity(tools.len());
    for (index, tool) in tools.iter().enumerate() {
        let mut tool = Object::new(format!("tools[{index}]"), tool.clone())?;
        if let Some(mut function) = tool.object("function")? {
            names.push(function.text("name")?.ok_or_else(|| function.missing("name", "a string"))?);
        }
    }
    Ok((tools, names))
}

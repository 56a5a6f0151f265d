//! How a request is going to be looked at.

use visionthink_image::Views;
use visionthink_protocol::{Mode, Profile, TOOL_NAME, View};

use crate::api::{ApiError, ChatRequest};
use crate::budget::{affordable, unsupported};

/// How a request is going to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plan {
    /// As it came, its images in this view.
    HandOn { view: View },
    /// As the profile has it.
    Look { mode: Mode },
}

impl Plan {
    /// `costs` of the images, where they are known.
    ///
    /// # Errors
    /// [`ApiError::Unsupported`] for wishes that exclude each other, or that the server cannot weigh.
    pub(super) fn of(
        request: &ChatRequest,
        profile: &Profile,
        default: Mode,
        costs: Option<&[Views]>,
    ) -> Result<Self, ApiError> {
        let asked = request.vision.mode;
        if request.messages.images.is_empty() {
            return Ok(Self::HandOn { view: View::Full });
        }
        if request.response_format.is_some() {
            return match asked {
                Some(Mode::Adaptive) => Err(unsupported(
                    "visionthink.mode",
                    "`adaptive` needs room for a call, which `response_format` does not leave; use `full` or `low`",
                )),
                Some(Mode::Low) => affordable(request, costs, Mode::Low).map(|_| Self::HandOn { view: View::Low }),
                Some(Mode::Full) | None => {
                    affordable(request, costs, Mode::Full).map(|_| Self::HandOn { view: View::Full })
                }
            };
        }
        let mode = affordable(request, costs, asked.unwrap_or(default))?;
        let ours = request.tool_names.iter().position(|name| name == TOOL_NAME);
        match ours.filter(|_| mode == Mode::Adaptive && profile.tool.is_some()) {
            Some(index) => Err(unsupported(
                &format!("tools[{index}].function.name"),
                "`resize_image` is this server's own tool in mode `adaptive`; rename yours, or set `visionthink.mode` to `full`",
            )),
            None => Ok(Self::Look { mode }),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use visionthink_protocol::ProfileName;

    use super::*;
    use crate::api::RequestLimits;

    fn plan(extra: Value, costs: Option<&[Views]>) -> Result<Plan, String> {
        let image = json!({"type": "image_url", "image_url": {"url": "data:,"}});
        let mut body = json!({"model": "m", "messages": [{"role": "user", "content": [image]}]});
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let request = ChatRequest::from_value(body, &RequestLimits::default()).unwrap();
        Plan::of(&request, &ProfileName::Visionthink.into(), Mode::Adaptive, costs).map_err(|error| error.to_string())
    }

    #[test]
    fn a_request_without_images_is_handed_on() {
        let text = json!({"messages": [{"role": "user", "content": "hi"}]});
        assert_eq!(plan(text, None), Ok(Plan::HandOn { view: View::Full }));
        assert_eq!(plan(json!({}), None), Ok(Plan::Look { mode: Mode::Adaptive }));
        assert_eq!(plan(json!({"visionthink": {"mode": "low"}}), None), Ok(Plan::Look { mode: Mode::Low }));
    }

    #[test]
    fn a_response_format_leaves_no_room_for_a_call() {
        let format = |mode: Value| json!({"response_format": {"type": "json_object"}, "visionthink": {"mode": mode}});
        assert_eq!(plan(format(Value::Null), None), Ok(Plan::HandOn { view: View::Full }));
        assert_eq!(plan(format(json!("low")), None), Ok(Plan::HandOn { view: View::Low }));
        assert!(plan(format(json!("adaptive")), None).unwrap_err().starts_with("`visionthink.mode`"));
        assert_eq!(plan(json!({"response_format": {"type": "text"}}), None), Ok(Plan::Look { mode: Mode::Adaptive }));
    }

    #[test]
    fn a_tool_of_our_name_is_refused_only_where_ours_is_offered() {
        let tools = |mode: &str| {
            let tools = json!([{"type": "function", "function": {"name": "a"}}, {"type": "function", "function": {"name": "resize_image"}}]);
            json!({"tools": tools, "visionthink": {"mode": mode}})
        };
        assert!(plan(tools("adaptive"), None).unwrap_err().starts_with("`tools[1].function.name`"));
        assert_eq!(plan(tools("full"), None), Ok(Plan::Look { mode: Mode::Full }));
    }

    #[test]
    fn a_budget_takes_the_tool_away_before_it_refuses() {
        let view = |tokens| visionthink_image::View { width: 28, height: 28, tokens };
        let costs = [Views { low: view(10), full: view(40) }];
        let with = |budget: u64, mode: &str| {
            plan(json!({"visionthink": {"budget_tokens": budget, "mode": mode}}), Some(&costs))
        };
        assert_eq!(with(50, "adaptive"), Ok(Plan::Look { mode: Mode::Adaptive }));
        assert_eq!(with(49, "adaptive"), Ok(Plan::Look { mode: Mode::Low }));
        assert!(with(9, "adaptive").is_err());
        assert_eq!(with(40, "full"), Ok(Plan::Look { mode: Mode::Full }));
        assert!(with(39, "full").unwrap_err().contains("take 40 tokens"));
        assert!(plan(json!({"visionthink": {"budget_tokens": 9}}), None).unwrap_err().contains("`processor`"));
    }
}

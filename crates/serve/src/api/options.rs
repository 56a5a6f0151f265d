//! The `visionthink` object of a request.

use visionthink_protocol::Mode;

use super::error::ApiError;
use super::field::{Object, wrong};
use super::limits::RequestLimits;

/// What a request says about looking. Everything is the operator's choice where it says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VisionOptions {
    /// Which view comes first, and whether the model may ask for another.
    pub mode: Option<Mode>,
    /// Replies of the model.
    pub max_turns: Option<usize>,
    /// Whether the reply tells every turn.
    pub show_turns: bool,
    /// Bound on the image tokens of the conversation, both views counted.
    pub budget_tokens: Option<usize>,
}

impl VisionOptions {
    pub(crate) fn read(mut object: Object, limits: &RequestLimits) -> Result<Self, ApiError> {
        let path = object.path("mode");
        let mode = object
            .text("mode")?
            .map(|name| name.parse::<Mode>().map_err(|_| wrong(&path, &name.into(), "`adaptive`, `full` or `low`")));
        let options = Self {
            mode: mode.transpose()?,
            max_turns: object.whole("max_turns", 1..=limits.max_turns as i64)?.map(|turns| turns as usize),
            show_turns: object.flag("show_turns")?.unwrap_or(false),
            budget_tokens: object.whole("budget_tokens", 0..=i64::MAX)?.map(|tokens| tokens as usize),
        };
        object.finish("`mode`, `max_turns`, `show_turns` and `budget_tokens`")?;
        Ok(options)
    }
}

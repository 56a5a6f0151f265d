//! The mode that a request can afford.

use visionthink_image::Views;
use visionthink_protocol::Mode;

use crate::api::{ApiError, ChatRequest};

/// The mode that the budget allows: without enough for the full images too, they are not offered. `costs` of the images,
/// where they are known.
///
/// # Errors
/// [`ApiError::Unsupported`] for a budget that the first images exceed, or that the server cannot weigh.
pub(crate) fn affordable(request: &ChatRequest, costs: Option<&[Views]>, mode: Mode) -> Result<Mode, ApiError> {
    let Some(budget) = request.vision.budget_tokens else { return Ok(mode) };
    let path = "visionthink.budget_tokens";
    let costs = costs.ok_or_else(|| unsupported(path, "this server is not told what images cost (`processor`)"))?;
    let low: usize = costs.iter().map(|cost| cost.low.tokens).sum();
    let full: usize = costs.iter().map(|cost| cost.full.tokens).sum();
    let least = if mode == Mode::Full { full } else { low };
    if least > budget {
        return Err(unsupported(path, &format!("is {budget}; in mode `{mode}` the images take {least} tokens")));
    }
    Ok(if mode == Mode::Adaptive && low.saturating_add(full) > budget { Mode::Low } else { mode })
}

/// A field that asks for what this server does not give.
pub(crate) fn unsupported(path: &str, reason: &str) -> ApiError {
    ApiError::Unsupported { path: path.to_owned(), reason: reason.to_owned() }
}

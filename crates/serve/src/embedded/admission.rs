//! Who is let in: samples and tokens in bounded number.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::settings::ScheduleSettings;
use crate::api::ApiError;

/// When a client that was not let in may try again.
const SHORT_WAIT: Duration = Duration::from_secs(1);

/// Counts what is let in.
#[derive(Debug)]
pub(super) struct Admission {
    samples: Arc<Semaphore>,
    tokens: Arc<Semaphore>,
    max_tokens: usize,
}

impl Admission {
    pub(super) fn new(settings: &ScheduleSettings) -> Self {
        let most = |count: usize| count.min(Semaphore::MAX_PERMITS).min(u32::MAX as usize);
        let max_tokens = most(settings.max_held_tokens);
        Self {
            samples: Arc::new(Semaphore::new(most(settings.max_rows.saturating_add(settings.max_waiting)))),
            tokens: Arc::new(Semaphore::new(max_tokens)),
            max_tokens,
        }
    }

    /// Lets samples in.
    ///
    /// # Errors
    /// [`ApiError::Busy`].
    pub(super) fn samples(&self, count: usize) -> Result<OwnedSemaphorePermit, ApiError> {
        take(&self.samples, count)
    }

    /// Lets `samples` conversations of up to `tokens` tokens each in.
    ///
    /// # Errors
    /// [`ApiError::Busy`]; [`ApiError::Unsupported`] for more than would ever fit.
    pub(super) fn tokens(&self, samples: usize, tokens: usize) -> Result<OwnedSemaphorePermit, ApiError> {
        let wanted = samples.saturating_mul(tokens);
        if wanted > self.max_tokens {
            let reason = format!(
                "with it the request may grow to {wanted} tokens, prompts, images and `n` samples counted; this server holds {}",
                self.max_tokens
            );
            return Err(ApiError::Unsupported { path: "max_tokens".to_owned(), reason });
        }
        take(&self.tokens, wanted)
    }
}

fn take(places: &Arc<Semaphore>, count: usize) -> Result<OwnedSemaphorePermit, ApiError> {
    let busy = ApiError::Busy { after: SHORT_WAIT };
    let Ok(count) = u32::try_from(count) else { return Err(busy) };
    places.clone().try_acquire_many_owned(count).map_err(|_| busy)
}

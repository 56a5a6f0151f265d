//! Who is let in: samples, pictures and tokens in bounded number.

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
    /// In units of [`PICTURE_UNIT`].
    pictures: Arc<Semaphore>,
    max_pictures: usize,
    tokens: Arc<Semaphore>,
    max_tokens: usize,
}

/// Bytes that a permit for pictures stands for: permits are 32-bit numbers.
const PICTURE_UNIT: usize = 1 << 10;

impl Admission {
    pub(super) fn new(settings: &ScheduleSettings) -> Self {
        let most = |count: usize| count.min(Semaphore::MAX_PERMITS).min(u32::MAX as usize);
        let max_tokens = most(settings.max_held_tokens);
        let max_pictures = most(settings.max_picture_bytes / PICTURE_UNIT);
        Self {
            samples: Arc::new(Semaphore::new(most(settings.max_rows.saturating_add(settings.max_waiting)))),
            pictures: Arc::new(Semaphore::new(max_pictures)),
            max_pictures,
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

    /// Lets pictures of these sizes in, before they are decoded.
    ///
    /// # Errors
    /// [`ApiError::Busy`]; [`ApiError::Unsupported`] for more than would ever fit.
    pub(super) fn pictures(&self, sizes: &[(u32, u32)]) -> Result<OwnedSemaphorePermit, ApiError> {
        let bytes = |(width, height): &(u32, u32)| (*width as usize).saturating_mul(*height as usize).saturating_mul(3);
        let wanted = sizes.iter().map(bytes).fold(0_usize, usize::saturating_add).div_ceil(PICTURE_UNIT);
        if wanted > self.max_pictures {
            let reason = format!(
                "the images of the request take {wanted} KiB decoded; this server holds {} of all requests",
                self.max_pictures
            );
            return Err(ApiError::Unsupported { path: "messages".to_owned(), reason });
        }
        take(&self.pictures, wanted)
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

//! Why there is no image.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use visionthink_image::ImageError;

/// Why an image by reference cannot be had. Messages never hold the data of an image, nor a path the client has not named.
#[derive(Debug, thiserror::Error)]
pub enum ImageSourceError {
    /// The reference is no URL that is understood here.
    #[error("`{found}` is no image URL; expected `data:image/…;base64,…`, `https://…`, or `file:///…`")]
    Scheme {
        /// Its beginning.
        found: String,
    },
    /// A `data:` URL that is not base64 of something.
    #[error("{reason}; expected `data:image/png;base64,…`")]
    DataUrl {
        /// What is wrong.
        reason: String,
    },
    /// The operator does not let the server fetch.
    #[error("this server fetches no images; send the image as a `data:` URL")]
    NoFetching,
    /// The operator does not let the server read this file, or there is none: a client is not told which.
    #[error("`{url}` is no file that this server may read; send the image as a `data:` URL")]
    FileRefused {
        /// The URL, as it was given.
        url: String,
    },
    /// A URL that cannot be fetched as it is written.
    #[error("`{url}` cannot be fetched: {reason}")]
    Url {
        /// The URL, shortened.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// The URL leads to an address that is not public.
    #[error("`{host}` leads to {address}, which is not a public address; this server does not fetch from there")]
    Address {
        /// The host of the URL, or of a redirect.
        host: String,
        /// The address.
        address: IpAddr,
    },
    /// Too many redirects.
    #[error("more than {limit} redirects")]
    Redirects {
        /// The limit.
        limit: usize,
    },
    /// The image did not come.
    #[error("fetching from `{host}` failed: {reason}")]
    Fetch {
        /// The host of the URL, or of a redirect.
        host: String,
        /// What happened.
        reason: String,
    },
    /// The image did not come in time.
    #[error("fetching from `{host}` took more than {secs} s")]
    FetchTimeout {
        /// The host of the URL.
        host: String,
        /// The limit.
        secs: f64,
    },
    /// What came is too long.
    #[error("the image has more than {limit} bytes, which is the limit")]
    TooManyBytes {
        /// The limit.
        limit: u64,
    },
    /// The bytes are no image that can be used.
    #[error("{}", chain(.0))]
    Image(#[from] ImageError),
    /// The decoder gave up its work; a fault of this program.
    #[error("the image could not be decoded: the decoder ended early")]
    DecoderGone,
    /// At start-up: a folder of the settings.
    #[error("`images.folders`: {}: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why it cannot be used.
        source: io::Error,
    },
    /// At start-up: the HTTP client.
    #[error("the HTTP client cannot be made: {reason}")]
    Client {
        /// Why.
        reason: String,
    },
}

fn chain(error: &ImageError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// The beginning of a text, fit to be shown.
pub(crate) fn short(text: &str) -> String {
    const MAX_CHARS: usize = 60;
    let shown: String = text.chars().take(MAX_CHARS).flat_map(char::escape_debug).collect();
    if text.chars().nth(MAX_CHARS).is_some() { shown + "…" } else { shown }
}

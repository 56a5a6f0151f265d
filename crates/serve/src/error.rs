//! What keeps the server from starting, or ends it. What a client is told is [`ApiError`](crate::api::ApiError).

use std::io;
use std::path::PathBuf;

use visionthink_image::ImageError;

use crate::images::ImageSourceError;

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A file could not be read, or a socket failed; the message names it.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Values of the run file that no server can be run with; all of them are listed.
    #[error("{}", problems.join("\n"))]
    Settings {
        /// Key, value and expectation, one a problem.
        problems: Vec<String>,
    },
    /// The run file is no run file.
    #[error("{}: {source}", path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// Section `[images]`.
    #[error(transparent)]
    Images(#[from] ImageSourceError),
    /// The settings of the image processor.
    #[error("`processor`")]
    Processor(#[source] ImageError),
    /// The key of an upstream server is to come from a variable that is not there.
    #[error("environment variable `{name}` is not set; it has to hold the key of an upstream server")]
    NoKeyVariable {
        /// Its name.
        name: String,
    },
    /// What should be a key cannot be sent as one.
    #[error("{place}: no usable key here; expected one line of printable ASCII")]
    UnfitKey {
        /// The variable or file.
        place: String,
    },
    /// A file of API keys without a key.
    #[error("{}: holds no API key; expected one a line", path.display())]
    NoKeys {
        /// The file.
        path: PathBuf,
    },
    /// A line of the file of API keys that is none.
    #[error("{}:{line}: not an API key; expected printable ASCII without spaces, 16 letters or more", path.display())]
    BadKey {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
    },
    /// A file of certificates that are none.
    #[error("{}: {reason}; expected certificates of authorities in PEM", path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The engine in this process cannot go on.
    #[error("the engine failed: {reason}")]
    Engine {
        /// How.
        reason: String,
    },
    /// The HTTP client cannot be made.
    #[error("the HTTP client cannot be made: {reason}")]
    Client {
        /// Why.
        reason: String,
    },
}

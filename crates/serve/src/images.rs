//! Images by reference: `data:` URLs, files of the folders that the operator names, and `http(s)` within bounds.
//!
//! Read [`Images`] first. What a URL may lead to is decided in `address` (networks) and `file` (folders).

mod address;
mod cache;
mod data_url;
mod error;
mod fetch;
mod file;
mod picture;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use visionthink_image::DecodeOptions;

pub use address::{Network, is_public};
pub use error::ImageSourceError;
pub use fetch::{Lookup, system_lookup};
pub use picture::Picture;

use cache::Cache;
use fetch::Fetcher;
use file::Folders;

/// Where images may come from, and how large they may be: section `[images]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ImageSettings {
    /// Bytes of an image file.
    pub max_bytes: u64,
    /// Pixels of an image.
    pub max_pixels: u64,
    /// Bytes of images that are kept for the next request that shows them.
    pub cache_bytes: u64,
    /// Images that are decoded at the same time; each takes up to 512 MiB.
    pub decoders: usize,
    /// Folders whose files a `file:` URL may name. None: no file is read.
    pub folders: Vec<PathBuf>,
    /// Whether `http(s)` URLs are fetched.
    pub fetch: bool,
    /// Seconds one image may take to come, redirects included.
    pub fetch_timeout_secs: f64,
    /// Redirects that are followed.
    pub max_redirects: usize,
    /// Networks that may be fetched from although they are not public, `10.1.0.0/16` say.
    pub allow_networks: Vec<Network>,
}

impl Default for ImageSettings {
    fn default() -> Self {
        Self {
            max_bytes: 20 << 20,
            max_pixels: 89_478_485,
            cache_bytes: 256 << 20,
            decoders: 2,
            folders: Vec::new(),
            fetch: false,
            fetch_timeout_secs: 10.0,
            max_redirects: 3,
            allow_networks: Vec::new(),
        }
    }
}

/// Gets images and keeps them for a while.
#[derive(Debug)]
pub struct Images {
    settings: ImageSettings,
    folders: Folders,
    fetcher: Option<Fetcher>,
    cache: Cache,
    decoders: Arc<Semaphore>,
    options: DecodeOptions,
}

impl Images {
    /// Takes the settings; names are looked up as the system does.
    ///
    /// # Errors
    /// [`ImageSourceError::Folder`] for a folder that is not there, [`ImageSourceError::Client`].
    pub fn new(settings: ImageSettings) -> Result<Self, ImageSourceError> {
        Self::with_lookup(settings, system_lookup())
    }

    /// As [`Images::new`], with another way to look up names.
    ///
    /// # Errors
    /// As there.
    pub fn with_lookup(settings: ImageSettings, lookup: Lookup) -> Result<Self, ImageSourceError> {
        let mut options = DecodeOptions::default();
        options.limits.max_bytes = settings.max_bytes;
        options.limits.max_pixels = settings.max_pixels;
        let fetcher = settings.fetch.then(|| Fetcher::new(&settings, lookup)).transpose()?;
        Ok(Self {
            folders: Folders::new(&settings.folders)?,
            fetcher,
            cache: Cache::new(settings.cache_bytes),
            decoders: Arc::new(Semaphore::new(settings.decoders.max(1))),
            options,
            settings,
        })
    }

    /// The image behind a URL. Its header is read and its limits are checked; damage behind the header shows when a view is made.
    ///
    /// # Errors
    /// [`ImageSourceError`]: what the URL may not name, what cannot be had, and what is no image.
    pub async fn load(&self, url: &str) -> Result<Arc<Picture>, ImageSourceError> {
        let bytes = self.bytes(url).await?;
        let key = cache::key(&bytes);
        if let Some(picture) = self.cache.get(&key) {
            return Ok(picture);
        }
        let picture = Arc::new(Picture::new(bytes, self.options, self.decoders.clone())?);
        self.cache.put(key, picture.clone());
        Ok(picture)
    }

    /// Lookups that the cache answered, and that it did not.
    pub fn cache_counts(&self) -> (u64, u64) {
        self.cache.counts()
    }

    async fn bytes(&self, url: &str) -> Result<Bytes, ImageSourceError> {
        let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
        match scheme.to_ascii_lowercase().as_str() {
            "data" => data_url::bytes(url, self.settings.max_bytes),
            "file" => self.folders.read(url, self.settings.max_bytes).await,
            "http" | "https" => match &self.fetcher {
                Some(fetcher) => fetcher.fetch(url).await,
                None => Err(ImageSourceError::NoFetching),
            },
            _ => Err(ImageSourceError::Scheme { found: error::short(url) }),
        }
    }
}

impl ImageSettings {
    /// Time for one image.
    pub(crate) fn fetch_timeout(&self) -> Duration {
        crate::seconds::seconds(self.fetch_timeout_secs)
    }
}

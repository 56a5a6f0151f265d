//! An image: its two views as `data:` URLs, each made when it is first asked for, or its pixels.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OnceCell, Semaphore};
use visionthink_image::{DecodeOptions, Processor, decode, full_size, full_view, low_view, upright_size};
use visionthink_protocol::View;

use super::data_url;
use super::error::ImageSourceError;

/// An image of a request.
#[derive(Debug)]
pub struct Picture {
    bytes: Bytes,
    /// Width and height in pixels, upright.
    size: (u32, u32),
    options: DecodeOptions,
    decoders: Arc<Semaphore>,
    low: OnceCell<Arc<str>>,
    full: OnceCell<Arc<str>>,
}

impl Picture {
    /// Reads the header.
    ///
    /// # Errors
    /// [`ImageSourceError::Image`] for what is no image or beyond the limits.
    pub(super) fn new(
        bytes: Bytes,
        options: DecodeOptions,
        decoders: Arc<Semaphore>,
    ) -> Result<Self, ImageSourceError> {
        let size = upright_size(&bytes, &options)?;
        full_size(size.0, size.1)?;
        Ok(Self { bytes, size, options, decoders, low: OnceCell::new(), full: OnceCell::new() })
    }

    /// Width and height in pixels, upright.
    pub fn size(&self) -> (u32, u32) {
        self.size
    }

    /// The view as a `data:` URL: the low one as PNG, the full one as it came where that is what the model should see
    /// (RGB, upright, no smaller than a token), else as PNG.
    ///
    /// # Errors
    /// [`ImageSourceError::Image`] for damaged data.
    pub async fn url(&self, view: View) -> Result<Arc<str>, ImageSourceError> {
        let made = match view {
            View::Low => &self.low,
            View::Full => &self.full,
        };
        made.get_or_try_init(|| self.make(view)).await.cloned()
    }

    async fn make(&self, view: View) -> Result<Arc<str>, ImageSourceError> {
        let _permit = self.decoders.acquire().await.map_err(|_| ImageSourceError::DecoderGone)?;
        let (bytes, options) = (self.bytes.clone(), self.options);
        tokio::task::spawn_blocking(move || render(&bytes, &options, view))
            .await
            .map_err(|_| ImageSourceError::DecoderGone)?
    }

    /// The image itself, with what its views cost a model.
    ///
    /// # Errors
    /// [`ImageSourceError::Image`] for damaged data, and for an image too narrow for a view.
    pub(crate) async fn decoded(
        &self,
        processor: &Arc<Processor>,
    ) -> Result<Arc<visionthink_engine::Picture>, ImageSourceError> {
        let _permit = self.decoders.acquire().await.map_err(|_| ImageSourceError::DecoderGone)?;
        let (bytes, options, processor) = (self.bytes.clone(), self.options, processor.clone());
        let work = move || Ok(Arc::new(visionthink_engine::Picture::new(decode(&bytes, &options)?, processor)?));
        tokio::task::spawn_blocking(work).await.map_err(|_| ImageSourceError::DecoderGone)?
    }

    /// Memory it takes.
    pub(super) fn held_bytes(&self) -> u64 {
        let url = |cell: &OnceCell<Arc<str>>| cell.get().map_or(0, |url| url.len() as u64);
        self.bytes.len() as u64 + url(&self.low) + url(&self.full)
    }
}

fn render(bytes: &[u8], options: &DecodeOptions, view: View) -> Result<Arc<str>, ImageSourceError> {
    let image = decode(bytes, options)?;
    let keeps_size = full_size(image.width, image.height)? == (image.width, image.height);
    if let Some(mime) = shown_as_it_is(bytes).filter(|_| view == View::Full && keeps_size) {
        return Ok(data_url::write(mime, bytes).into());
    }
    let shown = match view {
        View::Low => low_view(&image)?,
        View::Full => full_view(&image)?.into_owned(),
    };
    Ok(data_url::write("image/png", &shown.encode_png()?).into())
}

/// The type of a file that every decoder reads alike: an RGB or gray PNG without transparency, a JPEG, either without
/// EXIF, whose orientation some servers apply and some do not.
fn shown_as_it_is(bytes: &[u8]) -> Option<&'static str> {
    /// Where a PNG says how its colours are written: 0 gray, 2 RGB, 3 palette, 4 and 6 with alpha.
    const PNG_COLOUR: usize = 25;
    let has = |word: &[u8]| bytes.windows(word.len()).any(|window| window == word);
    if bytes.starts_with(b"\xff\xd8\xff") {
        return (!has(b"Exif\0\0")).then_some("image/jpeg");
    }
    if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        let opaque = matches!(bytes.get(PNG_COLOUR), Some(0 | 2));
        return (opaque && !has(b"tRNS") && !has(b"eXIf")).then_some("image/png");
    }
    None
}

#[cfg(test)]
mod tests {
    use visionthink_image::RgbImage;

    use super::*;

    fn png(width: u32, height: u32) -> Vec<u8> {
        let pixels = (0..width * height * 3).map(|value| (value % 251) as u8).collect();
        RgbImage::new(width, height, pixels).unwrap().encode_png().unwrap()
    }

    fn urls(bytes: Vec<u8>) -> [RgbImage; 2] {
        let decoders = Arc::new(Semaphore::new(1));
        let picture = Picture::new(bytes.into(), DecodeOptions::default(), decoders).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        [View::Low, View::Full].map(|view| {
            let url = runtime.block_on(picture.url(view)).unwrap();
            decode(&data_url::bytes(&url, u64::MAX).unwrap(), &DecodeOptions::default()).unwrap()
        })
    }

    #[test]
    fn the_views_are_those_of_the_image_crate() {
        let bytes = png(100, 60);
        let image = decode(&bytes, &DecodeOptions::default()).unwrap();
        let [low, full] = urls(bytes);
        assert_eq!(low, low_view(&image).unwrap());
        assert_eq!(full, image);
        let [low, full] = urls(png(9, 12));
        assert_eq!([(low.width, low.height), (full.width, full.height)], [(28, 42), (28, 37)]);
    }

    #[test]
    fn a_plain_file_is_handed_on_as_it_came_and_another_is_not() {
        let bytes = png(40, 40);
        assert_eq!(shown_as_it_is(&bytes), Some("image/png"));
        assert!(
            render(&bytes, &DecodeOptions::default(), View::Full)
                .unwrap()
                .ends_with(&data_url::write("", &bytes)[13..])
        );
        let mut alpha = bytes.clone();
        alpha[25] = 6;
        assert_eq!(shown_as_it_is(&alpha), None);
        assert_eq!(shown_as_it_is(b"\xff\xd8\xff\xe1..Exif\0\0"), None);
        assert_eq!(shown_as_it_is(b"\xff\xd8\xff\xe0"), Some("image/jpeg"));
        assert_eq!(shown_as_it_is(b"RIFF"), None);
    }

    #[test]
    fn damage_behind_the_header_shows_with_the_first_view() {
        let mut bytes = png(64, 64);
        bytes.truncate(bytes.len() / 2);
        let picture = Picture::new(bytes.into(), DecodeOptions::default(), Arc::new(Semaphore::new(1))).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let error = runtime.block_on(picture.url(View::Full)).unwrap_err();
        assert!(error.to_string().contains("truncated"), "{error}");
    }
}

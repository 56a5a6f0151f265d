//! Images by reference: paths, `file:` and `data:` URLs, http(s) where allowed, stdin.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use visionthink_image::{DecodeOptions, RgbImage, decode, open};

use crate::failure::Failure;

/// Where images may come from beside files and data URLs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sources {
    /// Files named by a request file: nothing is fetched.
    Local,
    /// A person at the command line: http(s) URLs and `-` too.
    Person,
}

/// A person is waiting: a server that does not answer by then is given up.
const FETCH_LIMIT: Duration = Duration::from_secs(30);

/// Loads one image. Relative paths are relative to `folder`.
///
/// # Errors
///
/// When the source is not allowed, not readable or not an image; the error names the source, never the data in it.
pub(crate) fn load(source: &str, folder: &Path, sources: Sources, options: &DecodeOptions) -> anyhow::Result<RgbImage> {
    if let Some(data) = source.strip_prefix("data:") {
        return decode(&data_url(data)?, options).context("image in a `data:` URL");
    }
    if source.starts_with("http://") || source.starts_with("https://") {
        if sources == Sources::Local {
            return Err(Failure::failed(format!(
                "image `{source}` is a URL; expected a path, `file:` or `data:` here"
            ))
            .hint("download it first and give its path")
            .into());
        }
        return decode(&fetch(source, options.limits.max_bytes)?, options).with_context(|| source.to_owned());
    }
    if source == "-" && sources == Sources::Person {
        let mut bytes = Vec::new();
        // One byte more than the limit, so that the decoder sees that it was passed.
        std::io::stdin()
            .lock()
            .take(options.limits.max_bytes.saturating_add(1))
            .read_to_end(&mut bytes)
            .context("reading stdin")?;
        return decode(&bytes, options).context("image on stdin");
    }
    if let Some((scheme, _)) = source.split_once("://").filter(|(scheme, _)| *scheme != "file") {
        let fetched = if sources == Sources::Person { "`http`, `https`, " } else { "" };
        return Err(Failure::failed(format!(
            "image `{source}`: `{scheme}` URLs are not supported; expected a path, {fetched}`file:` or `data:`"
        ))
        .into());
    }
    Ok(open(&folder.join(file_path(source)?), options)?)
}

/// The image of a request file as a `data:` URL, its bytes as they are.
///
/// # Errors
///
/// As [`load`], for what is not a local file; whether the bytes are an image is for whoever reads them to say.
pub(crate) fn as_data_url(source: &str, folder: &Path) -> anyhow::Result<String> {
    if source.starts_with("data:") {
        return Ok(source.to_owned());
    }
    if source.contains("://") && !source.starts_with("file:") {
        // Says what is wrong with it.
        load(source, folder, Sources::Local, &DecodeOptions::default())?;
    }
    Ok(data_url_of(&fs_err::read(folder.join(file_path(source)?))?))
}

/// The `data:` URL of an image's bytes.
pub(crate) fn data_url_of(bytes: &[u8]) -> String {
    // Readers go by the bytes; the type is a formality.
    format!("data:image/png;base64,{}", STANDARD.encode(bytes))
}

/// The path of a `file:` URL, or the text itself.
fn file_path(source: &str) -> anyhow::Result<PathBuf> {
    let Some(rest) = source.strip_prefix("file:") else {
        return Ok(PathBuf::from(source));
    };
    let path = match rest.strip_prefix("//") {
        Some(after) => after.strip_prefix("localhost").unwrap_or(after),
        None => rest,
    };
    let decoded = unescape(path).ok_or_else(|| Failure::failed(format!("`{source}` has a broken % escape")))?;
    if rest.starts_with("//") && !decoded.starts_with('/') {
        return Err(
            Failure::failed(format!("`{source}` names another machine; expected `file:///absolute/path`")).into()
        );
    }
    Ok(PathBuf::from(decoded))
}

fn unescape(path: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [first, after @ ..] = rest {
        if *first != b'%' {
            bytes.push(*first);
            rest = after;
            continue;
        }
        let digits = std::str::from_utf8(after.get(..2)?).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &after[2..];
    }
    String::from_utf8(bytes).ok()
}

/// The bytes of what follows `data:`.
fn data_url(data: &str) -> anyhow::Result<Vec<u8>> {
    let (head, body) = data
        .split_once(',')
        .ok_or_else(|| Failure::failed("a `data:` URL has no comma; expected `data:image/png;base64,…`"))?;
    if !head.ends_with(";base64") {
        return Err(Failure::failed("a `data:` URL is not base64; expected `data:image/png;base64,…`").into());
    }
    STANDARD.decode(body.trim()).context("base64 of a `data:` URL")
}

fn fetch(url: &str, limit: u64) -> anyhow::Result<Vec<u8>> {
    let agent: ureq::Agent =
        ureq::Agent::config_builder().timeout_global(Some(FETCH_LIMIT)).max_redirects(5).build().into();
    let mut response = agent.get(url).call().with_context(|| format!("fetching `{url}`"))?;
    response.body_mut().with_config().limit(limit).read_to_vec().with_context(|| format!("fetching `{url}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_urls_become_paths() {
        assert_eq!(file_path("file:///a/b%20c.png").unwrap(), Path::new("/a/b c.png"));
        assert_eq!(file_path("file://localhost/a.png").unwrap(), Path::new("/a.png"));
        assert_eq!(file_path("file:a.png").unwrap(), Path::new("a.png"));
        assert_eq!(file_path("a.png").unwrap(), Path::new("a.png"));
        assert!(file_path("file://host/a.png").is_err());
        assert!(file_path("file:///a%2").is_err());
    }

    #[test]
    fn request_files_fetch_nothing() {
        let error =
            load("https://example.com/a.png", Path::new("."), Sources::Local, &DecodeOptions::default()).unwrap_err();
        assert!(error.to_string().contains("is a URL"), "{error}");
    }

    #[test]
    fn broken_data_urls_are_errors() {
        for source in ["data:", "data:image/png,abc", "data:image/png;base64,@@", "data:image/png;base64,AAAA"] {
            assert!(load(source, Path::new("."), Sources::Local, &DecodeOptions::default()).is_err(), "{source}");
        }
    }
}

//! The key of the judge's server: where it comes from, and that it is shown nowhere.

use std::fmt;

use crate::endpoint::JudgeEndpoint;
use crate::error::{JudgeError, Result};

/// Shorter keys are placeholders, as local servers take them, and may be ordinary words of a reply.
const SCRUBBED_FROM_CHARS: usize = 8;
/// What stands for a key wherever text is shown.
const MASK: &str = "***";

/// A key. It cannot be printed: its `Debug` is `***`, and it has no other form of text.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl Secret {
    /// A key, white space around it removed. `place` is where it came from.
    ///
    /// # Errors
    /// [`JudgeError::UnfitKey`] where nothing is left or it does not fit into a header.
    pub fn new(text: &str, place: &str) -> Result<Self> {
        let text = text.trim();
        if text.is_empty() || !text.chars().all(|letter| letter.is_ascii_graphic()) {
            return Err(JudgeError::UnfitKey { place: place.to_owned() });
        }
        Ok(Self(text.to_owned()))
    }

    /// The key of an endpoint, from the environment or its file; `None` for a server that takes none.
    ///
    /// # Errors
    /// [`JudgeError::NoKey`], [`JudgeError::UnfitKey`], [`JudgeError::Io`].
    pub fn of(endpoint: &JudgeEndpoint) -> Result<Option<Self>> {
        find(endpoint, &|name| std::env::var(name).ok())
    }

    /// The key itself, for the header of a request and nothing else.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// A text of the server with the key masked, should the server repeat it.
    pub(crate) fn scrub(&self, text: &str) -> String {
        if self.0.len() < SCRUBBED_FROM_CHARS { text.to_owned() } else { text.replace(&self.0, MASK) }
    }
}

/// Looks where the endpoint says; where it says nothing, in the variable of its kind.
///
/// That variable was not set for this server in particular, so it goes only where nobody listens in, and a server that
/// needs no key may do without it.
fn find(endpoint: &JudgeEndpoint, variable: &dyn Fn(&str) -> Option<String>) -> Result<Option<Secret>> {
    let from = |name: &str, text: String| Secret::new(&text, &format!("environment variable `{name}`")).map(Some);
    if let Some(path) = &endpoint.key_file {
        return Secret::new(&fs_err::read_to_string(path)?, &path.display().to_string()).map(Some);
    }
    if let Some(name) = &endpoint.key_env {
        let text = variable(name).ok_or_else(|| JudgeError::NoKey { variable: name.clone() })?;
        return from(name, text);
    }
    let name = endpoint.kind.key_variable();
    match variable(name).filter(|text| !text.is_empty()) {
        Some(text) if endpoint.is_private() => from(name, text),
        Some(_) => {
            tracing::warn!(variable = name, "not sent over plain http; name it as `key_env` where it should be");
            Ok(None)
        }
        None if endpoint.kind.needs_key() => Err(JudgeError::NoKey { variable: name.to_owned() }),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::EndpointKind;

    const KEY: &str = "sk-0123456789";

    fn set(name: &str) -> Option<String> {
        (name == "OPENAI_API_KEY" || name == "MY_KEY").then(|| format!("{KEY}\n"))
    }

    fn openai(url: &str) -> JudgeEndpoint {
        JudgeEndpoint::new(EndpointKind::OpenAi, url, "m")
    }

    #[test]
    fn a_key_is_shown_nowhere() {
        let secret = Secret::new(KEY, "here").unwrap();
        assert_eq!(format!("{secret:?} {:#?}", Some(&secret)), "*** Some(\n    ***,\n)");
        assert_eq!(secret.scrub("wrong key sk-0123456789!"), "wrong key ***!");
        let unfit = Secret::new("sk-01\n23", "`key.txt`").unwrap_err();
        assert_eq!(unfit.to_string(), "`key.txt`: no usable key here; expected one line of printable ASCII");
    }

    #[test]
    fn a_placeholder_is_not_taken_out_of_replies() {
        assert_eq!(Secret::new("1", "here").unwrap().scrub("Score: 1"), "Score: 1");
    }

    #[test]
    fn the_usual_variable_is_not_sent_in_clear_to_another_machine() {
        for (url, sent) in [
            ("https://api.openai.com/v1", true),
            ("http://127.0.0.1:8000/v1", true),
            ("http://[::1]:8000/v1", true),
            ("http://localhost/v1", true),
            ("http://10.0.0.7:8000/v1", false),
            ("http://localhost.example.org/v1", false),
        ] {
            assert_eq!(find(&openai(url), &set).unwrap().is_some(), sent, "{url}");
        }
        let named = JudgeEndpoint { key_env: Some("MY_KEY".to_owned()), ..openai("http://10.0.0.7:8000/v1") };
        assert_eq!(find(&named, &set).unwrap().unwrap().expose(), KEY);
    }

    #[test]
    fn a_key_that_has_to_be_there_and_is_not_is_named() {
        let named = JudgeEndpoint { key_env: Some("OTHER".to_owned()), ..openai("http://localhost/v1") };
        let azure = JudgeEndpoint::new(EndpointKind::Azure, "https://x.openai.azure.com", "m");
        for (endpoint, name) in [(named, "OTHER"), (azure, "AZURE_API_KEY")] {
            let error = find(&endpoint, &set).unwrap_err().to_string();
            assert!(error.starts_with(&format!("environment variable `{name}` is not set")), "{error}");
        }
        let absent = JudgeEndpoint { key_file: Some("no/such/key".into()), ..openai("http://localhost/v1") };
        assert!(find(&absent, &set).unwrap_err().to_string().contains("no/such/key"));
    }
}

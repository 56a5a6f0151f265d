//! What the values of a judge's section have to satisfy beyond their types.

use ureq::http::Uri;

use super::{EndpointKind, JudgeEndpoint};

/// A week; longer is a mistake, and no clock is asked to add it.
const MAX_SECS: f64 = 604_800.0;
const MAX_CONCURRENCY: usize = 1024;

/// All violations, in the order of the section.
pub(super) fn problems(endpoint: &JudgeEndpoint, section: &str) -> Vec<String> {
    let mut found = Problems { section, list: Vec::new() };
    found.url(endpoint);
    found.model(endpoint);
    found.key(endpoint);
    found.patience(endpoint);
    if let Some(prices) = endpoint.prices {
        for (key, price) in [("prices.prompt", prices.prompt), ("prices.completion", prices.completion)] {
            found.need(price.is_finite() && price >= 0.0, key, price, "zero or more");
        }
    }
    found.list
}

struct Problems<'a> {
    section: &'a str,
    list: Vec<String>,
}

impl Problems<'_> {
    /// Complains about `key` unless `holds`.
    fn need(&mut self, holds: bool, key: &str, found: impl std::fmt::Display, expected: &str) {
        if !holds {
            self.list.push(format!("`{}.{key}` is {found}, expected {expected}", self.section));
        }
    }

    /// The address is not repeated where it may hold a password.
    fn url(&mut self, endpoint: &JudgeEndpoint) {
        let text = &endpoint.url;
        if text.contains(['@', '?', '#']) {
            self.need(false, "url", "an address with a user, a query or a fragment", "one without; it may hold a key");
            return;
        }
        let url = text.parse::<Uri>().ok().filter(|url| url.host().is_some());
        let scheme = url.as_ref().and_then(Uri::scheme_str);
        self.need(matches!(scheme, Some("http" | "https")), "url", format!("`{text}`"), "`https://…` or `http://…`");
        let bare = !text.trim_end_matches('/').ends_with("/chat/completions");
        self.need(bare, "url", format!("`{text}`"), "the address in front of `/chat/completions`");
        if endpoint.kind == EndpointKind::Azure && scheme == Some("http") {
            self.need(endpoint.is_local(), "url", format!("`{text}`"), "`https://…`: the key would go in clear");
        }
    }

    fn model(&mut self, endpoint: &JudgeEndpoint) {
        let version = endpoint.api_version.as_deref();
        match endpoint.kind {
            EndpointKind::OpenAi => {
                self.need(!endpoint.model.is_empty(), "model", "empty", "the name of a model");
                self.need(version.is_none(), "api_version", "given", "none: only `azure` has versions");
            }
            EndpointKind::Azure => {
                let expected = "letters, digits, `-`, `_` and `.`: it is part of the address";
                self.need(is_plain(&endpoint.model), "model", format!("`{}`", endpoint.model), expected);
                let shown = version.map_or("missing".to_owned(), |version| format!("`{version}`"));
                self.need(version.is_some_and(is_plain), "api_version", shown, "one of Azure's, such as `2024-10-21`");
            }
        }
    }

    fn key(&mut self, endpoint: &JudgeEndpoint) {
        let expected = "none: put the key into a variable or a file, and name that as `key_env` or `key_file`";
        self.need(!endpoint.key.is_there, "key", "given", expected);
        let both = endpoint.key_env.is_some() && endpoint.key_file.is_some();
        self.need(!both, "key_env", "given beside `key_file`", "one of them");
        // A key put where its variable's name belongs is not repeated.
        let named = endpoint.key_env.as_deref().is_none_or(is_variable);
        self.need(named, "key_env", "not the name of a variable", "upper-case letters, digits and `_`");
    }

    fn patience(&mut self, endpoint: &JudgeEndpoint) {
        let threads = endpoint.concurrency;
        self.need((1..=MAX_CONCURRENCY).contains(&threads), "concurrency", threads, "1 to 1024");
        self.need(endpoint.max_tokens != Some(0), "max_tokens", 0, "at least 1");
        self.need(endpoint.max_attempts > 0, "max_attempts", 0, "at least 1");
        self.need(endpoint.max_unreachable > 0, "max_unreachable", 0, "at least 1");
        for (key, secs) in [("timeout_secs", endpoint.timeout_secs), ("max_wait_secs", endpoint.max_wait_secs)] {
            self.need(secs > 0.0 && secs <= MAX_SECS, key, secs, "more than zero, at most a week");
        }
        for (key, secs) in [
            ("failure_wait_secs", endpoint.failure_wait_secs),
            ("rate_limit_wait_secs", endpoint.rate_limit_wait_secs),
            ("max_backoff_secs", endpoint.max_backoff_secs),
        ] {
            self.need((0.0..=MAX_SECS).contains(&secs), key, secs, "zero or more, at most a week");
        }
    }
}

fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter))
}

fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && name.chars().all(|letter| letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "sk-0123456789";

    #[test]
    fn all_problems_are_told_at_once_with_key_value_and_expectation() {
        let broken = JudgeEndpoint {
            model: String::new(),
            concurrency: 0,
            timeout_secs: f64::NAN,
            max_attempts: 0,
            failure_wait_secs: -1.0,
            ..JudgeEndpoint::new(EndpointKind::OpenAi, "api.openai.com", "")
        };
        let expected = [
            "`judge.url` is `api.openai.com`, expected `https://…` or `http://…`",
            "`judge.model` is empty, expected the name of a model",
            "`judge.concurrency` is 0, expected 1 to 1024",
            "`judge.max_attempts` is 0, expected at least 1",
            "`judge.timeout_secs` is NaN, expected more than zero, at most a week",
            "`judge.failure_wait_secs` is -1, expected zero or more, at most a week",
        ];
        assert_eq!(broken.problems("judge"), expected);
    }

    #[test]
    fn a_key_anywhere_in_the_section_is_refused_and_not_repeated() {
        for line in [
            format!("url = \"http://localhost\"\nkey = \"{KEY}\""),
            format!("url = \"http://localhost\"\napi_key = \"{KEY}\""),
            format!("url = \"http://localhost\"\nkey_env = \"{KEY}\""),
            format!("url = \"https://me:{KEY}@localhost\""),
            format!("url = \"https://localhost/v1?key={KEY}\""),
        ] {
            let read: JudgeEndpoint = toml::from_str(&format!("kind = \"openai\"\nmodel = \"m\"\n{line}")).unwrap();
            let problems = read.problems("judge");
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert!(!problems[0].contains(KEY), "{problems:?}");
        }
    }

    #[test]
    fn azure_wants_a_version_and_names_that_fit_into_an_address() {
        let azure = JudgeEndpoint::new(EndpointKind::Azure, "http://x.openai.azure.com", "a/b");
        let problems = azure.problems("judge");
        assert_eq!(problems.len(), 3, "{problems:?}");
        assert!(problems[2].starts_with("`judge.api_version` is missing"), "{problems:?}");
    }
}

//! Images over `http(s)`: bounded in size, time and redirects, and only from where a client may send the server.
//!
//! The address that is checked is the address that is connected to: the client's connections are made to what the
//! resolver here gives out, so a name that leads elsewhere a moment later changes nothing. A host that is an address
//! needs no resolver, so it is checked before each request; redirects are followed here, one checked request each.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::LOCATION;
use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};

use super::ImageSettings;
use super::address::{Network, is_public};
use super::error::{ImageSourceError, short};

/// Looks up the addresses of a name.
pub type Lookup = Arc<dyn Fn(String) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>> + Send + Sync>;

/// The system's own way.
pub fn system_lookup() -> Lookup {
    Arc::new(|name| {
        Box::pin(async move {
            // The port is put in by whoever connects.
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    })
}

#[derive(Debug)]
pub(super) struct Fetcher {
    client: Client,
    allowed: Arc<Allowed>,
    max_bytes: u64,
    max_redirects: usize,
    timeout: Duration,
}

/// What may be fetched from.
#[derive(Debug)]
struct Allowed(Vec<Network>);

impl Allowed {
    fn holds(&self, address: IpAddr) -> bool {
        is_public(address) || self.0.iter().any(|network| network.contains(address))
    }
}

struct CheckedResolver {
    lookup: Lookup,
    allowed: Arc<Allowed>,
}

/// The resolver's refusal, found again in the error of the request.
#[derive(Debug)]
struct Refused {
    address: IpAddr,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not a public address", self.address)
    }
}

impl Error for Refused {}

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (found, allowed) = ((self.lookup)(name.as_str().to_owned()), self.allowed.clone());
        Box::pin(async move {
            let addresses = found.await?;
            // One bad address among good ones is no accident.
            if let Some(address) = addresses.iter().find(|address| !allowed.holds(**address)) {
                return Err(Refused { address: *address }.into());
            }
            Ok(Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0))) as Addrs)
        })
    }
}

impl Fetcher {
    pub(super) fn new(settings: &ImageSettings, lookup: Lookup) -> Result<Self, ImageSourceError> {
        let allowed = Arc::new(Allowed(settings.allow_networks.clone()));
        let builder = crate::tls::client_builder(&[]).map_err(|reason| ImageSourceError::Client { reason })?;
        let client = builder
            .redirect(Policy::none())
            .referer(false)
            // An open connection to one client's host is of no use to the next.
            .pool_max_idle_per_host(0)
            .dns_resolver(Arc::new(CheckedResolver { lookup, allowed: allowed.clone() }))
            .build()
            .map_err(|error| ImageSourceError::Client { reason: error.to_string() })?;
        Ok(Self {
            client,
            allowed,
            max_bytes: settings.max_bytes,
            max_redirects: settings.max_redirects,
            timeout: settings.fetch_timeout(),
        })
    }

    pub(super) async fn fetch(&self, url: &str) -> Result<Bytes, ImageSourceError> {
        let start = parse(url)?;
        let host = host_of(&start);
        match tokio::time::timeout(self.timeout, self.follow(start)).await {
            Ok(fetched) => fetched,
            Err(_) => Err(ImageSourceError::FetchTimeout { host, secs: self.timeout.as_secs_f64() }),
        }
    }

    async fn follow(&self, start: Url) -> Result<Bytes, ImageSourceError> {
        let mut url = start;
        for _ in 0..=self.max_redirects {
            let response = self.get(&url).await?;
            if !response.status().is_redirection() {
                return self.body(&host_of(&url), response).await;
            }
            let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            let location = location.ok_or_else(|| failed(&url, "a redirect that leads nowhere"))?;
            let next = url.join(location).map_err(|_| failed(&url, "a redirect to something that is no URL"))?;
            url = check(next)?;
        }
        Err(ImageSourceError::Redirects { limit: self.max_redirects })
    }

    async fn get(&self, url: &Url) -> Result<Response, ImageSourceError> {
        let host = host_of(url);
        let refused = |address| ImageSourceError::Address { host: host.clone(), address };
        if let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>()
            && !self.allowed.holds(address)
        {
            return Err(refused(address));
        }
        let response = self.client.get(url.clone()).header("accept", "image/*").send().await;
        let response = response.map_err(|error| match refusal(&error) {
            Some(address) => refused(address),
            None => failed(url, &root_cause(&error)),
        })?;
        match response.remote_addr() {
            Some(address) if self.allowed.holds(address.ip()) => Ok(response),
            Some(address) => Err(refused(address.ip())),
            None => Err(failed(url, "the connection has no address")),
        }
    }

    async fn body(&self, host: &str, response: Response) -> Result<Bytes, ImageSourceError> {
        let too_long = ImageSourceError::TooManyBytes { limit: self.max_bytes };
        let failed = |reason: String| ImageSourceError::Fetch { host: host.to_owned(), reason };
        if !response.status().is_success() {
            return Err(failed(format!("status {}", response.status().as_u16())));
        }
        if response.content_length().is_some_and(|length| length > self.max_bytes) {
            return Err(too_long);
        }
        let mut bytes = BytesMut::new();
        let mut chunks = response.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            bytes.extend_from_slice(&chunk.map_err(|error| failed(root_cause(&error)))?);
            if bytes.len() as u64 > self.max_bytes {
                return Err(too_long);
            }
        }
        Ok(bytes.freeze())
    }
}

fn parse(text: &str) -> Result<Url, ImageSourceError> {
    // The rest may hold a password, and messages are logged.
    let scheme = text.split_once("://").map_or("", |(scheme, _)| scheme);
    let shown = format!("{}://…", short(scheme));
    let url = Url::parse(text).map_err(|error| ImageSourceError::Url { url: shown, reason: error.to_string() })?;
    check(url)
}

/// Only `http(s)`, and nothing that would send a name and a password on.
fn check(url: Url) -> Result<Url, ImageSourceError> {
    let shown = format!("{}://{}/…", url.scheme(), url.host_str().unwrap_or_default());
    let wrong = |reason: &str| Err(ImageSourceError::Url { url: short(&shown), reason: reason.to_owned() });
    if !matches!(url.scheme(), "http" | "https") {
        return wrong("only `http` and `https` are fetched");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return wrong("it holds a user name or a password");
    }
    Ok(url)
}

fn host_of(url: &Url) -> String {
    url.host_str().unwrap_or_default().to_owned()
}

fn failed(url: &Url, reason: &str) -> ImageSourceError {
    ImageSourceError::Fetch { host: host_of(url), reason: reason.to_owned() }
}

fn refusal(error: &reqwest::Error) -> Option<IpAddr> {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(refused) = cause.downcast_ref::<Refused>() {
            return Some(refused.address);
        }
        source = cause.source();
    }
    None
}

/// What lies at the bottom of an error of the client, whose own words hold the URL.
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

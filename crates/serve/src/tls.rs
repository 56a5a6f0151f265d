//! The one way connections out are made.

use std::path::Path;

use reqwest::ClientBuilder;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::error::ServeError;

/// A client that trusts Mozilla's roots, these beside them, and no proxy of the environment: where a request goes is
/// decided here.
pub(crate) fn client_builder(authorities: &[CertificateDer<'static>]) -> Result<ClientBuilder, String> {
    let mut roots = RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    for authority in authorities {
        roots.add(authority.clone()).map_err(|error| error.to_string())?;
    }
    let config = ClientConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(reqwest::Client::builder().tls_backend_preconfigured(config).no_proxy())
}

/// The certificates of a PEM file.
///
/// # Errors
/// [`ServeError::Io`], and [`ServeError::Authorities`] where the file holds none, or something else in their place.
pub(crate) fn authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, ServeError> {
    let unusable = |reason: String| ServeError::Authorities { path: path.to_owned(), reason };
    let bytes = fs_err::read(path)?;
    let found = CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|error| unusable(error.to_string()))?;
    let mut trial = RootCertStore::empty();
    for (index, certificate) in found.iter().enumerate() {
        trial.add(certificate.clone()).map_err(|error| unusable(format!("certificate {}: {error}", index + 1)))?;
    }
    if found.is_empty() { Err(unusable("it holds no certificate".to_owned())) } else { Ok(found) }
}

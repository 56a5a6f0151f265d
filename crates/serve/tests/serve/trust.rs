//! Upstream servers behind TLS, and whom the server trusts.
//!
//! `tls/` holds an authority and a certificate for 127.0.0.1 that it signed, made with OpenSSL and good until 2126. The
//! authority's key is gone; that of the certificate opens nothing but this test.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::json;
use visionthink_serve::{ServeConfig, ServeError};

use crate::{ask, question};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/serve/tls").join(name)
}

/// An upstream server that answers `7`, to whoever trusts its authority.
fn upstream() -> String {
    let chain = CertificateDer::pem_file_iter(file("server.pem")).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(file("server.key")).unwrap();
    let config = ServerConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/v1", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = ServerConnection::new(config.clone()).unwrap();
            // A client that does not trust us leaves.
            let _ = reply(StreamOwned::new(connection, stream.unwrap()));
        }
    });
    url
}

fn reply(stream: StreamOwned<ServerConnection, std::net::TcpStream>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        line.clear();
    }
    reader.read_exact(&mut vec![0; length])?;
    let said = json!({"choices": [{"index": 0, "delta": {"content": "<answer>7</answer>"}, "finish_reason": "stop"}]});
    let body = format!("data: {said}\n\ndata: [DONE]\n\n");
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n";
    let mut stream = reader.into_inner();
    write!(stream, "{head}content-length: {}\r\n\r\n{body}", body.len())?;
    stream.conn.send_close_notify();
    stream.flush()
}

fn in_front_of(url: &str) -> ServeConfig {
    let text =
        format!("model = \"seer\"\nprofile = \"visionthink\"\nmode = \"adaptive\"\n[[upstream]]\nurl = \"{url}\"\n");
    toml::from_str(&text).unwrap()
}

#[tokio::test]
async fn a_server_of_an_authority_of_ones_own_is_asked_once_the_authority_is_named() {
    let mut config = in_front_of(&upstream());
    let refused = ask(&visionthink_serve::state(&config).unwrap(), &question(json!({}))).await;
    assert!(refused.status >= 500, "{}", refused.text);
    config.pool.ca_file = Some(file("ca.pem"));
    let reply = ask(&visionthink_serve::state(&config).unwrap(), &question(json!({}))).await;
    assert_eq!((reply.status, &reply.json()["choices"][0]["message"]["content"]), (200, &json!("7")), "{}", reply.text);
}

#[test]
fn a_file_without_authorities_is_named_before_anybody_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = in_front_of("https://127.0.0.1:9/v1");
    let mut refused = |path: PathBuf| {
        config.pool.ca_file = Some(path);
        visionthink_serve::state(&config).unwrap_err()
    };
    for text in ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let path = folder.path().join("ca.pem");
        fs_err::write(&path, text).unwrap();
        let error = refused(path);
        assert!(matches!(error, ServeError::Authorities { .. }) && error.to_string().contains("ca.pem"), "{error}");
    }
    assert!(matches!(refused(folder.path().join("absent.pem")), ServeError::Io(_)));
}

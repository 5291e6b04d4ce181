//! The connection that a WebSocket runs over: TCP, with TLS for `https`.

use std::io;
use std::sync::Arc;

use rustls_pki_types::ServerName;
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use crate::Error;
use crate::trust::distrust;
use crate::verdict::Loss;

/// Where bytes go.
pub(crate) type Wire = Either<TcpStream, TlsStream<TcpStream>>;

/// A hub's address, such as `https://hub.example.com`.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    host: String,
    port: u16,
    /// As it stands in the `Host` header.
    pub(crate) authority: String,
    /// Before `/v1`, for a hub behind a proxy that serves others too.
    pub(crate) path: String,
    tls: Option<Arc<rustls::ClientConfig>>,
}

impl Address {
    /// Reads an address. Where it is `https` and `tls` is none, the machine's own certificates are trusted.
    ///
    /// # Errors
    /// `bad_request`: it is no address of a hub.
    pub(crate) fn read(url: &str, tls: Option<Arc<rustls::ClientConfig>>) -> Result<Self, Error> {
        let wrong = |why: &str| {
            Error::new(
                "bad_request",
                format!("{url} is no address of a hub: {why}"),
            )
        };
        let read: http::Uri = url.parse().map_err(|_| wrong("it cannot be read"))?;
        let (port, is_encrypted) = match read.scheme_str() {
            Some("http" | "ws") => (80, false),
            Some("https" | "wss") => (443, true),
            _ => return Err(wrong("it has to begin with http:// or https://")),
        };
        let authority = read.authority().ok_or_else(|| wrong("it names no host"))?;
        let host = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']');
        let tls = match (is_encrypted, tls) {
            (false, _) => None,
            (true, Some(tls)) => Some(tls),
            (true, None) => Some(machine_tls().map_err(|error| wrong(&error.to_string()))?),
        };
        Ok(Self {
            host: host.to_owned(),
            port: authority.port_u16().unwrap_or(port),
            authority: authority
                .as_str()
                .rsplit('@')
                .next()
                .unwrap_or_default()
                .to_owned(),
            path: read.path().trim_end_matches('/').to_owned(),
            tls,
        })
    }

    /// Connects.
    pub(crate) async fn dial(&self) -> Result<Wire, Loss> {
        let socket = TcpStream::connect((self.host.as_str(), self.port)).await;
        let socket = socket.map_err(Loss::broken)?;
        socket.set_nodelay(true).map_err(Loss::broken)?;
        let Some(tls) = &self.tls else {
            return Ok(Either::Left(socket));
        };
        let name = ServerName::try_from(self.host.clone()).map_err(Loss::broken)?;
        let connector = TlsConnector::from(Arc::clone(tls));
        let encrypted = connector.connect(name, socket).await;
        Ok(Either::Right(encrypted.map_err(untrusted)?))
    }
}

fn untrusted(error: io::Error) -> Loss {
    distrust(&error).map_or_else(|| Loss::broken(error), Loss::Untrusted)
}

/// Trusts whom the machine trusts.
fn machine_tls() -> Result<Arc<rustls::ClientConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_platform_verifier()?
        .with_no_client_auth();
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        for (url, host, port, authority, path) in [
            ("http://hub", "hub", 80, "hub", ""),
            ("ws://hub:8000/", "hub", 8000, "hub:8000", ""),
            ("http://hub/realtime/", "hub", 80, "hub", "/realtime"),
            ("http://[::1]:8000", "::1", 8000, "[::1]:8000", ""),
        ] {
            let read = Address::read(url, None).unwrap();
            assert_eq!((read.host.as_str(), read.port), (host, port), "{url}");
            assert_eq!(
                (read.authority.as_str(), read.path.as_str()),
                (authority, path),
                "{url}"
            );
            assert!(read.tls.is_none());
        }
        for url in ["", "hub", "hub:8000", "ftp://hub", "http://"] {
            assert_eq!(
                Address::read(url, None).unwrap_err().code(),
                "bad_request",
                "{url}"
            );
        }
    }

    #[test]
    fn https_is_encrypted() {
        let read = Address::read("https://hub", None).unwrap();
        assert!(read.tls.is_some() && read.port == 443);
    }
}

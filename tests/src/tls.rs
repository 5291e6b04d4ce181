//! TLS from the client's side: an authority of the test's own, the files a hub is given, and a tunnel by which clients that
//! speak plainly are heard in TLS.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::hub::write_file;

/// The name that the hub's certificate is for.
pub const NAME: &str = "localhost";

/// Signs certificates; nobody outside the test trusts it.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key, as PEM.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

impl Authority {
    /// Makes one.
    ///
    /// # Errors
    /// No key can be made.
    pub fn new() -> Result<Self> {
        // Nothing else chooses one for the test's process; a second choice is the same.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Who signs and who is signed must not have one name, or OpenSSL takes one for the other.
        (params.distinguished_name).push(DnType::CommonName, "the authority of a test");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        Ok(Self { issuer })
    }

    /// Its own certificate, as PEM.
    pub fn certificate(&self) -> String {
        pem("CERTIFICATE", self.issuer.der())
    }

    /// Signs a certificate for a name.
    ///
    /// # Errors
    /// The name is none.
    pub fn identity(&self, name: &str) -> Result<Identity> {
        let key = KeyPair::generate()?;
        let certificate =
            CertificateParams::new(vec![name.to_owned()])?.signed_by(&key, &self.issuer)?;
        Ok(Identity {
            certificate: pem("CERTIFICATE", certificate.der()),
            key: pem("PRIVATE KEY", key.serialized_der()),
        })
    }

    /// Connects and agrees on one of these protocols (ALPN).
    ///
    /// # Errors
    /// The other side is not there, or is not whom this authority has signed.
    pub async fn connect(
        &self,
        address: SocketAddr,
        protocols: &[&str],
    ) -> Result<TlsStream<TcpStream>> {
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        let name = ServerName::try_from(NAME)?;
        Ok(self.connector(protocols)?.connect(name, tcp).await?)
    }

    fn connector(&self, protocols: &[&str]) -> Result<TlsConnector> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone())?;
        let mut config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols
            .iter()
            .map(|name| name.as_bytes().into())
            .collect();
        Ok(TlsConnector::from(Arc::new(config)))
    }
}

impl Identity {
    /// Writes the two files and gives them as TOML strings: the certificate's path and the key's.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn write(&self, directory: &Path, name: &str) -> Result<(String, String)> {
        let write = |suffix: &str, content: &str| {
            let path = write_file(directory, &format!("{name}.{suffix}"), content)?;
            Ok::<_, anyhow::Error>(format!("'{}'", path.display()))
        };
        Ok((write("pem", &self.certificate)?, write("key", &self.key)?))
    }
}

/// A port on which whatever is said plainly is said to the hub in TLS. Ended with this, with all that goes through it.
#[derive(Debug)]
pub struct Tunnel {
    /// Where to speak plainly.
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Tunnel {
    /// Opens a tunnel whose connections agree on `protocol`.
    ///
    /// # Errors
    /// The hub does not speak TLS as it should, or agrees on something else.
    pub async fn open(authority: &Authority, hub: SocketAddr, protocol: &str) -> Result<Self> {
        let first = authority.connect(hub, &[protocol]).await?;
        let agreed = first.get_ref().1.alpn_protocol();
        anyhow::ensure!(
            agreed == Some(protocol.as_bytes()),
            "{protocol} was offered, and {agreed:?} agreed on"
        );
        let connector = authority.connector(&[protocol])?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((plain, _)) = listener.accept().await {
                connections.spawn(carry(connector.clone(), plain, hub));
            }
        });
        Ok(Self { address, task })
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Carries one connection to its end. Whatever ends it, both sides see an end: there is nobody here to tell.
async fn carry(connector: TlsConnector, mut plain: TcpStream, hub: SocketAddr) -> io::Result<()> {
    plain.set_nodelay(true)?;
    let tcp = TcpStream::connect(hub).await?;
    tcp.set_nodelay(true)?;
    let name = ServerName::try_from(NAME).map_err(io::Error::other)?;
    let mut tls = connector.connect(name, tcp).await?;
    copy_bidirectional(&mut plain, &mut tls).await?;
    Ok(())
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<_> = text
        .as_bytes()
        .chunks(64)
        .map(|line| String::from_utf8_lossy(line))
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}

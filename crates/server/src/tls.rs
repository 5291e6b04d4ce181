//! TLS of the listeners and of the tools: PEM files into a rustls configuration.

use std::fmt;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use rustls_platform_verifier::BuilderVerifierExt;

/// The texts of a listener's PEM files.
#[derive(Clone)]
pub(crate) struct PemFiles {
    /// Certificate chain, the listener's own first.
    pub(crate) cert: String,
    /// Its private key.
    pub(crate) key: String,
    /// Certificates that must have signed a caller's own, for mutual TLS.
    pub(crate) client_ca: Option<String>,
}

impl fmt::Debug for PemFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PemFiles")
            .field("client_ca", &self.client_ca.is_some())
            .finish_non_exhaustive()
    }
}

/// Makes aws-lc the process's cryptography; rustls panics at its first use where nobody has chosen.
pub(crate) fn install_provider() {
    // Only a second call fails, and then the first one holds.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
}

/// A server's configuration that offers these protocols by ALPN.
///
/// # Errors
/// A file holds no certificate or key, or the two are no pair.
pub(crate) fn server_config(
    files: &PemFiles,
    protocols: &[&[u8]],
) -> Result<Arc<rustls::ServerConfig>> {
    let chain = certificates(&files.cert).context("tls_cert_file")?;
    let key = PrivateKeyDer::from_pem_slice(files.key.as_bytes())
        .map_err(|error| anyhow!("tls_key_file holds no private key: {error}"))?;
    let builder = rustls::ServerConfig::builder();
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(pem) => {
            let roots = authorities(pem).context("tls_client_ca_file")?;
            let verifier = WebPkiClientVerifier::builder(Arc::new(roots))
                .build()
                .context("tls_client_ca_file")?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder
        .with_single_cert(chain, key)
        .context("tls_cert_file and tls_key_file do not fit")?;
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(Arc::new(config))
}

/// A client's configuration that trusts the certificates of `authorities_pem`, or those that the system does.
///
/// # Errors
/// The text holds no certificate, or the system's cannot be read.
pub(crate) fn client_config(authorities_pem: Option<&str>) -> Result<ClientConfig> {
    let builder = ClientConfig::builder();
    Ok(match authorities_pem {
        Some(pem) => builder.with_root_certificates(authorities(pem)?),
        None => builder.with_platform_verifier()?,
    }
    .with_no_client_auth())
}

fn authorities(pem: &str) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots.add(certificate)?;
    }
    Ok(roots)
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| anyhow!("not PEM: {error}"))?;
    if certificates.is_empty() {
        return Err(anyhow!("holds no certificate"));
    }
    Ok(certificates)
}

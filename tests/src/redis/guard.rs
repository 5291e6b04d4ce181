//! Servers that let in nobody they do not know: TLS, users and passwords, of servers and of Sentinels.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::config::Config;
use crate::hub::write_file;
use crate::tls::Authority;

/// Whom the hub is to servers and to Sentinels.
const USER: &str = "switchboard";

/// The rights that the engine needs, as its documentation gives them.
const RIGHTS: &str =
    "~sb* &sb* -@all +@read +@write +@scripting +@pubsub +@connection +time +info +role +cluster";

/// The same of Sentinels.
const SENTINEL_RIGHTS: &str =
    "-@all +auth +hello +client|id +info +sentinel|get-master-addr-by-name +sentinel|sentinels";

/// What a server asks for, and who may answer.
#[derive(Debug)]
pub struct Guard {
    files: TempDir,
    /// The password of the hub's user.
    pub password: String,
    /// The same of Sentinels.
    pub sentinel_password: String,
    /// The password by which servers, Sentinels and tests know each other.
    pub(super) own: String,
}

impl Guard {
    /// Makes one, with an authority that nobody else trusts.
    ///
    /// # Errors
    /// No key can be made or written.
    pub fn new() -> Result<Arc<Self>> {
        let files = TempDir::with_prefix("switchboard-guard-")?;
        let authority = Authority::new()?;
        let identity = authority.identity("127.0.0.1")?;
        for (name, content) in [
            ("authority.pem", authority.certificate()),
            ("server.pem", identity.certificate),
            ("server.key", identity.key),
        ] {
            write_file(files.path(), name, &content)?;
        }
        let secret = || format!("{:032x}", rand::random::<u128>());
        Ok(Arc::new(Self {
            files,
            password: secret(),
            sentinel_password: secret(),
            own: secret(),
        }))
    }

    /// Where the authority's certificate is.
    pub fn authority(&self) -> PathBuf {
        self.files.path().join("authority.pem")
    }

    /// Has a hub show whom it is.
    pub fn tell(&self, config: &mut Config) {
        let quoted = |path: &Path| format!("'{}'", path.display());
        config
            .set("engine.redis.tls_ca_file", &quoted(&self.authority()))
            .set("engine.redis.user", &format!("{USER:?}"))
            .set("engine.redis.password", &format!("{:?}", self.password));
    }

    /// The same to Sentinels.
    pub(super) fn tell_sentinels(&self, config: &mut Config) {
        let password = format!("{:?}", self.sentinel_password);
        config
            .set("engine.redis.sentinel_user", &format!("{USER:?}"))
            .set("engine.redis.sentinel_password", &password);
    }

    /// What a server is started with to listen on `port`. Its plain port is left to the tests, who have a password there, too.
    pub(super) fn options(&self, port: u16) -> Result<String> {
        let files = self.files.path().to_str().context("a plain path")?;
        let Self { own, .. } = self;
        Ok(format!(
            "--tls-port {port} --tls-auth-clients no --tls-replication yes --tls-ca-cert-file {files}/authority.pem \
             --tls-cert-file {files}/server.pem --tls-key-file {files}/server.key --requirepass {own}"
        ))
    }

    /// What a server is started with besides, which a Sentinel does not know.
    pub(super) fn server_options(&self) -> String {
        let Self { own, password, .. } = self;
        format!("--masterauth {own} --user {USER} on >{password} {RIGHTS}")
    }

    /// What a Sentinel has in its configuration after it was told of the service.
    pub(super) fn sentinel_text(&self, service: &str) -> String {
        let Self {
            own,
            sentinel_password,
            ..
        } = self;
        format!(
            "sentinel auth-pass {service} {own}\n\
             sentinel sentinel-pass {own}\n\
             user {USER} on >{sentinel_password} {SENTINEL_RIGHTS}\n"
        )
    }

    /// What `redis-cli` is started with.
    pub(super) fn cli_arguments(&self) -> Vec<String> {
        let authority = self.authority().display().to_string();
        let arguments = [
            "--tls",
            "--cacert",
            &authority,
            "-a",
            &self.own,
            "--no-auth-warning",
        ];
        arguments.map(str::to_owned).to_vec()
    }
}

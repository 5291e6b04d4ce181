//! API keys: who calls the control API, and what for.
//!
//! A key has scopes and channel patterns; both must allow a call. **`admin` does not imply the other scopes**: it is for
//! the node's own affairs (nodes, drain), so that a key in a deploy script cannot read or publish.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use switchboard_core::{ChannelName, ChannelPattern, ClientError, ErrorCode};

use crate::cache::{Digest, sha256};

/// The fewest bytes of a secret given as text: 16 random characters cannot be guessed over a network.
pub const SECRET_BYTES_MIN: usize = 16;

/// The most bytes of a secret: what is longer is no key of ours and is not hashed.
pub const SECRET_BYTES_MAX: usize = 1024;

/// The most keys: each call is held against all of them.
pub const API_KEYS_MAX: usize = 1024;

/// What a caller may use. None implies another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// To publish to the key's channels.
    Publish,
    /// To read the key's channels: subscribe, history, presence.
    Read,
    /// To list sessions, send to them, subscribe, unsubscribe and disconnect them, and to answer their calls.
    Sessions,
    /// To issue and revoke tokens.
    Tokens,
    /// To list and drain nodes. It implies no other scope.
    Admin,
}

impl Scope {
    /// All scopes.
    pub const ALL: [Self; 5] = [
        Self::Publish,
        Self::Read,
        Self::Sessions,
        Self::Tokens,
        Self::Admin,
    ];

    /// The scope's name, as it is configured.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Read => "read",
            Self::Sessions => "sessions",
            Self::Tokens => "tokens",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is no scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown scope {0:?}: use publish, read, sessions, tokens or admin")]
pub struct UnknownScope(pub String);

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        Self::ALL
            .into_iter()
            .find(|scope| scope.as_str() == text)
            .ok_or_else(|| UnknownScope(text.to_owned()))
    }
}

/// One API key as it is configured.
#[derive(Clone, Debug)]
pub struct ApiKeyConfig {
    /// What logs and errors call it. No secret.
    pub name: String,
    /// The secret that callers bring.
    pub secret: ApiKeySecret,
    /// What it may use.
    pub scopes: Vec<Scope>,
    /// Which channels it may do that with; `*` for all, none for none.
    pub channels: Vec<ChannelPattern>,
}

/// A key's secret. Its `Debug` does not show it.
#[derive(Clone)]
pub enum ApiKeySecret {
    /// The secret itself, [`SECRET_BYTES_MIN`] to [`SECRET_BYTES_MAX`] bytes.
    Text(String),
    /// The SHA-256 of the secret, so that the configuration does not hold it. Only for random secrets: a hash of a word
    /// is soon turned back.
    Sha256([u8; 32]),
}

impl ApiKeySecret {
    /// Reads a SHA-256 from its 64 hex digits, as `sha256sum` prints it.
    ///
    /// # Errors
    /// [`ApiKeyError::BadSha256`], without a name.
    pub fn from_sha256_hex(hex: &str) -> Result<Self, ApiKeyError> {
        let bad = || ApiKeyError::BadSha256;
        if hex.len() != 64 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(bad());
        }
        let mut digest = [0; 32];
        for (byte, pair) in digest.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| bad())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| bad())?;
        }
        Ok(Self::Sha256(digest))
    }
}

impl fmt::Debug for ApiKeySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Why API keys were refused at configuration. It never quotes a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's message is its documentation")]
pub enum ApiKeyError {
    #[error("an API key has no name")]
    NoName,
    #[error("two API keys have the name {0:?}")]
    DuplicateName(String),
    #[error("API key {0:?} has the secret of another one")]
    DuplicateSecret(String),
    #[error(
        "API key {0:?}: the secret must have {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} bytes, without spaces"
    )]
    BadSecret(String),
    #[error("API key {0:?} has no scope, so it could do nothing")]
    NoScope(String),
    #[error("a SHA-256 must be 64 hex digits")]
    BadSha256,
    #[error("there are more than {API_KEYS_MAX} API keys")]
    TooMany,
}

/// Who calls: a key's name and what it may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The key's name.
    pub name: String,
    /// What it may use.
    pub scopes: Vec<Scope>,
    /// Which channels it may do that with.
    pub channels: Vec<ChannelPattern>,
}

impl Caller {
    /// Tells whether the caller has `scope` and, where a channel is meant, a pattern for it.
    ///
    /// # Errors
    /// `permission_denied`; the message says what is missing.
    pub fn may(&self, scope: Scope, channel: Option<&ChannelName>) -> Result<(), ClientError> {
        let denied = |what: String| {
            let name = &self.name;
            Err(ClientError::new(
                ErrorCode::PermissionDenied,
                format!("API key {name:?} lacks {what}"),
            ))
        };
        if !self.scopes.contains(&scope) {
            return denied(format!("the scope `{scope}`"));
        }
        match channel {
            Some(channel) if !self.channels.iter().any(|pattern| pattern.matches(channel)) => {
                denied(format!("a channel pattern for `{channel}`"))
            }
            _ => Ok(()),
        }
    }
}

/// The API keys of a hub.
pub struct ApiKeys {
    keys: Vec<(Digest, Arc<Caller>)>,
}

impl ApiKeys {
    /// Checks and hashes keys. With an empty list nobody is let in.
    ///
    /// # Errors
    /// See [`ApiKeyError`].
    pub fn new(configs: Vec<ApiKeyConfig>) -> Result<Self, ApiKeyError> {
        if configs.len() > API_KEYS_MAX {
            return Err(ApiKeyError::TooMany);
        }
        let mut names = HashSet::new();
        let mut digests = HashSet::new();
        let mut keys = Vec::with_capacity(configs.len());
        for ApiKeyConfig {
            name,
            secret,
            scopes,
            channels,
        } in configs
        {
            if name.is_empty() {
                return Err(ApiKeyError::NoName);
            }
            if !names.insert(name.clone()) {
                return Err(ApiKeyError::DuplicateName(name));
            }
            if scopes.is_empty() {
                return Err(ApiKeyError::NoScope(name));
            }
            let digest = match secret {
                ApiKeySecret::Text(text) if is_secret(&text) => sha256(text.as_bytes()),
                ApiKeySecret::Text(_) => return Err(ApiKeyError::BadSecret(name)),
                ApiKeySecret::Sha256(digest) => digest,
            };
            if !digests.insert(digest) {
                return Err(ApiKeyError::DuplicateSecret(name));
            }
            keys.push((
                digest,
                Arc::new(Caller {
                    name,
                    scopes,
                    channels,
                }),
            ));
        }
        Ok(Self { keys })
    }

    /// Tells whether there is no key, so that nobody is let in.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Finds whose secret this is: the credential alone, without `Bearer` (see [`bearer`](crate::bearer)). How long that
    /// takes does not depend on which key it is, nor on how much of one was guessed.
    ///
    /// # Errors
    /// `unauthenticated`.
    pub fn authenticate(&self, secret: &str) -> Result<Arc<Caller>, ClientError> {
        let unknown = || ClientError::new(ErrorCode::Unauthenticated, "unknown API key");
        if secret.len() > SECRET_BYTES_MAX {
            return Err(unknown());
        }
        let digest = sha256(secret.as_bytes());
        let mut found = Choice::from(0);
        let mut place = 0_u32;
        for (index, (known, _)) in (0..).zip(&self.keys) {
            let same = known.ct_eq(&digest);
            place.conditional_assign(&index, same);
            found |= same;
        }
        if !bool::from(found) {
            return Err(unknown());
        }
        let (_, caller) = &self.keys[place as usize];
        Ok(Arc::clone(caller))
    }
}

impl fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.keys.iter().map(|(_, caller)| caller))
            .finish()
    }
}

fn is_secret(text: &str) -> bool {
    (SECRET_BYTES_MIN..=SECRET_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic())
}

//! Issues tokens that the [`Verifier`](crate::Verifier) of the same hub takes.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde_json::value::RawValue;
use switchboard_core::{ClientError, ErrorCode, Grants, Limits};

use crate::claims::check_id;
use crate::clock::Clock;
use crate::grant_claim::{GrantClaim, compact_info};
use crate::keys::{Key, KeySet};

/// How tokens are issued.
#[derive(Clone, Debug)]
pub struct IssuerConfig {
    /// The id of the key to sign with; without one, the first that can sign.
    pub key_id: Option<String>,
    /// The `iss` of every token. To be one of the verifier's issuers, where it has any.
    pub issuer: Option<String>,
    /// The `aud` of a token whose request names none. To be one of the verifier's audiences, where it has any.
    pub audience: Option<String>,
    /// How long a token is good when the request does not say. Default 60 s: long enough to connect with.
    pub ttl_default: Duration,
    /// How long a token may be good at most. Default one day.
    pub ttl_max: Duration,
    /// Bytes of a token, as the verifier has it. Default as in [`Limits`].
    pub token_bytes_max: usize,
    /// Bytes of `info`, as the verifier has it. Default as in [`Limits`].
    pub info_bytes_max: usize,
}

impl Default for IssuerConfig {
    fn default() -> Self {
        Self {
            key_id: None,
            issuer: None,
            audience: None,
            ttl_default: Duration::from_mins(1),
            ttl_max: Duration::from_hours(24),
            token_bytes_max: Limits::default().token_bytes_max,
            info_bytes_max: Limits::default().info_bytes_max,
        }
    }
}

/// What a token is to say.
#[derive(Clone, Debug, Default)]
pub struct IssueRequest {
    /// The user (`sub`); without one the session is anonymous.
    pub user: Option<String>,
    /// How long it is good, from one second on; without it the issuer's default.
    pub ttl: Option<Duration>,
    /// What it grants.
    pub grants: Grants,
    /// JSON that presence shows beside the user, of at most [`IssuerConfig::info_bytes_max`] bytes.
    pub info: Option<String>,
    /// The audience (`aud`); without one the issuer's default.
    pub audience: Option<String>,
}

/// A fresh token. Its `Debug` does not show it.
#[derive(Clone)]
pub struct IssuedToken {
    /// The token.
    pub token: String,
    /// Its `jti`, random, for revoking it: 32 hex digits.
    pub token_id: String,
    /// When it ends (`exp`), milliseconds since 1970: whole seconds, never sooner than asked for.
    pub expires_at_ms: u64,
}

/// Why no token was issued.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    /// The user or the audience is no text that a token may carry.
    #[error("{field} {problem}")]
    BadText {
        /// Which field.
        field: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// `info` is not JSON, too large or too deep.
    #[error("{0}")]
    BadInfo(String),
    /// The time to live is under a second or above the most allowed.
    #[error("ttl must be 1 to {ttl_max_seconds} seconds")]
    BadTtl {
        /// The most, in seconds.
        ttl_max_seconds: u64,
    },
    /// The token would be larger than the hub takes.
    #[error("the token would have {bytes} bytes, more than {bytes_max}: grant fewer patterns")]
    TooLarge {
        /// What it would have.
        bytes: usize,
        /// What is allowed.
        bytes_max: usize,
    },
    /// The key did not sign, or the machine gave no randomness.
    #[error("the token could not be signed")]
    Signing,
}

impl From<IssueError> for ClientError {
    fn from(error: IssueError) -> Self {
        let code = match error {
            IssueError::Signing => ErrorCode::Internal,
            IssueError::TooLarge { .. } => ErrorCode::LimitExceeded,
            IssueError::BadText { .. } | IssueError::BadInfo(_) | IssueError::BadTtl { .. } => {
                ErrorCode::BadRequest
            }
        };
        Self::new(code, error.to_string())
    }
}

/// Issues tokens.
pub struct Issuer {
    keys: Arc<KeySet>,
    config: IssuerConfig,
    clock: Clock,
}

#[derive(Serialize)]
struct Header<'a> {
    typ: &'static str,
    alg: jsonwebtoken::Algorithm,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<&'a str>,
}

#[derive(Serialize)]
struct Claims<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'a str>,
    iat: u64,
    exp: u64,
    jti: &'a str,
    switchboard: GrantClaim<'a>,
}

impl Issuer {
    /// Makes an issuer; nothing when no key of the set (or not the named one) can sign.
    pub fn new(keys: KeySet, config: IssuerConfig, clock: Clock) -> Option<Self> {
        keys.signing_key(config.key_id.as_deref())?;
        Some(Self {
            keys: Arc::new(keys),
            config,
            clock,
        })
    }

    /// Issues a token.
    ///
    /// # Errors
    /// See [`IssueError`]; as a [`ClientError`] it has the code that callers see.
    pub fn issue(&self, request: &IssueRequest) -> Result<IssuedToken, IssueError> {
        let config = &self.config;
        let audience = request.audience.as_deref().or(config.audience.as_deref());
        for (field, text) in [("user", request.user.as_deref()), ("audience", audience)] {
            text.map_or(Ok(()), check_id)
                .map_err(|problem| IssueError::BadText { field, problem })?;
        }
        let ttl = request.ttl.unwrap_or(config.ttl_default);
        if ttl < Duration::from_secs(1) || ttl > config.ttl_max {
            return Err(IssueError::BadTtl {
                ttl_max_seconds: config.ttl_max.as_secs(),
            });
        }
        let now_ms = (self.clock)();
        let exp = now_ms
            .saturating_add(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX))
            .div_ceil(1000);
        let parse = |json| parse_info(json, config.info_bytes_max);
        let info = request.info.as_deref().map(parse).transpose()?;
        let token_id = random_id().ok_or(IssueError::Signing)?;
        let claims = Claims {
            iss: config.issuer.as_deref(),
            sub: request.user.as_deref(),
            aud: audience,
            iat: now_ms / 1000,
            exp,
            jti: &token_id,
            switchboard: GrantClaim::new(&request.grants, info.as_deref()),
        };
        let token = sign(self.key(), &claims).ok_or(IssueError::Signing)?;
        if token.len() > config.token_bytes_max {
            return Err(IssueError::TooLarge {
                bytes: token.len(),
                bytes_max: config.token_bytes_max,
            });
        }
        Ok(IssuedToken {
            token,
            token_id,
            expires_at_ms: exp.saturating_mul(1000),
        })
    }

    fn key(&self) -> &Key {
        self.keys
            .signing_key(self.config.key_id.as_deref())
            .expect("checked when the issuer was made")
    }
}

fn sign(key: &Key, claims: &Claims<'_>) -> Option<String> {
    let alg = key.signing_algorithm();
    let header = serde_json::to_vec(&Header {
        typ: "JWT",
        alg,
        kid: key.id(),
    })
    .ok()?;
    let mut token = URL_SAFE_NO_PAD.encode(header);
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(serde_json::to_vec(claims).ok()?, &mut token);
    let signature = key.sign(token.as_bytes(), alg)?;
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    Some(token)
}

fn parse_info(json: &str, bytes_max: usize) -> Result<Box<RawValue>, IssueError> {
    let raw: Box<RawValue> = serde_json::from_str(json)
        .map_err(|_| IssueError::BadInfo("`info` must be JSON".to_owned()))?;
    compact_info(raw.get(), bytes_max).map_err(IssueError::BadInfo)?;
    Ok(raw)
}

fn random_id() -> Option<String> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    Some(format!("{:032x}", u128::from_be_bytes(bytes)))
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer")
            .field("key", self.key())
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for IssuedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuedToken")
            .field("token", &"[redacted]")
            .field("token_id", &self.token_id)
            .field("expires_at_ms", &self.expires_at_ms)
            .finish()
    }
}

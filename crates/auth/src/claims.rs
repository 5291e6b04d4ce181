//! The claims of a token whose signature has proved good (RFC 7519, section 4.1).
//!
//! The order of the checks matters to the bearer: `exp` comes last, so `token_expired` means that everything else is
//! right and a fresh token will do.

use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use switchboard_core::identity::USER_ID_BYTES_MAX;
use switchboard_core::{ErrorCode, Grants, Identity, TokenError, UserId};

use crate::cache::Verified;
use crate::grant_claim;
use crate::token::refuse;

/// The end of the year 9999 in seconds: what lies beyond was most likely written in milliseconds, and would never expire.
const NUMERIC_DATE_MAX: u64 = 253_402_300_799;

/// What the claims are held against.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) audiences: Vec<String>,
    pub(crate) issuers: Vec<String>,
    pub(crate) require_exp: bool,
    pub(crate) leeway_ms: u64,
    pub(crate) info_bytes_max: usize,
}

/// Every claim as it stands in the token: types are checked one by one, so that the error names the claim. What serde
/// would say instead quotes the value.
#[derive(Deserialize)]
struct RawClaims<'a> {
    #[serde(borrow)]
    sub: Option<&'a RawValue>,
    #[serde(borrow)]
    exp: Option<&'a RawValue>,
    #[serde(borrow)]
    nbf: Option<&'a RawValue>,
    #[serde(borrow)]
    iss: Option<&'a RawValue>,
    #[serde(borrow)]
    aud: Option<&'a RawValue>,
    #[serde(borrow)]
    iat: Option<&'a RawValue>,
    #[serde(borrow)]
    jti: Option<&'a RawValue>,
    #[serde(borrow)]
    switchboard: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl Rules {
    /// Reads and checks the claims at `now_ms`.
    pub(crate) fn check(&self, json: &[u8], now_ms: u64) -> Result<Verified, TokenError> {
        let claims: RawClaims<'_> = serde_json::from_slice(json).map_err(|_| {
            refuse("the token's claims must be a JSON object in which no claim stands twice")
        })?;

        let user = read_id("sub", claims.sub)?.map(UserId::from);
        let token_id = read_id("jti", claims.jti)?.map(String::into_boxed_str);
        let expires_at_ms = read_date("exp", claims.exp)?;
        let not_before_ms = read_date("nbf", claims.nbf)?;
        let issued_at_ms = read_date("iat", claims.iat)?.unwrap_or(0);
        let (grants, info): (Grants, Option<Bytes>) = claims
            .switchboard
            .map(|claim| grant_claim::read(claim, self.info_bytes_max))
            .transpose()?
            .unwrap_or_default();

        self.check_issuer(claims.iss)?;
        self.check_audience(claims.aud)?;
        let valid_from_ms = not_before_ms.unwrap_or(0).saturating_sub(self.leeway_ms);
        if now_ms < valid_from_ms {
            return Err(refuse("the token is not valid yet (nbf)"));
        }
        if expires_at_ms.is_none() && self.require_exp {
            return Err(refuse("the token must say when it expires (exp)"));
        }
        let valid_until_ms = expires_at_ms.map_or(u64::MAX, |at| at.saturating_add(self.leeway_ms));
        if now_ms >= valid_until_ms {
            let message = "the token has expired (exp): bring a new one".to_owned();
            return Err(TokenError {
                code: ErrorCode::TokenExpired,
                message,
            });
        }

        let identity = Identity {
            user,
            info,
            grants: Arc::new(grants),
            expires_at_ms,
            token_id,
            issued_at_ms: Some(issued_at_ms),
        };
        Ok(Verified {
            identity: Arc::new(identity),
            valid_from_ms,
            valid_until_ms,
        })
    }

    fn check_issuer(&self, iss: Option<&RawValue>) -> Result<(), TokenError> {
        let issuer: Option<String> = read("iss", iss, "a text")?;
        if self.issuers.is_empty() {
            return Ok(());
        }
        match issuer {
            Some(issuer) if self.issuers.contains(&issuer) => Ok(()),
            Some(_) => Err(refuse(
                "the token comes from an issuer (iss) that is not accepted here",
            )),
            None => Err(refuse("the token must name its issuer (iss)")),
        }
    }

    /// A token that names an audience is for nobody else (RFC 7519, section 4.1.3): with none configured it is refused,
    /// or a token for some other service of the same issuer would open a session here.
    fn check_audience(&self, aud: Option<&RawValue>) -> Result<(), TokenError> {
        let audiences = match read("aud", aud, "a text or a list of texts")? {
            None if self.audiences.is_empty() => return Ok(()),
            None => return Err(refuse("the token must name its audience (aud)")),
            Some(OneOrMany::One(audience)) => vec![audience],
            Some(OneOrMany::Many(audiences)) => audiences,
        };
        if self.audiences.is_empty() {
            return Err(refuse(
                "the token is for an audience (aud), and this hub has none configured",
            ));
        }
        let ours = audiences
            .iter()
            .any(|audience| self.audiences.contains(audience));
        if ours {
            Ok(())
        } else {
            Err(refuse("the token is for another audience (aud)"))
        }
    }
}

/// Tells what is wrong with a text as a `sub` or `jti`, if anything is.
pub(crate) fn check_id(id: &str) -> Result<(), &'static str> {
    // They become keys in shared state, and `sub` travels with every publication.
    if id.is_empty() || id.len() > USER_ID_BYTES_MAX {
        return Err("must have 1 to 255 bytes");
    }
    if id.chars().any(char::is_control) {
        Err("must not have control characters")
    } else {
        Ok(())
    }
}

fn read_id(name: &str, raw: Option<&RawValue>) -> Result<Option<String>, TokenError> {
    let id: Option<String> = read(name, raw, "a text")?;
    if let Some(id) = &id {
        check_id(id).map_err(|problem| refuse(format!("claim `{name}` {problem}")))?;
    }
    Ok(id)
}

/// A NumericDate: seconds since 1970, possibly with a fraction. In milliseconds.
fn read_date(name: &str, raw: Option<&RawValue>) -> Result<Option<u64>, TokenError> {
    const KIND: &str = "a number of seconds since 1970";
    let Some(raw) = raw else { return Ok(None) };
    let bad = || refuse(format!("claim `{name}` must be {KIND}"));
    let seconds: f64 = read(name, Some(raw), KIND)?.ok_or_else(bad)?;
    if seconds < 0.0 {
        return Err(bad());
    }
    #[allow(
        clippy::cast_sign_loss,
        reason = "negative ones were refused; casts of floats saturate"
    )]
    let (whole, whole_ms) = (seconds as u64, (seconds * 1000.0) as u64);
    if whole > NUMERIC_DATE_MAX {
        return Err(refuse(format!(
            "claim `{name}` lies beyond the year 9999: it is in seconds, not milliseconds"
        )));
    }
    // Seconds below the year 9999 have fewer than 2^53 milliseconds, so the float is exact where the claim is whole.
    Ok(Some(whole_ms))
}

fn read<T: DeserializeOwned>(
    name: &str,
    raw: Option<&RawValue>,
    kind: &str,
) -> Result<Option<T>, TokenError> {
    raw.map(|raw| {
        serde_json::from_str(raw.get())
            .map_err(|_| refuse(format!("claim `{name}` must be {kind}")))
    })
    .transpose()
}

//! A token's outer form: three base64url parts, and the header that says how it was signed.

use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, AlgorithmFamily};
use serde::Deserialize;
use serde::de::IgnoredAny;
use switchboard_core::{ErrorCode, TokenError};

/// A token taken apart; nothing of it is to be believed yet.
pub(crate) struct Parts<'t> {
    /// What the signature is over: header and claims, with the dot.
    pub(crate) signed: &'t str,
    pub(crate) signature: Vec<u8>,
    pub(crate) algorithm: Algorithm,
    pub(crate) key_id: Option<String>,
    claims: &'t str,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<IgnoredAny>,
}

impl<'t> Parts<'t> {
    /// Takes a token apart (RFC 7515, section 5.2).
    pub(crate) fn parse(token: &'t str) -> Result<Self, TokenError> {
        let malformed =
            || refuse("the token is malformed: it must be a JWT of three base64url parts");
        let (signed, signature) = token.rsplit_once('.').ok_or_else(malformed)?;
        let (header, claims) = signed.split_once('.').ok_or_else(malformed)?;
        if claims.contains('.') || signature.is_empty() {
            return Err(malformed());
        }
        let header = URL_SAFE_NO_PAD.decode(header).map_err(|_| malformed())?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| malformed())?;
        let header: Header = serde_json::from_slice(&header)
            .map_err(|_| refuse("the token's header is malformed"))?;
        if header.crit.is_some() {
            return Err(refuse(
                "the token's header has critical extensions (crit), and none is known here",
            ));
        }
        // `none` is no algorithm here, so it ends as every unknown name does.
        let algorithm = Algorithm::from_str(&header.alg).map_err(|_| algorithm_refused())?;
        Ok(Self {
            signed,
            signature,
            algorithm,
            key_id: header.kid,
            claims,
        })
    }

    /// The claims' JSON. To be called when the signature has proved good.
    pub(crate) fn decode_claims(&self) -> Result<Vec<u8>, TokenError> {
        URL_SAFE_NO_PAD
            .decode(self.claims)
            .map_err(|_| refuse("the token's claims are not base64url"))
    }

    /// Tells whether checking the signature takes microseconds, so that it may be done on a shard's thread.
    pub(crate) fn is_cheap(&self) -> bool {
        self.algorithm.family() == AlgorithmFamily::Hmac
    }
}

pub(crate) fn algorithm_refused() -> TokenError {
    refuse("the token's algorithm is not allowed for its key")
}

/// An `unauthenticated` error. The message must not quote the token.
pub(crate) fn refuse(message: impl Into<String>) -> TokenError {
    TokenError {
        code: ErrorCode::Unauthenticated,
        message: message.into(),
    }
}

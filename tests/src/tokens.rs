//! Tokens: good ones, and hostile ones.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::config::{AUDIENCE, ISSUER};
use crate::secrets::Secrets;

/// Seconds since 1970.
///
/// # Panics
/// The clock stands before 1970.
pub fn now_s() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("the clock is past 1970")
        .as_secs()
}

/// The claims of a token.
#[derive(Clone, Debug)]
pub struct Claims(Value);

impl Claims {
    /// Good for an hour, granting everything.
    pub fn of(user: &str) -> Self {
        Self(json!({
            "sub": user,
            "iss": ISSUER,
            "aud": AUDIENCE,
            "exp": now_s() + 3600,
            "switchboard": {"subscribe": ["*"], "publish": ["*"], "presence": ["*"], "history": ["*"]},
        }))
    }

    /// Sets a claim.
    #[must_use]
    pub fn with(mut self, claim: &str, value: impl Into<Value>) -> Self {
        self.0[claim] = value.into();
        self
    }

    /// Leaves a claim out.
    ///
    /// # Panics
    /// Never: claims are an object.
    #[must_use]
    pub fn without(mut self, claim: &str) -> Self {
        self.0
            .as_object_mut()
            .expect("claims are an object")
            .remove(claim);
        self
    }

    /// Sets what is granted.
    #[must_use]
    pub fn grants(self, grants: Value) -> Self {
        self.with("switchboard", grants)
    }

    /// The token ends so many seconds from now; a fraction is kept.
    #[must_use]
    pub fn ends_in(self, seconds: f64) -> Self {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0.0, |now| now.as_secs_f64());
        self.with("exp", now + seconds)
    }

    /// The claims as JSON.
    pub fn json(&self) -> &Value {
        &self.0
    }
}

/// Signs tokens with one key.
#[derive(Clone)]
pub struct Minter {
    key: EncodingKey,
    algorithm: Algorithm,
    id: Option<String>,
    secrets: Secrets,
}

impl std::fmt::Debug for Minter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Minter")
            .field("algorithm", &self.algorithm)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Minter {
    /// A minter with a shared secret (HS256).
    pub fn new(id: &str, secret: &[u8], secrets: Secrets) -> Self {
        Self {
            key: EncodingKey::from_secret(secret),
            algorithm: Algorithm::HS256,
            id: Some(id.to_owned()),
            secrets,
        }
    }

    /// The same hub's secrets, another key.
    #[must_use]
    pub fn with_key(&self, id: Option<&str>, algorithm: Algorithm, key: EncodingKey) -> Self {
        Self {
            key,
            algorithm,
            id: id.map(str::to_owned),
            secrets: self.secrets.clone(),
        }
    }

    /// The same key under another id, or under none.
    #[must_use]
    pub fn with_id(&self, id: Option<&str>) -> Self {
        Self {
            id: id.map(str::to_owned),
            ..self.clone()
        }
    }

    /// Signs a token.
    ///
    /// # Panics
    /// The key is not of the algorithm's family.
    pub fn mint(&self, claims: &Claims) -> String {
        let mut header = Header::new(self.algorithm);
        header.kid.clone_from(&self.id);
        let token = jsonwebtoken::encode(&header, claims.json(), &self.key)
            .expect("the key fits its algorithm");
        self.secrets.add(&token);
        token
    }

    /// A token with this header and no valid signature, such as one of `alg: none`.
    pub fn forge(&self, header: &Value, claims: &Claims, signature: &[u8]) -> String {
        let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let token = format!(
            "{}.{}.{}",
            part(header),
            part(claims.json()),
            URL_SAFE_NO_PAD.encode(signature)
        );
        self.secrets.add(&token);
        token
    }
}

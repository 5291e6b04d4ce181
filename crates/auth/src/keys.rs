//! Static keys: which algorithms each of them is for, and which of them a token is checked with.
//!
//! **The list of algorithms belongs to the key, never to the token.** A token's header only chooses among keys whose own
//! list names its algorithm, so `alg: none` and an RSA public key used as an HMAC secret are not cases to be caught:
//! there is no way to write them down.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature as lc;
use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;
use jsonwebtoken::{AlgorithmFamily, DecodingKey, EncodingKey};

pub use jsonwebtoken::Algorithm;

/// The most keys of one set. A token without a `kid` is tried against each of its family: that must stay cheap.
pub const KEYS_MAX: usize = 32;

/// The least RSA modulus, in bytes: 2048 bits (RFC 7518, section 3.3).
const RSA_MODULUS_BYTES_MIN: usize = 256;

const ALGORITHM_NAMES: &str =
    "HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA";

/// One key as it is configured.
#[derive(Clone)]
pub struct KeyConfig {
    /// What tokens name it by (`kid`). Without one, the key is tried for tokens that have no `kid`.
    pub id: Option<String>,
    /// What it may be used with: at least one, all of one family. The issuer signs with the first.
    pub algorithms: Vec<Algorithm>,
    /// The key itself.
    pub material: KeyMaterial,
}

/// The bytes of a key.
#[derive(Clone)]
pub enum KeyMaterial {
    /// A shared secret, for HS256 (32 bytes at least), HS384 (48) and HS512 (64). Checks and signs.
    Secret(Vec<u8>),
    /// A public key, for RS, PS, ES and EdDSA: PEM with the label `PUBLIC KEY` (or `RSA PUBLIC KEY`). Only checks.
    PemPublic(String),
    /// A key pair. Checks and signs.
    PemPair {
        /// PEM with the label `PRIVATE KEY` (PKCS #8; or `RSA PRIVATE KEY`), not encrypted.
        private: String,
        /// As in [`KeyMaterial::PemPublic`].
        public: String,
    },
}

/// Why a key was refused at configuration. It never quotes the key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct KeyError {
    /// Which key: its id, or its place in the list, from 1.
    pub key: String,
    /// What is wrong with it.
    pub problem: KeyProblem,
}

/// What is wrong with a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's message is its documentation")]
pub enum KeyProblem {
    #[error("unknown algorithm {0:?}: use one of {ALGORITHM_NAMES}")]
    UnknownAlgorithm(String),
    #[error("no algorithm is named: use one or more of {ALGORITHM_NAMES}")]
    NoAlgorithm,
    #[error("{0:?} and {1:?} need different kinds of key: make two keys of it")]
    MixedFamilies(Algorithm, Algorithm),
    #[error("{algorithm:?} needs a secret of {bytes_min} bytes at least, this one has {bytes}")]
    SecretTooShort {
        algorithm: Algorithm,
        bytes: usize,
        bytes_min: usize,
    },
    #[error(
        "the secret is a PEM text: a public key known to everyone must not become an HMAC secret"
    )]
    SecretIsPem,
    #[error("{0:?} needs a PEM key, not a secret")]
    NeedsPem(Algorithm),
    #[error("{0:?} needs a secret, not a PEM key")]
    NeedsSecret(Algorithm),
    #[error("the public key must be PEM with the label `PUBLIC KEY` or `RSA PUBLIC KEY`")]
    PublicLabel,
    #[error(
        "the private key must be PEM with the label `PRIVATE KEY` (PKCS #8, not encrypted) or `RSA PRIVATE KEY`: \
         `openssl pkcs8 -topk8 -nocrypt` makes one"
    )]
    PrivateLabel,
    #[error("the PEM text is no key that {0:?} can use")]
    WrongKeyType(Algorithm),
    #[error("RSA keys must have 2048 bits at least")]
    RsaTooShort,
    #[error("the private and the public key are no pair")]
    NoPair,
    #[error("the id is empty")]
    EmptyId,
    #[error("another key has the same id")]
    DuplicateId,
    #[error("there are more than {KEYS_MAX} keys")]
    TooManyKeys,
}

/// Parses an algorithm's name, for example `HS256`; an unknown one is answered with the list of the known.
///
/// # Errors
/// [`KeyProblem::UnknownAlgorithm`].
pub fn parse_algorithm(name: &str) -> Result<Algorithm, KeyProblem> {
    Algorithm::from_str(name).map_err(|_| KeyProblem::UnknownAlgorithm(name.to_owned()))
}

/// Keys that have been checked and parsed, ready to verify tokens and, some of them, to sign.
#[derive(Debug)]
pub struct KeySet {
    keys: Vec<Key>,
    have_ids: bool,
}

/// One parsed key.
pub(crate) struct Key {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    decoding: DecodingKey,
    encoding: Option<EncodingKey>,
}

/// Why no key could be chosen for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoKey {
    UnknownId,
    Algorithm,
}

impl KeySet {
    /// Parses keys. An empty list is allowed: then no token is good.
    ///
    /// # Errors
    /// See [`KeyProblem`]; the error names the key.
    pub fn new(configs: Vec<KeyConfig>) -> Result<Self, KeyError> {
        let mut ids = HashSet::new();
        let mut keys = Vec::with_capacity(configs.len().min(KEYS_MAX));
        for (index, config) in configs.into_iter().enumerate() {
            let name = match &config.id {
                Some(id) => format!("key {id:?}"),
                None => format!("key {}", index + 1),
            };
            let refuse = |problem| KeyError {
                key: name.clone(),
                problem,
            };
            if index >= KEYS_MAX {
                return Err(refuse(KeyProblem::TooManyKeys));
            }
            if let Some(id) = &config.id {
                if id.is_empty() {
                    return Err(refuse(KeyProblem::EmptyId));
                }
                if !ids.insert(id.clone()) {
                    return Err(refuse(KeyProblem::DuplicateId));
                }
            }
            keys.push(Key::new(config).map_err(refuse)?);
        }
        Ok(Self {
            keys,
            have_ids: !ids.is_empty(),
        })
    }

    /// The number of keys.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Tells whether there is no key, so that no token can be good.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The keys that a token with this header may have been signed with: the one its `kid` names, or all that are for its
    /// algorithm. A `kid` means nothing to a set without ids (many libraries always write one).
    pub(crate) fn candidates(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Vec<&Key>, NoKey> {
        let named: Vec<&Key> = match kid {
            Some(kid) if self.have_ids => {
                let found = self.keys.iter().find(|key| key.id.as_deref() == Some(kid));
                vec![found.ok_or(NoKey::UnknownId)?]
            }
            _ => self.keys.iter().collect(),
        };
        let fitting: Vec<&Key> = named
            .into_iter()
            .filter(|key| key.algorithms.contains(&algorithm))
            .collect();
        if fitting.is_empty() {
            Err(NoKey::Algorithm)
        } else {
            Ok(fitting)
        }
    }

    /// The key to sign with: the one with `id`, or the first that can.
    pub(crate) fn signing_key(&self, id: Option<&str>) -> Option<&Key> {
        self.keys
            .iter()
            .filter(|key| id.is_none() || key.id.as_deref() == id)
            .find(|key| key.encoding.is_some())
    }
}

impl Key {
    fn new(config: KeyConfig) -> Result<Self, KeyProblem> {
        let KeyConfig {
            id,
            algorithms,
            material,
        } = config;
        let first = *algorithms.first().ok_or(KeyProblem::NoAlgorithm)?;
        if let Some(&other) = algorithms
            .iter()
            .find(|other| other.family() != first.family())
        {
            return Err(KeyProblem::MixedFamilies(first, other));
        }
        let shared = first.family() == AlgorithmFamily::Hmac;
        let key = match material {
            KeyMaterial::Secret(_) if !shared => return Err(KeyProblem::NeedsPem(first)),
            KeyMaterial::PemPublic(_) | KeyMaterial::PemPair { .. } if shared => {
                return Err(KeyProblem::NeedsSecret(first));
            }
            KeyMaterial::Secret(secret) => {
                check_secret(&secret, &algorithms)?;
                let decoding = DecodingKey::from_secret(&secret);
                let encoding = Some(EncodingKey::from_secret(&secret));
                Self {
                    id,
                    algorithms,
                    decoding,
                    encoding,
                }
            }
            KeyMaterial::PemPublic(public) => {
                let decoding = parse_public(&public, &algorithms)?;
                Self {
                    id,
                    algorithms,
                    decoding,
                    encoding: None,
                }
            }
            KeyMaterial::PemPair { private, public } => {
                let decoding = parse_public(&public, &algorithms)?;
                let encoding = Some(parse_private(&private, first)?);
                Self {
                    id,
                    algorithms,
                    decoding,
                    encoding,
                }
            }
        };
        if key.encoding.is_some() {
            // Signing once tells whether the private key is usable and belongs to the public one.
            let probe = b"switchboard";
            let signature = key
                .sign(probe, first)
                .ok_or(KeyProblem::WrongKeyType(first))?;
            if !key.verifies(probe, &signature, first) {
                return Err(KeyProblem::NoPair);
            }
        }
        Ok(key)
    }

    pub(crate) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The algorithm this key signs with.
    pub(crate) fn signing_algorithm(&self) -> Algorithm {
        self.algorithms[0]
    }

    /// Tells whether `signature` over `message` is this key's. An algorithm that is not on the key's list is never good.
    // The trait of the signature crate asks for a `Vec`.
    #[allow(
        clippy::ptr_arg,
        reason = "jsonwebtoken implements `Verifier<Vec<u8>>`"
    )]
    pub(crate) fn verifies(
        &self,
        message: &[u8],
        signature: &Vec<u8>,
        algorithm: Algorithm,
    ) -> bool {
        // The provider is named here, not taken from the process default: that one panics when some other crate of the
        // build turns on a second backend.
        self.algorithms.contains(&algorithm)
            && (DEFAULT_PROVIDER.verifier_factory)(&algorithm, &self.decoding)
                .is_ok_and(|verifier| verifier.verify(message, signature).is_ok())
    }

    /// Signs `message`; nothing when the key cannot.
    pub(crate) fn sign(&self, message: &[u8], algorithm: Algorithm) -> Option<Vec<u8>> {
        let signer = (DEFAULT_PROVIDER.signer_factory)(&algorithm, self.encoding.as_ref()?).ok()?;
        signer.try_sign(message).ok()
    }
}

fn check_secret(secret: &[u8], algorithms: &[Algorithm]) -> Result<(), KeyProblem> {
    const PEM_MARK: &[u8] = b"-----BEGIN";
    if secret
        .windows(PEM_MARK.len())
        .any(|window| window == PEM_MARK)
    {
        return Err(KeyProblem::SecretIsPem);
    }
    for &algorithm in algorithms {
        // RFC 7518, section 3.2: a key as long as the hash, or longer.
        let bytes_min = match algorithm {
            Algorithm::HS384 => 48,
            Algorithm::HS512 => 64,
            _ => 32,
        };
        if secret.len() < bytes_min {
            return Err(KeyProblem::SecretTooShort {
                algorithm,
                bytes: secret.len(),
                bytes_min,
            });
        }
    }
    Ok(())
}

fn parse_public(pem: &str, algorithms: &[Algorithm]) -> Result<DecodingKey, KeyProblem> {
    // jsonwebtoken would also take a private key or a certificate here, and fail at the first token.
    let labelled = ["PUBLIC KEY", "RSA PUBLIC KEY"]
        .iter()
        .any(|label| has_label(pem, label));
    if !labelled {
        return Err(KeyProblem::PublicLabel);
    }
    let first = algorithms[0];
    let parsed = match first.family() {
        AlgorithmFamily::Rsa => DecodingKey::from_rsa_pem(pem.as_bytes()),
        AlgorithmFamily::Ec => DecodingKey::from_ec_pem(pem.as_bytes()),
        AlgorithmFamily::Ed => DecodingKey::from_ed_pem(pem.as_bytes()),
        AlgorithmFamily::Hmac => return Err(KeyProblem::NeedsSecret(first)),
    };
    let key = parsed.map_err(|_| KeyProblem::WrongKeyType(first))?;
    for &algorithm in algorithms {
        let bytes = key
            .try_get_as_bytes()
            .map_err(|_| KeyProblem::WrongKeyType(algorithm))?;
        let parsed = match algorithm {
            Algorithm::ES256 => lc::ParsedPublicKey::new(&lc::ECDSA_P256_SHA256_FIXED, bytes),
            Algorithm::ES384 => lc::ParsedPublicKey::new(&lc::ECDSA_P384_SHA384_FIXED, bytes),
            Algorithm::EdDSA => lc::ParsedPublicKey::new(&lc::ED25519, bytes),
            _ => lc::ParsedPublicKey::new(&lc::RSA_PKCS1_2048_8192_SHA256, bytes),
        };
        if parsed.is_err() {
            return Err(KeyProblem::WrongKeyType(algorithm));
        }
        // The DER holds the modulus and little else, so a shorter DER has a shorter modulus.
        if algorithm.family() == AlgorithmFamily::Rsa && bytes.len() < RSA_MODULUS_BYTES_MIN {
            return Err(KeyProblem::RsaTooShort);
        }
    }
    Ok(key)
}

fn parse_private(pem: &str, algorithm: Algorithm) -> Result<EncodingKey, KeyProblem> {
    let labelled = ["PRIVATE KEY", "RSA PRIVATE KEY"]
        .iter()
        .any(|label| has_label(pem, label));
    if !labelled {
        return Err(KeyProblem::PrivateLabel);
    }
    let parsed = match algorithm.family() {
        AlgorithmFamily::Rsa => EncodingKey::from_rsa_pem(pem.as_bytes()),
        AlgorithmFamily::Ec => EncodingKey::from_ec_pem(pem.as_bytes()),
        AlgorithmFamily::Ed => EncodingKey::from_ed_pem(pem.as_bytes()),
        AlgorithmFamily::Hmac => return Err(KeyProblem::NeedsSecret(algorithm)),
    };
    parsed.map_err(|_| KeyProblem::WrongKeyType(algorithm))
}

fn has_label(pem: &str, label: &str) -> bool {
    pem.trim_start()
        .strip_prefix("-----BEGIN ")
        .is_some_and(|rest| {
            rest.strip_prefix(label)
                .is_some_and(|rest| rest.starts_with("-----"))
        })
}

impl fmt::Debug for KeyConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyConfig")
            .field("id", &self.id)
            .field("algorithms", &self.algorithms)
            .field("material", &self.material)
            .finish()
    }
}

impl fmt::Debug for KeyMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Secret(_) => "Secret([redacted])",
            Self::PemPublic(_) => "PemPublic",
            Self::PemPair { .. } => "PemPair([redacted])",
        })
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("id", &self.id)
            .field("algorithms", &self.algorithms)
            .field("signs", &self.encoding.is_some())
            .finish_non_exhaustive()
    }
}

//! Tokens, key sets and API keys: from a credential to what its bearer may do.
//!
//! Purpose: clients bring JSON Web Tokens, services bring API keys. This crate finds the credential among the parts of a
//! request, checks it against keys that were given as plain structs, and hands back an `Identity` or a [`Caller`].
//!
//! Deliberately absent: HTTP and gRPC types (inputs are texts), files and environment (keys come as bytes), revocation
//! (that is state, and state is shared: the node asks for it with the identity's user and token id), the fetching of key sets
//! over the network (whoever fetches one calls [`Verifier::replace_keys`]).
//!
//! Reading order: [`credential`] and [`origin`] (where a token comes from), [`keys`], `token`, `claims`, `grant_claim`
//! (what is checked), `cache`, [`verifier`]; then [`issuer`], which writes what the verifier reads; [`api_key`] for
//! services; [`redact`] for logs; [`clock`].
//!
//! To add an algorithm: its least secret length or its parser in [`keys`], a key pair in `tests/keys`, a row in
//! `tests/good_tokens.rs`. To add a key to the private claim: both directions in `grant_claim`.

pub mod api_key;
mod cache;
mod claims;
pub mod clock;
pub mod credential;
mod grant_claim;
pub mod issuer;
pub mod keys;
pub mod origin;
pub mod redact;
mod token;
pub mod verifier;

pub use api_key::{ApiKeyConfig, ApiKeyError, ApiKeySecret, ApiKeys, Caller, Scope, UnknownScope};
pub use clock::{Clock, system_clock};
pub use credential::{Credential, CredentialError, CredentialInput, Source, bearer, extract};
pub use issuer::{IssueError, IssueRequest, IssuedToken, Issuer, IssuerConfig};
pub use keys::{Algorithm, KeyConfig, KeyError, KeyMaterial, KeyProblem, KeySet, parse_algorithm};
pub use origin::{AllowedOrigins, OriginConfigError, OriginError, check_origin};
pub use redact::redact;
pub use verifier::{Verifier, VerifierConfig};

//! Verifies tokens: signature, times, audience, issuer; then what they grant.
//!
//! A check with a shared secret takes microseconds and is done where it is asked for. One with a public key takes tens to
//! hundreds, so it leaves the caller's thread, at most as many at once as there are processors: a flood of forged tokens
//! then costs its senders their turn, not the sessions theirs.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use switchboard_core::identity::BoxFuture;
use switchboard_core::{ErrorCode, Identity, Limits, TokenError, TokenVerifier};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::cache::{Cache, Digest, sha256};
use crate::claims::Rules;
use crate::clock::Clock;
use crate::keys::{KeySet, NoKey};
use crate::token::{Parts, algorithm_refused, refuse};

/// How tokens are checked.
#[derive(Debug)]
pub struct VerifierConfig {
    /// The keys that tokens may be signed with.
    pub keys: KeySet,
    /// Audiences (`aud`) that are ours: a token must name one. Empty: a token must name none.
    pub audiences: Vec<String>,
    /// Issuers (`iss`) that are accepted: a token must name one. Empty: whoever holds a key.
    pub issuers: Vec<String>,
    /// Whether a token must say when it expires. Default: yes; without an end a stolen token is good for ever.
    pub require_exp: bool,
    /// How far the clocks of issuer and hub may be apart. Default 5 s.
    pub leeway: Duration,
    /// Bytes of a token; larger ones are refused unread. Default as in [`Limits`].
    pub token_bytes_max: usize,
    /// Bytes of a token's `info`. Default as in [`Limits`].
    pub info_bytes_max: usize,
    /// Verified tokens that are remembered until they expire; 0 for none. Default 10,000, about 10 MB.
    pub cache_len_max: usize,
    /// Checks with public keys that run at once. Default: the number of processors.
    pub checks_max: usize,
}

impl VerifierConfig {
    /// The defaults, with these keys.
    pub fn new(keys: KeySet) -> Self {
        Self {
            keys,
            audiences: Vec::new(),
            issuers: Vec::new(),
            require_exp: true,
            leeway: Duration::from_secs(5),
            token_bytes_max: Limits::default().token_bytes_max,
            info_bytes_max: Limits::default().info_bytes_max,
            cache_len_max: 10_000,
            checks_max: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

/// Verifies tokens; implements [`TokenVerifier`]. Cloning is a reference count.
#[derive(Clone)]
pub struct Verifier {
    checker: Arc<Checker>,
    clock: Clock,
    runtime: Option<Handle>,
    checks: Arc<Semaphore>,
}

struct Checker {
    keys: RwLock<Arc<KeySet>>,
    rules: Rules,
    token_bytes_max: usize,
    cache: Cache,
}

impl Verifier {
    /// Makes a verifier that does all its checks where it is asked.
    pub fn new(config: VerifierConfig, clock: Clock) -> Self {
        let rules = Rules {
            audiences: config.audiences,
            issuers: config.issuers,
            require_exp: config.require_exp,
            leeway_ms: u64::try_from(config.leeway.as_millis()).unwrap_or(u64::MAX),
            info_bytes_max: config.info_bytes_max,
        };
        let checker = Checker {
            keys: RwLock::new(Arc::new(config.keys)),
            rules,
            token_bytes_max: config.token_bytes_max,
            cache: Cache::new(config.cache_len_max),
        };
        let checks = Arc::new(Semaphore::new(
            config.checks_max.clamp(1, Semaphore::MAX_PERMITS),
        ));
        Self {
            checker: Arc::new(checker),
            clock,
            runtime: None,
            checks,
        }
    }

    /// Lets checks with public keys run on the blocking threads of `runtime`.
    #[must_use]
    pub fn with_runtime(mut self, runtime: Handle) -> Self {
        self.runtime = Some(runtime);
        self
    }

    /// Verifies a token as of `now_ms` (milliseconds since 1970), here and now.
    ///
    /// # Errors
    /// `token_expired` when nothing but the time is wrong, otherwise `unauthenticated`.
    pub fn verify_now(&self, token: &str, now_ms: u64) -> Result<Arc<Identity>, TokenError> {
        self.checker.check_size(token)?;
        self.checker.verify(token, now_ms)
    }

    /// Replaces the keys and forgets every token that was verified with the old ones. Sessions that are open stay.
    pub fn replace_keys(&self, keys: KeySet) {
        let count = keys.len();
        *self
            .checker
            .keys
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
        self.checker.cache.clear();
        tracing::info!(keys = count, "token keys replaced");
    }

    /// The number of tokens remembered, for metrics.
    pub fn cached_len(&self) -> usize {
        self.checker.cache.len()
    }
}

impl TokenVerifier for Verifier {
    fn verify<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Arc<Identity>, TokenError>> {
        Box::pin(async move {
            self.checker.check_size(token)?;
            let now_ms = (self.clock)();
            let Some(runtime) = &self.runtime else {
                return self.checker.verify(token, now_ms);
            };
            let digest = sha256(token.as_bytes());
            if let Some(identity) = self.checker.cache.find(&digest, now_ms) {
                return Ok(identity);
            }
            let parts = Parts::parse(token)?;
            if parts.is_cheap() {
                return self.checker.check(&parts, digest, now_ms);
            }
            let Ok(permit) = Arc::clone(&self.checks).acquire_owned().await else {
                return Err(not_checked());
            };
            let (checker, clock, token) = (
                Arc::clone(&self.checker),
                Arc::clone(&self.clock),
                token.to_owned(),
            );
            let check = runtime.spawn_blocking(move || {
                // Held by the work, not by who waits for it: a caller that gives up frees no processor.
                let _permit = permit;
                // From the start: many sessions may have come with this token, and one of them was first.
                checker.verify(&token, clock())
            });
            check.await.unwrap_or_else(|error| {
                tracing::error!(%error, "token check did not finish");
                Err(not_checked())
            })
        })
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("keys", &*self.checker.keys())
            .field("rules", &self.checker.rules)
            .finish_non_exhaustive()
    }
}

impl Checker {
    fn check_size(&self, token: &str) -> Result<(), TokenError> {
        if token.len() > self.token_bytes_max {
            return Err(refuse(format!(
                "the token has more than {} bytes",
                self.token_bytes_max
            )));
        }
        Ok(())
    }

    fn verify(&self, token: &str, now_ms: u64) -> Result<Arc<Identity>, TokenError> {
        let digest = sha256(token.as_bytes());
        if let Some(identity) = self.cache.find(&digest, now_ms) {
            return Ok(identity);
        }
        self.check(&Parts::parse(token)?, digest, now_ms)
    }

    fn check(
        &self,
        parts: &Parts<'_>,
        digest: Digest,
        now_ms: u64,
    ) -> Result<Arc<Identity>, TokenError> {
        // Before the keys are read: see `Cache::clear`.
        let keys_epoch = self.cache.keys_epoch();
        self.check_signature(parts)?;
        let verified = self.rules.check(&parts.decode_claims()?, now_ms)?;
        let identity = Arc::clone(&verified.identity);
        self.cache.insert(digest, verified, keys_epoch);
        Ok(identity)
    }

    fn check_signature(&self, parts: &Parts<'_>) -> Result<(), TokenError> {
        let keys = self.keys();
        let candidates = keys
            .candidates(parts.key_id.as_deref(), parts.algorithm)
            .map_err(|no_key| match no_key {
                NoKey::UnknownId => refuse("the token names a key (kid) that is not known here"),
                NoKey::Algorithm => algorithm_refused(),
            })?;
        let message = parts.signed.as_bytes();
        let good = candidates
            .iter()
            .any(|key| key.verifies(message, &parts.signature, parts.algorithm));
        if good {
            Ok(())
        } else {
            Err(refuse("the token's signature does not match"))
        }
    }

    fn keys(&self) -> Arc<KeySet> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn not_checked() -> TokenError {
    TokenError {
        code: ErrorCode::Unavailable,
        message: "the token could not be checked: try again".to_owned(),
    }
}

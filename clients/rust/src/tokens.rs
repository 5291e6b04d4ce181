//! Where tokens come from, and when a new one is asked for.

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::time::Instant;

use crate::Error;
use crate::timing::TOKEN_SPARE;

/// Why a token is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenReason {
    /// For a connection.
    Connect,
    /// The present one is about to end.
    Expiring,
    /// The present one was refused.
    Refused,
}

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// There will be none: the client stops.
    #[error("no token is given: {0}")]
    Denied(String),
    /// There is none at the moment: the client asks again.
    #[error("no token at the moment: {0}")]
    Unavailable(String),
}

/// A token on its way.
pub(crate) type Fetch = BoxFuture<'static, Result<String, TokenError>>;

/// Asks the application for a token.
pub(crate) type Fetcher = Arc<dyn Fn(TokenReason) -> Fetch + Send + Sync>;

/// The present token, and where the next one comes from.
pub(crate) struct Tokens {
    present: Option<String>,
    fetcher: Option<Fetcher>,
    ends_at: Option<Instant>,
}

/// What an opening has to do about its token.
pub(crate) enum ForOpening {
    Use(Option<String>),
    Fetch(Fetch),
    Stop(Error),
}

impl Tokens {
    pub(crate) fn new(present: Option<String>, fetcher: Option<Fetcher>) -> Self {
        Self {
            present,
            fetcher,
            ends_at: None,
        }
    }

    /// What an opening is to use; `fresh` where the present token was refused.
    pub(crate) fn for_opening(&self, fresh: bool, now: Instant) -> ForOpening {
        let Some(fetcher) = &self.fetcher else {
            if fresh {
                let message = "the token was refused, and nobody is there to give another one";
                return ForOpening::Stop(Error::new("token_failed", message));
            }
            return ForOpening::Use(self.present.clone());
        };
        let lasts = self.ends_at.is_none_or(|at| at > now + TOKEN_SPARE);
        match &self.present {
            Some(token) if !fresh && lasts => ForOpening::Use(Some(token.clone())),
            _ if fresh => ForOpening::Fetch(fetcher(TokenReason::Refused)),
            _ => ForOpening::Fetch(fetcher(TokenReason::Connect)),
        }
    }

    /// Asks for another, while the present one still holds; nothing where there is none to be had.
    pub(crate) fn renew(&self) -> Option<Fetch> {
        self.fetcher
            .as_ref()
            .map(|fetcher| fetcher(TokenReason::Expiring))
    }

    /// Takes in a token that was fetched.
    pub(crate) fn keep(&mut self, token: String) {
        self.present = Some(token);
        self.ends_at = None;
    }

    /// The hub said when the present token ends.
    pub(crate) fn ends_at(&mut self, at: Instant) {
        self.ends_at = Some(at);
    }

    pub(crate) fn present(&self) -> Option<String> {
        self.present.clone()
    }

    pub(crate) fn can_renew(&self) -> bool {
        self.fetcher.is_some()
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A token is a secret.
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn told(tokens: &Tokens, fresh: bool, now: Instant) -> &'static str {
        match tokens.for_opening(fresh, now) {
            ForOpening::Use(Some(_)) => "use",
            ForOpening::Use(None) => "anonymous",
            ForOpening::Fetch(_) => "fetch",
            ForOpening::Stop(_) => "stop",
        }
    }

    #[tokio::test]
    async fn a_token_is_used_while_it_lasts_and_was_not_refused() {
        let now = Instant::now();
        assert_eq!(told(&Tokens::new(None, None), false, now), "anonymous");
        let fixed = Tokens::new(Some("t".to_owned()), None);
        assert_eq!(
            (told(&fixed, false, now), told(&fixed, true, now)),
            ("use", "stop")
        );
        assert!(fixed.renew().is_none());
        let fetcher: Fetcher = Arc::new(|reason| {
            Box::pin(async move { Err(TokenError::Denied(format!("{reason:?}"))) })
        });
        let mut fetched = Tokens::new(None, Some(fetcher));
        assert_eq!(told(&fetched, false, now), "fetch");
        fetched.keep("t".to_owned());
        assert_eq!(
            (told(&fetched, false, now), told(&fetched, true, now)),
            ("use", "fetch")
        );
        fetched.ends_at(now + Duration::from_secs(1));
        assert_eq!(told(&fetched, false, now), "fetch");
        let reason = fetched.renew().expect("it can").await;
        assert_eq!(reason, Err(TokenError::Denied("Expiring".to_owned())));
    }
}

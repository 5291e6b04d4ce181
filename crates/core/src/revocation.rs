//! Tokens that are withdrawn before they expire.

use std::collections::HashMap;
use std::time::Duration;

use crate::{Identity, UserId};

/// How many revocations are kept at once: each node has all of them in memory, some 100 bytes each.
pub const REVOCATIONS_MAX: usize = 100_000;

/// How long a revocation is kept where nobody says: longer than tokens commonly live.
pub const REVOCATION_KEEP: Duration = Duration::from_hours(24 * 30);

/// Which tokens are withdrawn.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RevokedTokens {
    /// A user's.
    User(UserId),
    /// The one with this `jti`.
    Token(Box<str>),
    /// Everybody's.
    All,
}

/// A withdrawal of tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// Which ones.
    pub tokens: RevokedTokens,
    /// Only those issued before this time (the token's `iat`), milliseconds since 1970. A token that does not say when it
    /// was issued counts as older than any. For a single token `u64::MAX`, whenever it was issued.
    pub before_ms: u64,
    /// How long it is kept, milliseconds since 1970: no shorter than the tokens live.
    pub until_ms: u64,
}

/// There is no room for another revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{REVOCATIONS_MAX} revocations are kept: no more are taken until some are over")]
pub struct TooManyRevocations;

/// All revocations that hold. `iat` counts in whole seconds, so a token issued in the second of its user's revocation is revoked
/// as well.
#[derive(Clone, Debug, Default)]
pub struct Revocations {
    users: HashMap<UserId, Span>,
    tokens: HashMap<Box<str>, Span>,
    all: Option<Span>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Span {
    before_ms: u64,
    until_ms: u64,
}

impl Span {
    /// Makes it reach as far as the other one, too; tells whether it did not before.
    fn merge(&mut self, other: Span) -> bool {
        let merged = Self {
            before_ms: self.before_ms.max(other.before_ms),
            until_ms: self.until_ms.max(other.until_ms),
        };
        std::mem::replace(self, merged) != merged
    }
}

impl Revocations {
    /// Adds one, or makes the one of the same tokens reach further; tells whether anything is new.
    ///
    /// # Errors
    /// When there are too many, those that are over not counted.
    pub fn insert(
        &mut self,
        revocation: Revocation,
        now_ms: u64,
    ) -> Result<bool, TooManyRevocations> {
        let Revocation {
            tokens,
            before_ms,
            until_ms,
        } = revocation;
        let span = Span {
            before_ms,
            until_ms,
        };
        if self.len() >= REVOCATIONS_MAX && !self.has(&tokens) {
            self.forget(now_ms);
            if self.len() >= REVOCATIONS_MAX {
                return Err(TooManyRevocations);
            }
        }
        Ok(match tokens {
            RevokedTokens::User(user) => self.users.entry(user).or_default().merge(span),
            RevokedTokens::Token(id) => self.tokens.entry(id).or_default().merge(span),
            RevokedTokens::All => self.all.get_or_insert_default().merge(span),
        })
    }

    /// All that still hold.
    pub fn all(&self, now_ms: u64) -> Vec<Revocation> {
        let users = self.users.iter();
        let users = users.map(|(user, span)| (RevokedTokens::User(user.clone()), span));
        let tokens = self.tokens.iter();
        let tokens = tokens.map(|(id, span)| (RevokedTokens::Token(id.clone()), span));
        let all = self.all.iter().map(|span| (RevokedTokens::All, span));
        users
            .chain(tokens)
            .chain(all)
            .filter(|(_, span)| span.until_ms > now_ms)
            .map(|(tokens, span)| Revocation {
                tokens,
                before_ms: span.before_ms,
                until_ms: span.until_ms,
            })
            .collect()
    }

    /// All that still hold and that `kept` has not, or not as far.
    pub fn beyond(&self, kept: &[Revocation], now_ms: u64) -> Vec<Revocation> {
        let mut others = Self::default();
        for revocation in kept {
            // What does not fit there does not fit here.
            let _ = others.insert(revocation.clone(), now_ms);
        }
        let mut all = self.all(now_ms);
        all.retain(|revocation| others.insert(revocation.clone(), now_ms) == Ok(true));
        all
    }

    /// Whether the token that the identity comes from is withdrawn. Who came without a token has none to be withdrawn.
    pub fn revoke(&self, identity: &Identity, now_ms: u64) -> bool {
        let Some(issued_ms) = identity.issued_at_ms else {
            return false;
        };
        let user = identity.user.as_ref().and_then(|user| self.users.get(user));
        let token = identity.token_id.as_ref();
        let token = token.and_then(|id| self.tokens.get(id));
        [user, token, self.all.as_ref()]
            .into_iter()
            .flatten()
            .any(|span| issued_ms < span.before_ms && now_ms < span.until_ms)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many are kept, those that are over and not yet forgotten included.
    pub fn len(&self) -> usize {
        self.users.len() + self.tokens.len() + usize::from(self.all.is_some())
    }

    fn has(&self, tokens: &RevokedTokens) -> bool {
        match tokens {
            RevokedTokens::User(user) => self.users.contains_key(user),
            RevokedTokens::Token(id) => self.tokens.contains_key(id),
            RevokedTokens::All => self.all.is_some(),
        }
    }

    fn forget(&mut self, now_ms: u64) {
        self.users.retain(|_, span| span.until_ms > now_ms);
        self.tokens.retain(|_, span| span.until_ms > now_ms);
        self.all = self.all.filter(|span| span.until_ms > now_ms);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn identity(user: &str, token: Option<&str>, issued_at_ms: Option<u64>) -> Identity {
        Identity {
            user: Some(user.into()),
            info: None,
            grants: Arc::default(),
            expires_at_ms: None,
            token_id: token.map(Into::into),
            issued_at_ms,
        }
    }

    fn revoked(tokens: RevokedTokens, before_ms: u64, until_ms: u64) -> Revocation {
        Revocation {
            tokens,
            before_ms,
            until_ms,
        }
    }

    fn check(revocations: &[&Revocation], identity: &Identity, now_ms: u64, expected: bool) {
        let mut kept = Revocations::default();
        for revocation in revocations {
            kept.insert((*revocation).clone(), now_ms).unwrap();
        }
        assert_eq!(
            kept.revoke(identity, now_ms),
            expected,
            "{revocations:?} {identity:?}"
        );
    }

    #[test]
    fn a_revocation_meets_its_tokens_until_its_time_is_over() {
        let alice = || RevokedTokens::User("alice".into());
        let old = identity("alice", Some("t1"), Some(1000));
        check(&[&revoked(alice(), 1500, 9000)], &old, 2000, true);
        check(&[&revoked(alice(), 1500, 9000)], &old, 9000, false);
        check(&[&revoked(alice(), 1000, 9000)], &old, 2000, false);
        let bob = identity("bob", Some("t2"), Some(1000));
        check(&[&revoked(alice(), 1500, 9000)], &bob, 2000, false);
        let all = revoked(RevokedTokens::All, 1500, 9000);
        check(&[&all], &bob, 2000, true);
        check(&[&all], &identity("bob", None, Some(0)), 2000, true);
        check(&[&all], &identity("bob", None, None), 2000, false);
        let one = revoked(RevokedTokens::Token("t1".into()), u64::MAX, 9000);
        check(&[&one], &old, 2000, true);
        check(&[&one], &bob, 2000, false);
    }

    #[test]
    fn the_later_of_two_holds_whichever_came_first() {
        let user = || RevokedTokens::User("alice".into());
        let (early, late) = (revoked(user(), 1000, 9000), revoked(user(), 2000, 8000));
        let token = identity("alice", None, Some(1500));
        check(&[&early, &late], &token, 8500, true);
        check(&[&late, &early], &token, 8500, true);
    }

    #[test]
    fn what_others_lack_is_told_until_it_is_over() {
        let user = |before_ms| revoked(RevokedTokens::User("alice".into()), before_ms, 9000);
        let token = revoked(RevokedTokens::Token("t1".into()), u64::MAX, 5000);
        let mut kept = Revocations::default();
        for revocation in [user(2000), token.clone()] {
            kept.insert(revocation, 0).unwrap();
        }
        let lacked = |others: &[Revocation], now_ms| kept.beyond(others, now_ms);
        assert_eq!(lacked(&[user(2000), token.clone()], 0), []);
        assert_eq!(lacked(&[user(3000)], 0), std::slice::from_ref(&token));
        assert_eq!(lacked(&[user(1000), token], 0), [user(2000)]);
        assert_eq!(lacked(&[], 5000), [user(2000)], "the token's is over");
    }

    #[test]
    fn too_many_are_refused_until_some_are_over() {
        let mut kept = Revocations::default();
        let one = |n: usize| revoked(RevokedTokens::Token(n.to_string().into()), u64::MAX, 100);
        for n in 0..REVOCATIONS_MAX {
            kept.insert(one(n), 0).unwrap();
        }
        let further = one(REVOCATIONS_MAX);
        assert_eq!(kept.insert(further.clone(), 0), Err(TooManyRevocations));
        assert_eq!(kept.insert(one(7), 0), Ok(false), "it is kept already");
        assert_eq!(kept.insert(further, 100), Ok(true), "all others are over");
        assert_eq!(kept.len(), 1);
    }
}

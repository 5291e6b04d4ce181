//! Tokens that were found good, by their digest, until they expire.
//!
//! Two generations: what is new or used goes to the young one; when that is full it becomes the old one, and the old one
//! is let go. So the bound is hard, nothing is searched for a victim, and what is used stays. Tokens themselves are not
//! kept: a digest cannot be taken from memory and used. Refusals are not kept either: each bad token would push a good
//! one out.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use switchboard_core::Identity;

/// The SHA-256 of a token.
pub(crate) type Digest = [u8; 32];

/// What a good token says, and how long it stays good.
#[derive(Clone)]
pub(crate) struct Verified {
    pub(crate) identity: Arc<Identity>,
    /// Good from here on, milliseconds since 1970, leeway included.
    pub(crate) valid_from_ms: u64,
    /// Good until before this, milliseconds since 1970, leeway included.
    pub(crate) valid_until_ms: u64,
}

impl Verified {
    fn is_valid_at(&self, now_ms: u64) -> bool {
        (self.valid_from_ms..self.valid_until_ms).contains(&now_ms)
    }
}

pub(crate) struct Cache {
    generation_len_max: usize,
    generations: Mutex<Generations>,
}

#[derive(Default)]
struct Generations {
    young: HashMap<Digest, Verified>,
    old: HashMap<Digest, Verified>,
    /// How often the keys were replaced: what was checked with old keys must not come in afterwards.
    keys_epoch: u64,
}

impl Cache {
    /// A cache of at most `len_max` tokens, rounded up to an even number; 0 for none.
    pub(crate) fn new(len_max: usize) -> Self {
        Self {
            generation_len_max: len_max.div_ceil(2),
            generations: Mutex::default(),
        }
    }

    /// Finds a token that is still good at `now_ms`; one that is not is forgotten.
    pub(crate) fn find(&self, digest: &Digest, now_ms: u64) -> Option<Arc<Identity>> {
        let mut dropped = HashMap::new();
        let mut generations = self.lock();
        if let Some(found) = generations.young.get(digest) {
            if found.is_valid_at(now_ms) {
                return Some(Arc::clone(&found.identity));
            }
            generations.young.remove(digest);
            return None;
        }
        let found = generations
            .old
            .remove(digest)
            .filter(|found| found.is_valid_at(now_ms))?;
        let identity = Arc::clone(&found.identity);
        self.put(&mut generations, *digest, found, &mut dropped);
        drop(generations);
        // Thousands of identities end here, after the lock.
        drop(dropped);
        Some(identity)
    }

    /// Keeps a token that was checked with the keys of `keys_epoch`.
    pub(crate) fn insert(&self, digest: Digest, verified: Verified, keys_epoch: u64) {
        if self.generation_len_max == 0 {
            return;
        }
        let mut dropped = HashMap::new();
        let mut generations = self.lock();
        if generations.keys_epoch == keys_epoch {
            generations.old.remove(&digest);
            self.put(&mut generations, digest, verified, &mut dropped);
        }
        drop(generations);
        drop(dropped);
    }

    /// To be read before the keys are.
    pub(crate) fn keys_epoch(&self) -> u64 {
        self.lock().keys_epoch
    }

    /// Forgets everything. To be called after the keys have been replaced.
    pub(crate) fn clear(&self) {
        let mut generations = self.lock();
        let keys_epoch = generations.keys_epoch + 1;
        let dropped = mem::replace(
            &mut *generations,
            Generations {
                keys_epoch,
                ..Generations::default()
            },
        );
        drop(generations);
        drop(dropped);
    }

    /// The number of tokens kept.
    pub(crate) fn len(&self) -> usize {
        let generations = self.lock();
        generations.young.len() + generations.old.len()
    }

    fn put(
        &self,
        generations: &mut Generations,
        digest: Digest,
        verified: Verified,
        dropped: &mut HashMap<Digest, Verified>,
    ) {
        if generations.young.len() >= self.generation_len_max
            && !generations.young.contains_key(&digest)
        {
            let young = mem::take(&mut generations.young);
            *dropped = mem::replace(&mut generations.old, young);
        }
        generations.young.insert(digest, verified);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Generations> {
        // No step in between leaves the maps in a bad state.
        self.generations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The SHA-256 of `text`.
pub(crate) fn sha256(text: &[u8]) -> Digest {
    digest(&SHA256, text)
        .as_ref()
        .try_into()
        .expect("a SHA-256 digest has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verified(valid_until_ms: u64) -> Verified {
        let identity = Identity {
            user: None,
            info: None,
            grants: Arc::default(),
            expires_at_ms: Some(valid_until_ms),
            token_id: None,
            issued_at_ms: None,
        };
        Verified {
            identity: Arc::new(identity),
            valid_from_ms: 100,
            valid_until_ms,
        }
    }

    fn key(number: u64) -> Digest {
        sha256(&number.to_le_bytes())
    }

    #[test]
    fn never_holds_more_than_its_bound_and_keeps_what_is_used() {
        let cache = Cache::new(10);
        cache.insert(key(0), verified(1000), 0);
        for number in 1..1000 {
            cache.insert(key(number), verified(1000), 0);
            assert!(cache.len() <= 10, "{} kept", cache.len());
            assert!(
                cache.find(&key(0), 500).is_some(),
                "lost what was used, after {number}"
            );
        }
        assert!(
            cache.find(&key(1), 500).is_none(),
            "an old one was kept beyond the bound"
        );
        assert!(cache.find(&key(999), 500).is_some());
    }

    #[test]
    fn is_good_only_within_its_times() {
        let cache = Cache::new(10);
        for (now_ms, good) in [(99, false), (100, true), (999, true), (1000, false)] {
            cache.insert(key(1), verified(1000), 0);
            assert_eq!(cache.find(&key(1), now_ms).is_some(), good, "at {now_ms}");
        }
        assert_eq!(cache.len(), 0, "an expired token stays");
    }

    #[test]
    fn what_was_checked_with_replaced_keys_is_not_kept() {
        let cache = Cache::new(10);
        let before = cache.keys_epoch();
        cache.insert(key(1), verified(1000), before);
        cache.clear();
        assert!(cache.find(&key(1), 500).is_none());
        cache.insert(key(2), verified(1000), before);
        assert!(
            cache.find(&key(2), 500).is_none(),
            "came in after the keys were replaced"
        );
        cache.insert(key(3), verified(1000), cache.keys_epoch());
        assert!(cache.find(&key(3), 500).is_some());
    }

    #[test]
    fn a_cache_of_none_keeps_none() {
        let cache = Cache::new(0);
        cache.insert(key(1), verified(1000), 0);
        assert_eq!(cache.len(), 0);
    }
}

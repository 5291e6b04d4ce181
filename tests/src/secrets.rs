//! What must never appear in a log: every token, key and session key that a test has used.

use std::sync::{Arc, Mutex, PoisonError};

/// The secrets of one hub's test. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Secrets(Arc<Mutex<Vec<String>>>);

impl Secrets {
    /// Remembers a secret.
    pub fn add(&self, secret: impl Into<String>) {
        let secret = secret.into();
        // Shorter ones would be found in any text.
        if secret.len() >= 12 {
            self.0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(secret);
        }
    }

    /// The lines of a log that hold a secret, or the signature of one that is a token.
    pub fn leaks(&self, log: &str) -> Vec<String> {
        let secrets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut parts: Vec<&str> = Vec::new();
        for secret in secrets.iter() {
            parts.push(secret);
            // A token cut short is still worth something to whoever reads its claims.
            parts.extend(secret.split('.').skip(1).filter(|part| part.len() >= 16));
        }
        log.lines()
            .filter(|line| parts.iter().any(|part| line.contains(part)))
            .map(str::to_owned)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_shows_a_secret_or_a_part_of_a_token_is_found() {
        let secrets = Secrets::default();
        secrets.add("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJlLW9mLWl0");
        secrets.add("a-key-of-a-session");
        let check =
            |line: &str, leaks: bool| assert_eq!(!secrets.leaks(line).is_empty(), leaks, "{line}");
        check("token=[redacted] channel=chat:1", false);
        check(
            "GET /v1/ws?token=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJlLW9mLWl0",
            true,
        );
        check("cut short: eyJzdWIiOiJhbGljZSJ9.c2ln", true);
        check("signature c2lnbmF0dXJlLW9mLWl0", true);
        check("key a-key-of-a-session", true);
    }
}

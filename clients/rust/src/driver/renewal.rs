//! A new token for a session that goes on, before the present one ends.

use std::time::Duration;

use tokio::time::Instant;

use super::Driver;
use crate::commands::Refresh;
use crate::phase::{Phase, Renewal};
use crate::timing::RENEW_AGAIN;
use crate::tokens::TokenError;

impl Driver {
    /// By the hub's clock, for this machine's may be wrong.
    pub(super) fn plan_renewal(&mut self, expires_at: Option<u64>, hub_time: u64, now: Instant) {
        self.renewal = Renewal::No;
        let Some(expires_at) = expires_at else {
            return;
        };
        let left = Duration::from_millis(expires_at.saturating_sub(hub_time));
        self.parts.tokens.ends_at(now + left);
        if self.parts.tokens.can_renew() {
            // When three quarters of its time have passed.
            self.renewal = Renewal::At(now + left * 3 / 4);
        }
    }

    /// The hub's time, in milliseconds since 1970.
    pub(super) fn hub_time(&self, now: Instant) -> u64 {
        let Phase::Open(link) = &self.phase else {
            return 0;
        };
        link.opened.time + u64::try_from((now - link.opened_at).as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn begin_renewal(&mut self) {
        if matches!(self.renewal, Renewal::No | Renewal::At(_))
            && let Some(fetch) = self.parts.tokens.renew()
        {
            self.renewal = Renewal::Fetching(fetch);
        }
    }

    /// Brings the hub a new token before the present one ends.
    pub(super) fn renew(&mut self, fetched: Result<String, TokenError>) {
        let now = Instant::now();
        self.renewal = match fetched {
            Ok(token) => {
                let id = self.outbox.ask("refresh", &Refresh { token: &token });
                self.parts.tokens.keep(token);
                let until = now + self.parts.timing.request;
                Renewal::Told { id, until }
            }
            Err(_) => Renewal::At(now + RENEW_AGAIN),
        };
    }
}

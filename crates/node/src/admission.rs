//! Who may have a session: the bounds on sessions, kept before anything is accepted.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use switchboard_core::{ClientError, ErrorCode, Limits, UserId};

use crate::seats::Seat;
use crate::shared::Shared;

/// Counts sessions, and those of each user where that is bounded.
#[derive(Debug, Default)]
pub(crate) struct Admissions {
    sessions: AtomicUsize,
    turns: AtomicUsize,
    users: Mutex<HashMap<UserId, usize>>,
}

/// A place for one session; given back when it is dropped.
pub struct Admission {
    shared: Arc<Shared>,
    counted: Option<Box<Counted>>,
}

/// Where the sessions of a user are bounded.
struct Counted {
    /// The user, counted here.
    user: UserId,
    /// The session's seat among its user's on all nodes, if the engine could be asked.
    seat: Option<Seat>,
}

impl std::fmt::Debug for Admission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admission").finish_non_exhaustive()
    }
}

impl Admissions {
    /// Sessions that hold a place.
    pub(crate) fn sessions(&self) -> usize {
        self.sessions.load(Ordering::Relaxed)
    }

    /// Counts up with each call: whose turn it is.
    pub(crate) fn turn(&self) -> usize {
        self.turns.fetch_add(1, Ordering::Relaxed)
    }

    fn take(&self, limits: &Limits, user: Option<&UserId>) -> Result<Option<UserId>, ClientError> {
        let full = || {
            ClientError::new(
                ErrorCode::Unavailable,
                "this node has as many sessions as it takes: try again",
            )
            .retry_after(Duration::from_secs(5))
        };
        let max = if limits.sessions_max == 0 {
            usize::MAX
        } else {
            limits.sessions_max
        };
        self.sessions
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| {
                (n < max).then_some(n + 1)
            })
            .map_err(|_| full())?;
        let Some(user) = user.filter(|_| limits.sessions_per_user_max > 0) else {
            return Ok(None);
        };
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        let count = users.entry(user.clone()).or_insert(0);
        if *count >= limits.sessions_per_user_max {
            self.sessions.fetch_sub(1, Ordering::Relaxed);
            return Err(too_many());
        }
        *count += 1;
        Ok(Some(user.clone()))
    }
}

fn too_many() -> ClientError {
    let message = "this user has as many sessions as allowed: close one, then try again";
    ClientError::new(ErrorCode::LimitExceeded, message).retry_after(Duration::from_secs(10))
}

impl Admission {
    pub(crate) fn take(shared: &Arc<Shared>, user: Option<&UserId>) -> Result<Self, ClientError> {
        if shared.draining.load(Ordering::Relaxed) {
            let message = "this node is shutting down: try again, another will answer";
            return Err(ClientError::new(ErrorCode::Unavailable, message)
                .retry_after(Duration::from_secs(1)));
        }
        let user = shared.admissions.take(&shared.limits, user)?;
        Ok(Self {
            shared: Arc::clone(shared),
            counted: user.map(|user| Box::new(Counted { user, seat: None })),
        })
    }

    /// Counts the session among its user's on all nodes, where they are bounded. Where the engine does not answer, what this
    /// node has of the user is all that counts.
    ///
    /// # Errors
    /// `limit_exceeded`.
    pub(crate) async fn take_seat(&mut self) -> Result<(), ClientError> {
        let Some(counted) = &mut self.counted else {
            return Ok(());
        };
        // Its own before it is taken: a client that does not wait for the answer must not leave it behind.
        let seat = counted.seat.insert(self.shared.new_seat(&counted.user));
        match self.shared.take_seat(seat).await {
            Ok(true) => Ok(()),
            Ok(false) => {
                counted.seat = None;
                Err(too_many())
            }
            Err(error) => {
                tracing::warn!(%error, "a session could not be counted on all nodes");
                self.shared.metrics.openings_uncounted.inc();
                Ok(())
            }
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let admissions = &self.shared.admissions;
        admissions.sessions.fetch_sub(1, Ordering::Relaxed);
        if let Some(Counted { user, seat }) = self.counted.take().map(|counted| *counted) {
            if let Some(seat) = seat {
                self.shared.seats.leave(seat);
            }
            let mut users = admissions
                .users
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if let Some(count) = users.get_mut(&user) {
                *count -= 1;
                if *count == 0 {
                    users.remove(&user);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_hold_and_a_refused_session_takes_no_place() {
        let limits = Limits {
            sessions_max: 3,
            sessions_per_user_max: 2,
            ..Limits::default()
        };
        let admissions = Admissions::default();
        let alice: UserId = "alice".into();
        for _ in 0..2 {
            assert_eq!(
                admissions.take(&limits, Some(&alice)),
                Ok(Some(alice.clone()))
            );
        }
        assert_eq!(
            admissions.take(&limits, Some(&alice)).unwrap_err().code,
            ErrorCode::LimitExceeded
        );
        assert_eq!(admissions.take(&limits, None), Ok(None));
        assert_eq!(
            admissions.take(&limits, None).unwrap_err().code,
            ErrorCode::Unavailable
        );
        assert_eq!(admissions.sessions(), 3);
    }
}

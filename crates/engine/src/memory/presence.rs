//! The members of a channel.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use hashbrown::HashMap;
use switchboard_core::{Epoch, Member, SessionId, UserId};

use super::graces::GraceKey;
use crate::request::{Counts, EngineError, JoinRequest, MemberPage, MemberQuery};

/// The members of a channel, numbered in the order in which they joined: so pages are stable while others come and go.
#[derive(Default)]
pub(super) struct Members {
    by_number: BTreeMap<u64, Place>,
    /// Under the session that holds the place, and under the one that members are shown where that is another.
    by_session: HashMap<SessionId, u64>,
    users: HashMap<UserId, User>,
    anonymous: u64,
}

struct Place {
    member: Arc<Member>,
    /// The session whose leaving ends the membership: the member's own, or the one that took its place over.
    holder: SessionId,
    grace: Option<GraceKey>,
}

#[derive(Default)]
struct User {
    members: u32,
    /// The numbers of those within a grace, the longest waiting first.
    in_grace: Vec<u64>,
}

/// What a join did.
pub(super) enum Joined {
    /// It was a member already, or took a member's place; the grace that ended so.
    Unseen { grace: Option<GraceKey> },
    /// It is a new member.
    Announced(Arc<Member>),
    /// There are as many members as it allows.
    Full,
}

/// A member that went.
pub(super) struct Left {
    pub(super) member: Arc<Member>,
    /// The grace that it was in.
    pub(super) grace: Option<GraceKey>,
    /// Nobody is left.
    pub(super) is_last: bool,
}

impl Members {
    pub(super) fn counts(&self) -> Counts {
        let users = self.users.len() as u64 + self.anonymous;
        Counts {
            members: self.by_number.len() as u64,
            users,
        }
    }

    /// Makes a session a member; `number` is for a new one.
    pub(super) fn join(&mut self, request: &JoinRequest, number: u64, joined_ms: u64) -> Joined {
        if let Some(&place) = self.by_session.get(&request.session) {
            return self.come_back(place, request.session, number, joined_ms);
        }
        if let Some(place) = self.longest_in_grace(request.user.as_ref()) {
            return Joined::Unseen {
                grace: self.hold(place, request.session),
            };
        }
        if request
            .members_max
            .is_some_and(|max| self.by_number.len() as u64 >= max)
        {
            return Joined::Full;
        }
        self.insert(
            number,
            request.session,
            request.user.clone(),
            request.info.clone(),
            joined_ms,
        )
    }

    /// Starts a grace. Tells the number of the member; nothing where the session holds no place or is in a grace already.
    pub(super) fn start_grace(&mut self, session: SessionId, key: GraceKey) -> Option<u64> {
        let number = self.held_by(session)?;
        let place = self.by_number.get_mut(&number)?;
        if place.grace.is_some() {
            return None;
        }
        place.grace = Some(key);
        if let Some(user) = &place.member.user {
            self.users
                .get_mut(user)
                .expect("a member's user is counted")
                .in_grace
                .push(number);
        }
        Some(number)
    }

    /// Ends the membership that `session` holds.
    pub(super) fn leave(&mut self, session: SessionId) -> Option<Left> {
        let number = self.held_by(session)?;
        self.remove(number)
    }

    /// Ends a membership whose grace is out.
    pub(super) fn grace_is_out(&mut self, number: u64, key: GraceKey) -> Option<Left> {
        let still = self
            .by_number
            .get(&number)
            .is_some_and(|place| place.grace == Some(key));
        if still { self.remove(number) } else { None }
    }

    /// A session is in `place` already, or was before another one took it over.
    fn come_back(&mut self, place: u64, session: SessionId, number: u64, joined_ms: u64) -> Joined {
        let held = self.place(place);
        let (other, was_in_grace) = (held.holder, held.grace.is_some());
        let member = Arc::clone(&held.member);
        let grace = self.hold(place, session);
        if other == session || was_in_grace {
            return Joined::Unseen { grace };
        }
        // The first session takes back the place that is shown under its id; who held it meanwhile is shown from now
        // on under an id of its own.
        self.insert(
            number,
            other,
            member.user.clone(),
            member.info.clone(),
            joined_ms,
        )
    }

    /// Gives a place to `session` and ends its grace.
    fn hold(&mut self, number: u64, session: SessionId) -> Option<GraceKey> {
        let place = self
            .by_number
            .get_mut(&number)
            .expect("indexed members exist");
        let before = std::mem::replace(&mut place.holder, session);
        let grace = place.grace.take();
        let (first, user) = (place.member.session, place.member.user.clone());
        if before != first && before != session {
            self.by_session.remove(&before);
        }
        self.by_session.insert(session, number);
        if grace.is_some() {
            self.end_grace(user.as_ref(), number);
        }
        grace
    }

    fn insert(
        &mut self,
        number: u64,
        session: SessionId,
        user: Option<UserId>,
        info: Option<bytes::Bytes>,
        joined_ms: u64,
    ) -> Joined {
        match &user {
            Some(user) => self.users.entry(Arc::clone(user)).or_default().members += 1,
            None => self.anonymous += 1,
        }
        let member = Arc::new(Member {
            session,
            user,
            info,
            joined_ms,
        });
        let place = Place {
            member: Arc::clone(&member),
            holder: session,
            grace: None,
        };
        self.by_number.insert(number, place);
        self.by_session.insert(session, number);
        Joined::Announced(member)
    }

    fn remove(&mut self, number: u64) -> Option<Left> {
        let Place {
            member,
            holder,
            grace,
        } = self.by_number.remove(&number)?;
        self.by_session.remove(&holder);
        self.by_session.remove(&member.session);
        if grace.is_some() {
            self.end_grace(member.user.as_ref(), number);
        }
        if let Some(name) = &member.user {
            let user = self
                .users
                .get_mut(name)
                .expect("a member's user is counted");
            user.members -= 1;
            if user.members == 0 {
                self.users.remove(name);
            }
        } else {
            self.anonymous -= 1;
        }
        Some(Left {
            member,
            grace,
            is_last: self.by_number.is_empty(),
        })
    }

    fn end_grace(&mut self, user: Option<&UserId>, number: u64) {
        if let Some(user) = user.and_then(|user| self.users.get_mut(user)) {
            user.in_grace.retain(|&other| other != number);
        }
    }

    fn longest_in_grace(&self, user: Option<&UserId>) -> Option<u64> {
        self.users.get(user?)?.in_grace.first().copied()
    }

    fn held_by(&self, session: SessionId) -> Option<u64> {
        let number = *self.by_session.get(&session)?;
        (self.place(number).holder == session).then_some(number)
    }

    fn place(&self, number: u64) -> &Place {
        self.by_number.get(&number).expect("indexed members exist")
    }
}

/// Lists members of a channel that stands at `sequence` of `epoch`. A page is named by the epoch and the number of the
/// last member before it.
pub(super) fn page(
    members: Option<&Members>,
    epoch: Epoch,
    sequence: u64,
    query: &MemberQuery,
) -> Result<MemberPage, EngineError> {
    let after = match &query.after {
        Some(page) => number_of_page(page, epoch, sequence)?,
        None => 0,
    };
    let counts = members.map_or_else(Counts::default, Members::counts);
    let mut listed = Vec::new();
    let mut next = None;
    if let Some(members) = members {
        let mut places = members
            .by_number
            .range((Bound::Excluded(after), Bound::Unbounded));
        let mut last = after;
        while listed.len() < query.limit
            && let Some((&number, place)) = places.next()
        {
            listed.push(Arc::clone(&place.member));
            last = number;
        }
        if query.limit > 0 && places.next().is_some() {
            next = Some(format!("{epoch}-{}", Epoch(last)).into());
        }
    }
    Ok(MemberPage {
        members: listed,
        counts,
        next,
        epoch,
        sequence,
    })
}

fn number_of_page(page: &str, epoch: Epoch, sequence: u64) -> Result<u64, EngineError> {
    // Numbers are written as epochs are: short, and checked already.
    let parsed = page
        .split_once('-')
        .and_then(|(epoch, last)| Epoch::parse(epoch).zip(Epoch::parse(last)));
    match parsed {
        Some((of, Epoch(last))) if of == epoch && last <= sequence => Ok(last),
        _ => Err(EngineError::UnknownPage),
    }
}

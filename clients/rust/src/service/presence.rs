//! Who is there, as services see it.

use std::time::{Duration, SystemTime};

use futures_util::Stream;
use serde_json::value::RawValue;
use switchboard_proto::api::v1;

use super::Service;
use crate::{Error, Member};

/// One page of members, and how many there are in the whole channel.
#[derive(Debug, Clone, PartialEq)]
pub struct MemberPage {
    /// The members of this page.
    pub members: Vec<Member>,
    /// How many sessions are in the whole channel.
    pub count: u64,
    /// How many distinct users they are of.
    pub users: u64,
    /// Asks for the next page; none: this was the last.
    pub next_page: Option<String>,
}

/// How many are in a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberCount {
    /// The channel.
    pub channel: String,
    /// How many sessions.
    pub members: u64,
    /// How many distinct users they are of.
    pub users: u64,
}

/// Where a user is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Online {
    /// Whether there is any session.
    pub online: bool,
    /// The sessions.
    pub sessions: Vec<UserSession>,
    /// Nodes that did not answer: what they have is missing here.
    pub unreached_nodes: Vec<String>,
}

/// One session of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserSession {
    /// The session.
    pub session: String,
    /// The node that holds it.
    pub node: String,
    /// Since when.
    pub connected: SystemTime,
    /// What it is subscribed to.
    pub channels: Vec<String>,
}

impl Service {
    /// Gives one page of a channel's members. A size of 0 is the hub's default; `page` is the `next_page` of the page before.
    ///
    /// # Errors
    /// The hub's code; `unavailable`, `timeout`.
    pub async fn members(
        &self,
        channel: &str,
        size: u32,
        page: Option<&str>,
    ) -> Result<MemberPage, Error> {
        let asked = v1::ListMembersRequest {
            channel: channel.to_owned(),
            page_size: size,
            page_token: page.unwrap_or_default().to_owned(),
        };
        let call = |request| async move { self.presence().list_members(request).await };
        let answer = self.repeated(&asked, call).await?;
        let next = answer.next_page_token;
        Ok(MemberPage {
            members: answer.members.into_iter().map(member).collect(),
            count: answer.count,
            users: answer.users,
            next_page: (!next.is_empty()).then_some(next),
        })
    }

    /// Gives all of a channel's members, page after page of this size. An error is the last item.
    pub fn all_members(
        &self,
        channel: &str,
        size: u32,
    ) -> impl Stream<Item = Result<Member, Error>> + Send + use<> {
        let (service, channel) = (self.clone(), channel.to_owned());
        async_stream::try_stream! {
            let mut page = None;
            loop {
                let told = service.members(&channel, size, page.as_deref()).await?;
                for member in told.members {
                    yield member;
                }
                page = told.next_page;
                if page.is_none() {
                    break;
                }
            }
        }
    }

    /// Counts the members of channels, in the order asked.
    ///
    /// # Errors
    /// As [`members`](Self::members).
    pub async fn count_members(&self, channels: &[&str]) -> Result<Vec<MemberCount>, Error> {
        let asked = v1::CountMembersRequest {
            channels: channels
                .iter()
                .map(|channel| (*channel).to_owned())
                .collect(),
        };
        let call = |request| async move { self.presence().count_members(request).await };
        let answer = self.repeated(&asked, call).await?;
        let counts = answer.counts.into_iter();
        Ok(counts
            .map(|count| MemberCount {
                channel: count.channel,
                members: count.members,
                users: count.users,
            })
            .collect())
    }

    /// Says whether a user is online, and by which sessions.
    ///
    /// # Errors
    /// As [`members`](Self::members).
    pub async fn lookup_user(&self, user: &str) -> Result<Online, Error> {
        let asked = v1::LookupUserRequest {
            user: user.to_owned(),
        };
        let call = |request| async move { self.presence().lookup_user(request).await };
        let answer = self.repeated(&asked, call).await?;
        let sessions = answer.sessions.into_iter();
        Ok(Online {
            online: answer.online,
            sessions: sessions
                .map(|session| UserSession {
                    session: session.session,
                    node: session.node,
                    connected: moment(session.connected_ms),
                    channels: session.channels,
                })
                .collect(),
            unreached_nodes: answer.unreached_nodes,
        })
    }
}

fn moment(millis: i64) -> SystemTime {
    let since = Duration::from_millis(u64::try_from(millis).unwrap_or_default());
    SystemTime::UNIX_EPOCH + since
}

pub(super) fn member(written: v1::Member) -> Member {
    let text = String::from_utf8(written.info.to_vec()).ok();
    Member {
        session: written.session,
        user: (!written.user.is_empty()).then_some(written.user),
        // Empty: none. The hub has checked that the rest is JSON.
        info: text.and_then(|text| RawValue::from_string(text).ok()),
    }
}

//! Watching who comes and goes.

use futures_util::Stream;
use switchboard_proto::api::v1;
use switchboard_proto::api::v1::watch_presence_response::Change as Wire;

use super::presence::member;
use super::{Service, error_of, wait_for};
use crate::{Error, Member};

/// A place in a channel's order of joins and leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresencePosition {
    /// Opaque: compare it for equality only.
    pub epoch: String,
    /// Counts in it.
    pub sequence: u64,
}

/// The next thing to know about a channel's members, with the place where a watch that broke off may resume.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// All who are there; it replaces what was known before.
    Snapshot(Vec<Member>, PresencePosition),
    /// One has come.
    Join(Member, PresencePosition),
    /// One has gone.
    Leave(Member, PresencePosition),
}

impl Change {
    /// Where a watch that broke off after it may resume.
    pub fn position(&self) -> &PresencePosition {
        let (Self::Snapshot(_, position) | Self::Join(_, position) | Self::Leave(_, position)) =
            self;
        position
    }
}

impl Service {
    /// Gives first who is there, then every join and leave, until it is dropped. It resumes by itself where it broke off, or begins with
    /// a new snapshot. An error is the last item: another attempt would fail again.
    pub fn watch(
        &self,
        channel: &str,
        resume: Option<PresencePosition>,
    ) -> impl Stream<Item = Result<Change, Error>> + Send + use<> {
        let service = self.clone();
        let mut watch = Watch {
            channel: channel.to_owned(),
            resume,
            snapshot: Vec::new(),
        };
        async_stream::stream! {
            let mut attempt = 0;
            loop {
                let request = service.authorized(watch.ask());
                let mut failed = None;
                match service.presence().watch_presence(request).await {
                    Ok(answer) => {
                        let mut changes = answer.into_inner();
                        loop {
                            match changes.message().await {
                                Ok(Some(told)) => {
                                    attempt = 0;
                                    if let Some(change) = watch.take(told) {
                                        yield Ok(change);
                                    }
                                }
                                // The hub ended it in good order, as when it drains.
                                Ok(None) => break,
                                Err(status) => {
                                    failed = Some(error_of(&status));
                                    break;
                                }
                            }
                        }
                    }
                    Err(status) => failed = Some(error_of(&status)),
                }
                let told = failed.unwrap_or_else(|| Error::new("unavailable", "it ended").retryable(None));
                if !told.is_retryable() {
                    yield Err(told);
                    break;
                }
                tokio::time::sleep(wait_for(&told, attempt)).await;
                attempt += 1;
            }
        }
    }
}

struct Watch {
    channel: String,
    resume: Option<PresencePosition>,
    /// What came of a snapshot that is not complete.
    snapshot: Vec<Member>,
}

impl Watch {
    fn ask(&mut self) -> v1::WatchPresenceRequest {
        self.snapshot.clear();
        v1::WatchPresenceRequest {
            channel: self.channel.clone(),
            resume: self.resume.clone().map(|at| v1::PresencePosition {
                epoch: at.epoch,
                sequence: at.sequence,
            }),
        }
    }

    /// Takes in what was told, and gives the change where it is whole.
    fn take(&mut self, told: v1::WatchPresenceResponse) -> Option<Change> {
        match told.change? {
            Wire::Snapshot(part) => {
                self.snapshot.extend(part.members.into_iter().map(member));
                if !part.complete {
                    return None;
                }
                let at = PresencePosition {
                    epoch: part.epoch,
                    sequence: part.sequence,
                };
                self.resume = Some(at.clone());
                Some(Change::Snapshot(std::mem::take(&mut self.snapshot), at))
            }
            Wire::Join(join) => {
                let at = self.reach(join.sequence)?;
                Some(Change::Join(member(join.member?), at))
            }
            Wire::Leave(leave) => {
                let at = self.reach(leave.sequence)?;
                Some(Change::Leave(member(leave.member?), at))
            }
        }
    }

    /// Nothing before the first snapshot, whose epoch the numbers count in.
    fn reach(&mut self, sequence: u64) -> Option<PresencePosition> {
        let at = self.resume.as_mut()?;
        at.sequence = sequence;
        Some(at.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(change: Wire) -> v1::WatchPresenceResponse {
        v1::WatchPresenceResponse {
            change: Some(change),
        }
    }

    fn part(complete: bool) -> Wire {
        Wire::Snapshot(v1::PresenceSnapshot {
            members: vec![v1::Member::default()],
            complete,
            sequence: 4,
            epoch: "e".to_owned(),
        })
    }

    #[test]
    fn a_watch_resumes_after_the_last_change_that_was_told() {
        let mut watch = Watch {
            channel: "a".to_owned(),
            resume: None,
            snapshot: Vec::new(),
        };
        let join = Wire::Join(v1::PresenceJoin {
            member: Some(v1::Member::default()),
            sequence: 5,
        });
        assert_eq!(watch.ask().resume, None);
        assert_eq!(
            watch.take(told(join.clone())),
            None,
            "nothing before a snapshot"
        );
        assert_eq!(watch.take(told(part(false))), None);
        let whole = watch.take(told(part(true)));
        assert!(
            matches!(&whole, Some(Change::Snapshot(members, _)) if members.len() == 2),
            "{whole:?}"
        );
        let joined = watch.take(told(join)).expect("it is a change");
        let asked = watch.ask().resume.expect("it has begun");
        assert_eq!((asked.epoch.as_str(), asked.sequence), ("e", 5));
        assert_eq!(joined.position().sequence, 5);
    }
}

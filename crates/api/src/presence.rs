//! PresenceService: who is there.

use std::collections::VecDeque;
use std::sync::Arc;

use switchboard_auth::Scope;
use switchboard_core::identity::USER_ID_BYTES_MAX;
use switchboard_core::{ClientError, ErrorCode, Member, PresenceChange};
use switchboard_node::{PresenceUpdate, PresenceWatch};
use switchboard_proto::api::v1;
use switchboard_proto::api::v1::presence_service_server::PresenceService;
use switchboard_proto::api::v1::watch_presence_response::Change;
use tonic::{Request, Response, Status};

use crate::access::{caller, caller_for, sees};
use crate::service::{Service, Updates, Watch};
use crate::status::{refused, status};
use crate::{decode, encode, page};

#[tonic::async_trait]
impl PresenceService for Service {
    type WatchPresenceStream = Updates<v1::WatchPresenceResponse>;

    async fn list_members(
        &self,
        request: Request<v1::ListMembersRequest>,
    ) -> Result<Response<v1::ListMembersResponse>, Status> {
        caller(&request, Scope::Read)?;
        let channel = decode::channel(&request.get_ref().channel).map_err(status)?;
        caller_for(&request, Scope::Read, &channel)?;
        let asked = request.into_inner();
        let query = ["members", channel.as_str()];
        let after = page::place(&query, &asked.page_token)
            .map_err(status)?
            .map(String::into_boxed_str);
        let limit = match asked.page_size {
            0 => u32::MAX,
            size => size,
        };
        let limit = Some(limit.min(self.members_that_fit()));
        let found = self
            .node
            .list_members(&channel, after, limit)
            .await
            .map_err(status)?;
        Ok(Response::new(v1::ListMembersResponse {
            members: found
                .members
                .iter()
                .map(|member| encode::member(member))
                .collect(),
            count: found.counts.members,
            users: found.counts.users,
            next_page_token: found
                .next
                .map(|next| page::token(&query, &next))
                .unwrap_or_default(),
        }))
    }

    async fn count_members(
        &self,
        request: Request<v1::CountMembersRequest>,
    ) -> Result<Response<v1::CountMembersResponse>, Status> {
        let caller = caller(&request, Scope::Read)?;
        let names = request.into_inner().channels;
        let max = self.node.limits().count_channels_max;
        if names.len() > max {
            let message = format!("{} channels to count: at most {max}", names.len());
            return Err(refused(ErrorCode::BadRequest, message));
        }
        let mut channels = Vec::with_capacity(names.len());
        for name in &names {
            let channel = decode::channel(name).map_err(status)?;
            caller.may(Scope::Read, Some(&channel)).map_err(status)?;
            channels.push(channel);
        }
        let counts = self.node.count_members(&channels).await.map_err(status)?;
        let counts = names
            .into_iter()
            .zip(counts)
            .map(|(channel, counts)| v1::MemberCount {
                channel,
                members: counts.members,
                users: counts.users,
            });
        Ok(Response::new(v1::CountMembersResponse {
            counts: counts.collect(),
        }))
    }

    async fn watch_presence(
        &self,
        request: Request<v1::WatchPresenceRequest>,
    ) -> Result<Response<Self::WatchPresenceStream>, Status> {
        caller(&request, Scope::Read)?;
        let channel = decode::channel(&request.get_ref().channel).map_err(status)?;
        caller_for(&request, Scope::Read, &channel)?;
        let resume = match &request.get_ref().resume {
            Some(at) => Some((decode::epoch(&at.epoch).map_err(status)?, at.sequence)),
            None => None,
        };
        let watch = self
            .node
            .watch_presence(channel, resume)
            .await
            .map_err(status)?;
        let pages = Pages {
            watch,
            members_max: self.members_that_fit() as usize,
            rest: VecDeque::new(),
        };
        Ok(Response::new(self.follow(pages, update)))
    }

    async fn lookup_user(
        &self,
        request: Request<v1::LookupUserRequest>,
    ) -> Result<Response<v1::LookupUserResponse>, Status> {
        let caller = caller(&request, Scope::Read)?;
        let user = decode::user(&request.get_ref().user).map_err(status)?;
        let found = self.node.lookup_user(&user).await.map_err(status)?;
        let sessions: Vec<_> = found
            .sessions
            .iter()
            .map(|session| encode::session(session, |channel| sees(&caller, channel)))
            .collect();
        Ok(Response::new(v1::LookupUserResponse {
            online: !sessions.is_empty(),
            sessions,
            unreached_nodes: encode::nodes(&found.unreached),
        }))
    }
}

impl Service {
    /// How many members a response may carry, each as large as it can be: the engine alone knows where a page may end, so it
    /// cannot be cut afterwards.
    fn members_that_fit(&self) -> u32 {
        /// Session id, time, and what stands around the fields.
        const REST_BYTES: usize = 96;
        let largest = self.node.limits().info_bytes_max + USER_ID_BYTES_MAX + REST_BYTES;
        u32::try_from(page::PAGE_BYTES_MAX / largest).map_or(u32::MAX, |fit| fit.max(1))
    }
}

/// A watch whose snapshots come in pages that fit a response.
struct Pages {
    watch: PresenceWatch,
    members_max: usize,
    /// Pages of a snapshot that are still to be told.
    rest: VecDeque<PresenceUpdate>,
}

impl Watch for Pages {
    type Update = PresenceUpdate;

    async fn next(&mut self) -> Result<PresenceUpdate, ClientError> {
        if let Some(update) = self.rest.pop_front() {
            return Ok(update);
        }
        let update = self.watch.next().await?;
        self.rest.extend(pages(update, self.members_max));
        Ok(self
            .rest
            .pop_front()
            .expect("an update has a page at least"))
    }
}

/// The update, cut in several where it is a snapshot of more members than that.
fn pages(update: PresenceUpdate, members_max: usize) -> Vec<PresenceUpdate> {
    match update {
        PresenceUpdate::Snapshot {
            members,
            complete,
            epoch,
            sequence,
        } if members.len() > members_max => {
            let chunks = members.chunks(members_max);
            let last = chunks.len() - 1;
            let page = |(index, members): (usize, &[Arc<Member>])| PresenceUpdate::Snapshot {
                members: members.to_vec(),
                complete: complete && index == last,
                epoch,
                sequence,
            };
            chunks.enumerate().map(page).collect()
        }
        update => vec![update],
    }
}

fn update(update: PresenceUpdate) -> v1::WatchPresenceResponse {
    let change = match update {
        PresenceUpdate::Snapshot {
            members,
            complete,
            epoch,
            sequence,
        } => Change::Snapshot(v1::PresenceSnapshot {
            members: members
                .iter()
                .map(|member| encode::member(member))
                .collect(),
            complete,
            sequence,
            epoch: epoch.to_string(),
        }),
        PresenceUpdate::Change(event) => {
            let event = Arc::unwrap_or_clone(event);
            let (member, sequence) = (Some(encode::member(&event.member)), event.sequence);
            match event.change {
                PresenceChange::Join => Change::Join(v1::PresenceJoin { member, sequence }),
                PresenceChange::Leave => Change::Leave(v1::PresenceLeave { member, sequence }),
            }
        }
    };
    v1::WatchPresenceResponse {
        change: Some(change),
    }
}

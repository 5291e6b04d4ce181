//! PresenceService: who is there.

use std::sync::Arc;

use switchboard_auth::Scope;
use switchboard_core::{ClientError, ErrorCode, PresenceChange};
use switchboard_node::{PresenceUpdate, PresenceWatch};
use switchboard_proto::api::v1;
use switchboard_proto::api::v1::presence_service_server::PresenceService;
use switchboard_proto::api::v1::watch_presence_response::Change;
use tonic::{Request, Response, Status};

use crate::access::{caller, caller_for, sees};
use crate::service::{Service, Updates, Watch};
use crate::status::{refused, status};
use crate::{decode, encode, page};

/// Channels that one CountMembers may name: an engine counts them all in one go.
const COUNT_CHANNELS_MAX: usize = 1000;

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
        let limit = (asked.page_size > 0).then_some(asked.page_size);
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
        if names.len() > COUNT_CHANNELS_MAX {
            let message = format!(
                "{} channels to count: at most {COUNT_CHANNELS_MAX}",
                names.len()
            );
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
        Ok(Response::new(self.follow(watch, update)))
    }

    async fn lookup_user(
        &self,
        request: Request<v1::LookupUserRequest>,
    ) -> Result<Response<v1::LookupUserResponse>, Status> {
        let caller = caller(&request, Scope::Read)?;
        let user = decode::user(&request.get_ref().user).map_err(status)?;
        let sessions = self.node.lookup_user(&user).await;
        let sessions: Vec<_> = sessions
            .iter()
            .map(|session| encode::session(session, |channel| sees(&caller, channel)))
            .collect();
        Ok(Response::new(v1::LookupUserResponse {
            online: !sessions.is_empty(),
            sessions,
        }))
    }
}

impl Watch for PresenceWatch {
    type Update = PresenceUpdate;

    async fn next(&mut self) -> Result<PresenceUpdate, ClientError> {
        self.next().await
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

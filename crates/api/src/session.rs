//! SessionService: clients' sessions, listed and acted on.

use switchboard_auth::{Caller, Scope};
use switchboard_core::SessionId;
use switchboard_node::{SessionInfo, SessionListing};
use switchboard_proto::api::v1;
use switchboard_proto::api::v1::session_service_server::SessionService;
use tonic::{Request, Response, Status};

use crate::access::{caller, caller_for, sees};
use crate::service::Service;
use crate::status::status;
use crate::{decode, encode, page};

#[tonic::async_trait]
impl SessionService for Service {
    async fn list_sessions(
        &self,
        request: Request<v1::ListSessionsRequest>,
    ) -> Result<Response<v1::ListSessionsResponse>, Status> {
        let caller = caller(&request, Scope::Sessions)?;
        let asked = request.into_inner();
        let query = ["sessions", asked.user.as_str()];
        let after = match page::place(&query, &asked.page_token).map_err(status)? {
            Some(place) => Some(decode::session(&place).map_err(status)?),
            None => None,
        };
        let max = self.node.limits().sessions_page_max;
        let limit = match asked.page_size {
            0 => max,
            size => max.min(size as usize),
        };
        let listing = if asked.user.is_empty() {
            self.node
                .list_sessions(after, limit)
                .await
                .map_err(status)?
        } else {
            let user = decode::user(&asked.user).map_err(status)?;
            let found = self.node.lookup_user(&user).await.map_err(status)?;
            cut(found, after, limit)
        };
        let shown = listing.sessions.iter().map(|s| shown(s, &caller));
        let mut sessions: Vec<v1::Session> = shown.collect();
        let next = if page::fit(&mut sessions) {
            Some(listing.sessions[sessions.len() - 1].session)
        } else {
            listing.next
        };
        Ok(Response::new(v1::ListSessionsResponse {
            sessions,
            next_page_token: next
                .map(|next| page::token(&query, &next.to_string()))
                .unwrap_or_default(),
            unreached_nodes: encode::nodes(&listing.unreached),
        }))
    }

    async fn send(
        &self,
        request: Request<v1::SendRequest>,
    ) -> Result<Response<v1::SendResponse>, Status> {
        caller(&request, Scope::Sessions)?;
        let asked = request.into_inner();
        let target = decode::target(asked.target).map_err(status)?;
        let payload = decode::message(asked.payload).map_err(status)?;
        let delivered = self.node.send(target, payload).await.map_err(status)?;
        Ok(Response::new(v1::SendResponse { delivered }))
    }

    async fn subscribe(
        &self,
        request: Request<v1::SessionServiceSubscribeRequest>,
    ) -> Result<Response<v1::SessionServiceSubscribeResponse>, Status> {
        caller(&request, Scope::Sessions)?;
        let channel = decode::channel(&request.get_ref().channel).map_err(status)?;
        caller_for(&request, Scope::Sessions, &channel)?;
        let target = decode::target(request.into_inner().target).map_err(status)?;
        self.node.subscribe(target, channel).await.map_err(status)?;
        Ok(Response::new(v1::SessionServiceSubscribeResponse {}))
    }

    async fn unsubscribe(
        &self,
        request: Request<v1::SessionServiceUnsubscribeRequest>,
    ) -> Result<Response<v1::SessionServiceUnsubscribeResponse>, Status> {
        caller(&request, Scope::Sessions)?;
        let channel = decode::channel(&request.get_ref().channel).map_err(status)?;
        caller_for(&request, Scope::Sessions, &channel)?;
        let asked = request.into_inner();
        let target = decode::target(asked.target).map_err(status)?;
        let reason = decode::reason(&asked.reason).map_err(status)?;
        self.node
            .unsubscribe(target, channel, reason.into(), asked.resubscribe)
            .await
            .map_err(status)?;
        Ok(Response::new(v1::SessionServiceUnsubscribeResponse {}))
    }

    async fn disconnect(
        &self,
        request: Request<v1::DisconnectRequest>,
    ) -> Result<Response<v1::DisconnectResponse>, Status> {
        caller(&request, Scope::Sessions)?;
        let asked = request.into_inner();
        let target = decode::target(asked.target).map_err(status)?;
        let close = decode::close(asked.code, &asked.reason, asked.reconnect).map_err(status)?;
        self.node.disconnect(target, close).await.map_err(status)?;
        Ok(Response::new(v1::DisconnectResponse {}))
    }
}

fn shown(session: &SessionInfo, caller: &Caller) -> v1::Session {
    encode::session(session, |channel| sees(caller, channel))
}

/// A page of a user's sessions, which are few: they were all found at once.
fn cut(found: SessionListing, after: Option<SessionId>, limit: usize) -> SessionListing {
    let order = |session: SessionId| {
        (
            session.node.0,
            session.shard,
            session.slot,
            session.generation,
        )
    };
    let mut sessions = found.sessions;
    sessions.sort_by_key(|found| order(found.session));
    sessions.retain(|found| after.is_none_or(|after| order(found.session) > order(after)));
    let more = sessions.len() > limit;
    sessions.truncate(limit);
    let next = sessions.last().filter(|_| more).map(|last| last.session);
    SessionListing {
        sessions,
        next,
        unreached: found.unreached,
    }
}

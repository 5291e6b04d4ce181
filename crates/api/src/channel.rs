//! ChannelService: a service as a subscriber, history, and which channels there are.

use switchboard_auth::{Caller, Scope};
use switchboard_core::{ChannelName, ChannelPattern, ClientError, ErrorCode};
use switchboard_node::{ChannelSummary, ChannelUpdate, ChannelWatch, ReadFrom};
use switchboard_proto::api::v1;
use switchboard_proto::api::v1::channel_service_server::ChannelService;
use switchboard_proto::api::v1::subscribe_response::Push;
use tonic::{Request, Response, Status};

use crate::access::{caller, caller_for, covers, sees};
use crate::service::{Service, Updates, Watch};
use crate::status::{refused, status};
use crate::{decode, encode, page};

/// Node pages that are searched for one page of a caller who may see only some channels. A page may then be short,
/// or empty, and still name a next one.
const SEARCHED_PAGES_MAX: usize = 8;

#[tonic::async_trait]
impl ChannelService for Service {
    type SubscribeStream = Updates<v1::SubscribeResponse>;

    async fn subscribe(
        &self,
        request: Request<v1::SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        caller(&request, Scope::Read)?;
        let channel = decode::channel(&request.get_ref().channel).map_err(status)?;
        caller_for(&request, Scope::Read, &channel)?;
        let start = decode::start(request.into_inner().start).map_err(status)?;
        let watch = self
            .node
            .watch_channel(channel, start)
            .await
            .map_err(status)?;
        Ok(Response::new(self.follow(watch, update)))
    }

    async fn read_history(
        &self,
        request: Request<v1::ReadHistoryRequest>,
    ) -> Result<Response<v1::ReadHistoryResponse>, Status> {
        caller(&request, Scope::Read)?;
        let channel = decode::channel(&request.get_ref().channel).map_err(status)?;
        caller_for(&request, Scope::Read, &channel)?;
        let asked = request.into_inner();
        let position = asked
            .position
            .as_ref()
            .map(decode::position)
            .transpose()
            .map_err(status)?;
        let from = match (position, asked.reverse) {
            (None, false) => ReadFrom::Oldest,
            (None, true) => ReadFrom::Before(u64::MAX),
            (Some(position), false) => ReadFrom::After(position),
            (Some(position), true) => ReadFrom::Before(position.offset),
        };
        let history = self
            .node
            .read_history(&channel, from, asked.limit)
            .await
            .map_err(status)?;
        // Offsets count within one epoch: paging back from another one's would give what was not asked for.
        let other_epoch = position.is_some_and(|position| position.epoch != history.top.epoch);
        if other_epoch || !history.complete {
            let message = format!(
                "history does not reach back to the position: the channel stands at epoch {} offset {}",
                history.top.epoch, history.top.offset
            );
            return Err(refused(ErrorCode::PositionUnavailable, message));
        }
        let publications = history.publications.iter();
        let mut publications: Vec<_> = publications.map(|p| encode::publication(p)).collect();
        page::fit(&mut publications);
        Ok(Response::new(v1::ReadHistoryResponse {
            publications,
            position: Some(encode::position(history.top)),
        }))
    }

    async fn remove_history(
        &self,
        request: Request<v1::RemoveHistoryRequest>,
    ) -> Result<Response<v1::RemoveHistoryResponse>, Status> {
        caller(&request, Scope::Admin)?;
        let channel = decode::channel(&request.get_ref().channel).map_err(status)?;
        caller_for(&request, Scope::Admin, &channel)?;
        self.node.remove_history(&channel).await.map_err(status)?;
        Ok(Response::new(v1::RemoveHistoryResponse {}))
    }

    async fn list_channels(
        &self,
        request: Request<v1::ListChannelsRequest>,
    ) -> Result<Response<v1::ListChannelsResponse>, Status> {
        let caller = caller(&request, Scope::Read)?;
        let asked = request.into_inner();
        let pattern = match asked.pattern.as_str() {
            "" => None,
            text => Some(decode::pattern("pattern", text).map_err(status)?),
        };
        let query = ["channels", asked.pattern.as_str()];
        let after = match page::place(&query, &asked.page_token).map_err(status)? {
            Some(name) => Some(decode::channel(&name).map_err(status)?),
            None => None,
        };
        let max = self.node.limits().channels_page_max;
        let limit = match asked.page_size {
            0 => max,
            size => max.min(size as usize),
        };
        let (channels, next) = self
            .visible_channels(&caller, pattern, after, limit)
            .await
            .map_err(status)?;
        Ok(Response::new(v1::ListChannelsResponse {
            channels: channels.iter().map(channel).collect(),
            next_page_token: next
                .map(|next| page::token(&query, next.as_str()))
                .unwrap_or_default(),
        }))
    }
}

impl Service {
    /// A page of the channels that match `pattern` and are the caller's to see.
    async fn visible_channels(
        &self,
        caller: &Caller,
        pattern: Option<ChannelPattern>,
        mut after: Option<ChannelName>,
        limit: usize,
    ) -> Result<(Vec<ChannelSummary>, Option<ChannelName>), ClientError> {
        let everything = ChannelPattern::parse("*").expect("`*` is a pattern");
        if covers(caller, pattern.as_ref().unwrap_or(&everything)) {
            let listing = self.node.list_channels(pattern, after, limit).await?;
            return Ok((listing.channels, listing.next));
        }
        if caller.channels.is_empty() {
            return Ok((Vec::new(), None));
        }
        // A sole pattern narrows the search as well as it can be narrowed.
        let search = match (pattern, caller.channels.as_slice()) {
            (None, [own]) => Some(own.clone()),
            (pattern, _) => pattern,
        };
        let searched = self.node.limits().channels_page_max;
        let mut found = Vec::new();
        for _ in 0..SEARCHED_PAGES_MAX {
            let listing = self
                .node
                .list_channels(search.clone(), after.clone(), searched)
                .await?;
            for summary in listing.channels {
                if found.len() == limit {
                    // The rest of this node page is looked at again by the next call.
                    return Ok((found, after));
                }
                after = Some(summary.channel.clone());
                if sees(caller, &summary.channel) {
                    found.push(summary);
                }
            }
            if listing.next.is_none() {
                return Ok((found, None));
            }
            after = listing.next;
        }
        Ok((found, after))
    }
}

impl Watch for ChannelWatch {
    type Update = ChannelUpdate;

    async fn next(&mut self) -> Result<ChannelUpdate, ClientError> {
        self.next().await
    }
}

fn update(update: ChannelUpdate) -> v1::SubscribeResponse {
    let push = match update {
        ChannelUpdate::Subscribed {
            position,
            recovered,
        } => Push::Subscribed(v1::Subscribed {
            position: Some(encode::position(position)),
            recovered,
        }),
        ChannelUpdate::Message(publication) => Push::Message(encode::publication(&publication)),
        ChannelUpdate::Gap { position, reason } => Push::Gap(encode::gap(position, reason)),
    };
    v1::SubscribeResponse { push: Some(push) }
}

fn channel(summary: &ChannelSummary) -> v1::Channel {
    v1::Channel {
        name: summary.channel.as_str().to_owned(),
        subscriptions: summary.subscriptions,
        members: summary.members,
        position: (summary.position.offset > 0).then(|| encode::position(summary.position)),
    }
}

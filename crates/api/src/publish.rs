//! PublishService: one item, many, or a stream of them.

use futures_util::{StreamExt, stream};
use std::pin::Pin;
use switchboard_auth::Scope;
use switchboard_core::ErrorCode;
use switchboard_proto::api::v1;
use switchboard_proto::api::v1::publish_service_server::PublishService;
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

use crate::access::{caller, caller_for};
use crate::pipeline::Pipeline;
use crate::service::Service;
use crate::status::{explained, refused, status};
use crate::{decode, encode};

#[tonic::async_trait]
impl PublishService for Service {
    type PublishStreamStream =
        Pin<Box<dyn Stream<Item = Result<v1::PublishStreamResponse, Status>> + Send>>;

    async fn publish(
        &self,
        request: Request<v1::PublishRequest>,
    ) -> Result<Response<v1::PublishResponse>, Status> {
        // The scope first: who may not publish is not told what is wrong with the item.
        caller(&request, Scope::Publish)?;
        let item = request.get_ref().item.as_ref();
        let item = item.ok_or_else(|| refused(ErrorCode::BadRequest, "`item` is missing"))?;
        let channel = decode::channel(&item.channel).map_err(status)?;
        caller_for(&request, Scope::Publish, &channel)?;
        let item = request.into_inner().item.unwrap_or_default();
        let publish = decode::publish(item, channel, self.node.limits()).map_err(status)?;
        let published = self.node.publish(publish).await.map_err(status)?;
        let position = Some(encode::position(published.position));
        Ok(Response::new(v1::PublishResponse {
            position,
            duplicate: published.duplicate,
        }))
    }

    async fn publish_batch(
        &self,
        request: Request<v1::PublishBatchRequest>,
    ) -> Result<Response<v1::PublishBatchResponse>, Status> {
        let caller = caller(&request, Scope::Publish)?;
        let items = request.into_inner().items;
        if items.len() > self.batch_items_max {
            let message = format!(
                "{} items in a batch: at most {}",
                items.len(),
                self.batch_items_max
            );
            return Err(refused(ErrorCode::BadRequest, message));
        }
        let mut results = Vec::with_capacity(items.len());
        let items = stream::iter(items.into_iter().map(|item| Ok((0, Some(item)))));
        // A batch that has been taken is finished, drain or not: `closing` is for what has no end of its own.
        let never = tokio_util::sync::CancellationToken::new().cancelled_owned();
        let mut answers = Pipeline::new(items, self.node.clone(), caller, never);
        while let Some(answer) = answers.next().await {
            results.push(answer?.1);
        }
        Ok(Response::new(v1::PublishBatchResponse { results }))
    }

    async fn publish_stream(
        &self,
        request: Request<Streaming<v1::PublishStreamRequest>>,
    ) -> Result<Response<Self::PublishStreamStream>, Status> {
        let caller = caller(&request, Scope::Publish)?;
        let items = request.into_inner().map(|item| match item {
            Ok(v1::PublishStreamRequest { sequence, item }) => Ok((sequence, item)),
            Err(status) => Err(explained(status)),
        });
        let answers = Pipeline::new(
            items,
            self.node.clone(),
            caller,
            self.closing.clone().cancelled_owned(),
        );
        let answers = answers.map(|answer| {
            answer.map(|(sequence, result)| v1::PublishStreamResponse {
                sequence,
                result: Some(result),
            })
        });
        Ok(Response::new(Box::pin(answers)))
    }
}

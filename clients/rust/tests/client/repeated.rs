//! A publish over gRPC whose first answer is lost.

use std::sync::{Arc, Mutex};

use anyhow::Result;
use switchboard_client::service::{Item, Service};
use switchboard_proto::api::v1;
use switchboard_proto::api::v1::publish_service_server::{PublishService, PublishServiceServer};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, Streaming};

/// Answers the first attempt with UNAVAILABLE, as if it were lost after it was carried out.
struct Flaky(Arc<Mutex<Vec<String>>>);

#[tonic::async_trait]
impl PublishService for Flaky {
    async fn publish(
        &self,
        request: Request<v1::PublishRequest>,
    ) -> Result<Response<v1::PublishResponse>, Status> {
        let id = request.into_inner().item.unwrap_or_default().id;
        let mut ids = self.0.lock().expect("nobody panics with it");
        ids.push(id);
        if ids.len() == 1 {
            return Err(Status::unavailable("gone for a moment"));
        }
        let position = Some(v1::Position {
            epoch: "e".to_owned(),
            offset: 7,
        });
        let duplicate = true;
        Ok(Response::new(v1::PublishResponse {
            position,
            duplicate,
        }))
    }

    async fn publish_batch(
        &self,
        _: Request<v1::PublishBatchRequest>,
    ) -> Result<Response<v1::PublishBatchResponse>, Status> {
        Err(Status::unimplemented("not asked here"))
    }

    type PublishStreamStream = tokio_stream::Empty<Result<v1::PublishStreamResponse, Status>>;

    async fn publish_stream(
        &self,
        _: Request<Streaming<v1::PublishStreamRequest>>,
    ) -> Result<Response<Self::PublishStreamStream>, Status> {
        Err(Status::unimplemented("not asked here"))
    }
}

#[tokio::test]
async fn a_repeated_publish_carries_the_id_of_the_first() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = format!("http://{}", listener.local_addr()?);
    let ids = Arc::new(Mutex::new(Vec::new()));
    let served = PublishServiceServer::new(Flaky(Arc::clone(&ids)));
    let server = tonic::transport::Server::builder().add_service(served);
    let serving = tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    let hub = Service::connect(&address, "any")?;
    let published = hub.publish(Item::json("chat:1", &1)?).await?;
    assert_eq!((published.duplicate, published.position.offset), (true, 7));
    let ids = ids.lock().unwrap().clone();
    assert!(
        ids.len() == 2 && !ids[0].is_empty() && ids[0] == ids[1],
        "{ids:?}"
    );
    serving.abort();
    Ok(())
}

//! NodeService: the nodes that make up the hub.

use switchboard_auth::Scope;
use switchboard_proto::api::v1;
use switchboard_proto::api::v1::node_service_server::NodeService;
use tonic::{Request, Response, Status};

use crate::access::caller;
use crate::encode;
use crate::service::Service;

#[tonic::async_trait]
impl NodeService for Service {
    async fn list_nodes(
        &self,
        request: Request<v1::ListNodesRequest>,
    ) -> Result<Response<v1::ListNodesResponse>, Status> {
        caller(&request, Scope::Admin)?;
        let info = self.node.info();
        let node = v1::Node {
            id: info.id.to_string(),
            version: info.version.to_owned(),
            started_ms: encode::time_ms(info.started_ms),
            sessions: info.sessions,
            subscriptions: info.subscriptions,
            channels: info.channels,
            draining: info.draining,
        };
        Ok(Response::new(v1::ListNodesResponse { nodes: vec![node] }))
    }
}

//! NodeService: the nodes that make up the hub.

use switchboard_auth::Scope;
use switchboard_node::NodeInfo;
use switchboard_proto::api::v1;
use switchboard_proto::api::v1::node_service_server::NodeService;
use tonic::{Request, Response, Status};

use crate::access::caller;
use crate::encode;
use crate::service::Service;
use crate::status::status;

#[tonic::async_trait]
impl NodeService for Service {
    async fn list_nodes(
        &self,
        request: Request<v1::ListNodesRequest>,
    ) -> Result<Response<v1::ListNodesResponse>, Status> {
        caller(&request, Scope::Admin)?;
        let listing = self.node.list_nodes().await.map_err(status)?;
        Ok(Response::new(v1::ListNodesResponse {
            nodes: listing.nodes.into_iter().map(node).collect(),
            unreached_nodes: encode::nodes(&listing.unreached),
        }))
    }
}

fn node(info: NodeInfo) -> v1::Node {
    v1::Node {
        id: info.id.to_string(),
        version: info.version.into(),
        started_ms: encode::time_ms(info.started_ms),
        sessions: info.sessions,
        subscriptions: info.subscriptions,
        channels: info.channels,
        draining: info.draining,
    }
}

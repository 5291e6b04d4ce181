//! A hub's door: where clients and services knock, for whoever must not hold the hub itself.

use std::net::SocketAddr;

use crate::Hub;
use crate::secrets::Secrets;

/// Where clients and services of a hub knock: all that they need of it, and nothing that keeps it alive.
#[derive(Clone, Debug)]
pub struct Door {
    /// Where clients connect.
    pub clients: SocketAddr,
    /// Where services connect.
    pub api: SocketAddr,
    /// The secret of the API key `tests`.
    pub api_key: String,
    /// An HTTP client that goes through no proxy.
    pub http: reqwest::Client,
    /// What the hub's log must not show.
    pub secrets: Secrets,
}

impl Door {
    /// The address of a path on the clients' side.
    pub fn url(&self, path_and_query: &str) -> String {
        format!("http://{}{path_and_query}", self.clients)
    }
}

impl From<&Door> for Door {
    fn from(door: &Door) -> Self {
        door.clone()
    }
}

impl From<&Hub> for Door {
    fn from(hub: &Hub) -> Self {
        Self {
            clients: hub.clients,
            api: hub.api,
            api_key: hub.api_key.clone(),
            http: hub.http.clone(),
            secrets: hub.secrets.clone(),
        }
    }
}

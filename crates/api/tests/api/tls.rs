//! TLS with certificates on both sides.

use switchboard_api::ApiTls;
use switchboard_proto::api::v1::publish_service_client::PublishServiceClient;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::fixture::{ALL, Hub, Key, Plan, item, memory, request};

const AUTHORITY: &[u8] = include_bytes!("keys/ca.pem");

async fn connect(
    hub: &Hub,
    identity: Option<Identity>,
) -> Result<Channel, tonic::transport::Error> {
    let mut tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(AUTHORITY))
        .domain_name("localhost");
    if let Some(identity) = identity {
        tls = tls.identity(identity);
    }
    Endpoint::new(format!("https://{}", hub.address))?
        .tls_config(tls)?
        .connect()
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn only_callers_with_a_certificate_get_through_and_still_need_a_key() {
    let tls = ApiTls {
        certificate: include_bytes!("keys/server.pem").to_vec(),
        key: include_bytes!("keys/server.key.pem").to_vec(),
        client_authority: Some(AUTHORITY.to_vec()),
    };
    let hub = Hub::with(
        Plan {
            tls: Some(tls),
            ..Plan::default()
        },
        memory,
    )
    .await;
    let identity = Identity::from_pem(
        include_bytes!("keys/client.pem"),
        include_bytes!("keys/client.key.pem"),
    );
    let channel = connect(&hub, Some(identity)).await.unwrap();
    let status = PublishServiceClient::new(channel.clone())
        .publish(request(item("chat:1", "1")))
        .await
        .unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unauthenticated);
    let mut client = PublishServiceClient::with_interceptor(channel, Key::new(ALL));
    client.publish(request(item("chat:1", "1"))).await.unwrap();

    // With TLS 1.3 a caller learns of its refusal with the first answer only.
    if let Ok(channel) = connect(&hub, None).await {
        let mut client = PublishServiceClient::with_interceptor(channel, Key::new(ALL));
        assert!(client.publish(request(item("chat:1", "1"))).await.is_err());
    }
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_key_is_noticed_before_anything_is_accepted() {
    let tls = ApiTls {
        certificate: b"none".to_vec(),
        key: b"none".to_vec(),
        client_authority: None,
    };
    let hub = Hub::with(
        Plan {
            tls: Some(tls),
            ..Plan::default()
        },
        memory,
    )
    .await;
    assert!(hub.served.await.unwrap().is_err());
    hub.node.shutdown().await;
}

//! A page of another site with the user's cookie: refused by its Origin. And who may read answers across origins.

use anyhow::{Result, ensure};
use switchboard_tests::client::Refused;
use switchboard_tests::config::ORIGIN;
use switchboard_tests::{Hub, Transport, every_transport};

every_transport!(
    a_cookie_needs_an_allowed_origin,
    other_credentials_need_no_origin
);

async fn a_cookie_needs_an_allowed_origin(transport: Transport) -> Result<()> {
    let hub = Hub::start().await?;
    for origin in [
        "https://evil.example.com",
        "http://app.example.com",
        "https://app.example.com.evil.test",
        "https://app.example.com:8443",
        "https://sub.app.example.com",
        "null",
        "file://",
    ] {
        let opening = hub
            .opening("alice")
            .token_in_cookie()
            .header("origin", origin)
            .channel("chat:1");
        let refused = Refused::of(hub.open(transport, opening).await)?;
        ensure!(
            refused.status == 403 && refused.code == "permission_denied",
            "{origin}: {refused:?}"
        );
    }
    let opening = hub
        .opening("alice")
        .token_in_cookie()
        .header("origin", ORIGIN)
        .channel("chat:1");
    hub.open(transport, opening).await?;
    Ok(())
}

async fn other_credentials_need_no_origin(transport: Transport) -> Result<()> {
    let hub = Hub::start().await?;
    let opening = hub
        .opening("alice")
        .header("origin", "https://elsewhere.example")
        .channel("chat:1");
    hub.open(transport, opening).await?;
    Ok(())
}

#[tokio::test]
async fn only_allowed_origins_may_read_answers() -> Result<()> {
    let hub = Hub::start().await?;
    let token = hub.token("alice");
    let allowed_to = async |origin: &str| -> Result<Option<String>> {
        let request = hub
            .http
            .get(hub.url("/v1/poll?wait=0"))
            .bearer_auth(&token)
            .header("origin", origin);
        let response = request.send().await?;
        ensure!(response.status() == 200, "{response:?}");
        let header = response.headers().get("access-control-allow-origin");
        Ok(header
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned))
    };
    ensure!(
        allowed_to(ORIGIN).await?.as_deref() == Some(ORIGIN),
        "the allowed origin may not read"
    );
    ensure!(
        allowed_to("https://evil.example.com").await?.is_none(),
        "another origin may read"
    );
    Ok(())
}

//! HAProxy.

use anyhow::Result;
use switchboard_tests::tools;
use tokio::process::Command;

use super::Site;

fn prepare(site: &Site) -> Result<Command> {
    let patience = |kind: &str| format!("timeout {kind} {}ms", site.patience.as_millis());
    let config = Site::shipped(
        "../deploy/haproxy/haproxy.cfg",
        &[
            // The test's own limit on descriptors is lower.
            ("maxconn 100000", "maxconn 1000".to_owned()),
            ("bind 127.0.0.1:8080", format!("bind {}", site.clients)),
            ("bind 127.0.0.1:8090", format!("bind {}", site.api)),
            (
                "server node1 127.0.0.1:8000",
                format!("server node1 {}", site.hub.clients),
            ),
            (
                "server node1 127.0.0.1:9000",
                format!("server node1 {}", site.hub.api),
            ),
            (
                "check port 9100",
                format!("check port {}", site.hub.admin.port()),
            ),
            ("timeout client 75s", patience("client")),
            ("timeout server 75s", patience("server")),
            ("timeout tunnel 75s", patience("tunnel")),
        ],
    )?;
    let path = site.write("haproxy.cfg", &config)?;
    let mut command = Command::new(tools::program("SWITCHBOARD_HAPROXY", &["haproxy"])?);
    command.arg("-db").arg("-f").arg(path);
    Ok(command)
}

proxy_tests!(prepare);

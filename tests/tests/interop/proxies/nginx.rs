//! nginx.

use anyhow::Result;
use switchboard_tests::tools;
use tokio::process::Command;

use super::Site;

/// The shipped configuration, in a main configuration that keeps everything in the site's directory.
fn prepare(site: &Site) -> Result<Command> {
    let here = site.directory.display();
    let config = Site::shipped(
        "../deploy/nginx/switchboard.conf",
        &[
            (
                "server 127.0.0.1:8000;",
                format!("server {};", site.hub.clients),
            ),
            (
                "server 127.0.0.1:9000;",
                format!("server {};", site.hub.api),
            ),
            ("listen 8080;", format!("listen {};", site.clients)),
            ("listen 8090 http2;", format!("listen {} http2;", site.api)),
            (
                "proxy_read_timeout 75s;",
                format!("proxy_read_timeout {}ms;", site.patience.as_millis()),
            ),
            ("/var/log/nginx/", format!("{here}/")),
        ],
    )?;
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {here}/{kind};\n"))
        .concat();
    let main = format!(
        "daemon off;\nmaster_process off;\npid {here}/pid;\nerror_log {here}/error.log warn;\n\
         events {{ worker_connections 1024; }}\nhttp {{\n{temporary}include {here}/switchboard.conf;\n}}\n"
    );
    site.write("switchboard.conf", &config)?;
    let main = site.write("nginx.conf", &main)?;
    let mut command = Command::new(tools::program("SWITCHBOARD_NGINX", &["nginx"])?);
    command.arg("-c").arg(main).arg("-p").arg(&site.directory);
    Ok(command)
}

proxy_tests!(prepare);

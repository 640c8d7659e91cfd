//! Who is let in to the public listener, and who has to make room.

mod bounds;
mod proxies;
mod sockets;
mod sources;

use crate::support::daemon::Configuration;

/// Connections that ended before a request, by reason.
fn failed(reason: &str) -> String {
    format!(r#"graphhook_connections_failed_total{{reason="{reason}"}}"#)
}

/// Clients on this machine speak for others.
fn behind_proxy(configuration: Configuration, client_address: &str) -> Configuration {
    configuration.set("server", "client_address", &format!("\"{client_address}\"")).set(
        "server",
        "trusted_proxies",
        r#"["127.0.0.0/8"]"#,
    )
}

/// What a proxy says of a client at this address.
fn header(client: &str) -> [String; 1] {
    [format!("PROXY TCP4 {client} 198.51.100.1 4711 443\r\n")]
}

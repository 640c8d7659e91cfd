//! Addresses: whether they are ours to take, and who can reach them.

use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
    os::unix::fs::FileTypeExt,
    path::Path,
};

use rustix::fs::{Access, access};
use tokio::net::TcpSocket;

use super::{
    report::{Check, Finding},
    user::User,
};
use crate::config::{Acme, Config, Listen, TlsSource};

/// Whether this configuration's daemon runs already: then its addresses are taken, and rightly so.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Daemon {
    Running,
    Away,
}

pub(super) fn listen(config: &Config, daemon: Daemon, user: &User) -> Vec<Finding> {
    let wanted = wanted(config);
    let mut findings = reach(config);
    let can_take_low = user.is_us() && has_capability();
    for (key, listen) in &wanted {
        match listen {
            Listen::Address(_) | Listen::Unix(_) if daemon == Daemon::Running => {}
            Listen::Address(address) if is_low(*address) && !can_take_low => {
                let words = format!("{key}: port {} needs a privilege", address.port());
                let advice = "use graphhook.socket, or the drop-in that graphhook.service shows";
                findings.push(Finding::warning(Check::Listen, words, advice));
            }
            Listen::Address(address) => findings.extend(taken(key, listen, bind(*address))),
            Listen::Unix(path) => findings.extend(taken(key, listen, try_unix(path))),
        }
    }
    let shown: Vec<String> = wanted.iter().map(|(key, listen)| format!("{key} {listen}")).collect();
    let running = if daemon == Daemon::Running { " (graphhook runs)" } else { "" };
    findings.push(Finding::ok(Check::Listen, format!("{}{running}", shown.join(", "))));
    findings
}

fn wanted(config: &Config) -> Vec<(&'static str, Listen)> {
    let mut wanted: Vec<_> = config.server.listen.iter().map(|listen| ("public", listen.clone())).collect();
    if let TlsSource::Acme(Acme { http_listen: Some(address), .. }) = config.server.tls.source {
        wanted.push(("challenges", Listen::Address(address)));
    }
    wanted.push(("admin", Listen::Address(config.admin.listen)));
    wanted
}

/// Who could reach what he should not.
fn reach(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !config.admin.listen.ip().is_loopback() {
        let words = format!("admin.listen = {} can be reached from other machines", config.admin.listen);
        let advice = "let it be 127.0.0.1, or set a firewall before it";
        findings.push(Finding::warning(Check::Listen, words, advice));
    }
    let is_open =
        |listen: &&Listen| matches!(listen, Listen::Address(address) if !address.ip().is_loopback());
    if let (TlsSource::Off, Some(listen)) =
        (&config.server.tls.source, config.server.listen.iter().find(is_open))
    {
        let words = format!("without TLS, {listen} can be reached from other machines");
        let advice = "let it be 127.0.0.1 or a Unix socket";
        findings.push(Finding::warning(Check::Listen, words, advice));
    }
    findings
}

fn is_low(address: SocketAddr) -> bool {
    (1..1024).contains(&address.port())
}

/// capabilities(7)
fn has_capability() -> bool {
    const CAP_NET_BIND_SERVICE: u32 = 10;
    let status = procfs::process::Process::myself().and_then(|process| process.status());
    status.is_ok_and(|status| status.capeff >> CAP_NET_BIND_SERVICE & 1 == 1)
}

/// As the daemon would, but without listening: nobody is let in for an instant.
fn bind(address: SocketAddr) -> io::Result<()> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)
}

fn try_unix(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(file) if !file.file_type().is_socket() => return Err(ErrorKind::AlreadyExists.into()),
        Ok(_) if std::os::unix::net::UnixStream::connect(path).is_ok() => {
            return Err(ErrorKind::AddrInUse.into());
        }
        Ok(_) | Err(_) => {}
    }
    Ok(access(path.parent().unwrap_or(path), Access::WRITE_OK | Access::EXEC_OK)?)
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the kinds of errors are not ours")]
fn taken(key: &str, listen: &Listen, tried: io::Result<()>) -> Option<Finding> {
    let error = tried.err()?;
    let (words, advice) = match error.kind() {
        // It may be systemd, for us: nobody but root could tell.
        ErrorKind::AddrInUse => {
            let advice = "right if graphhook.socket holds it; else find out who does, by ss -lntp";
            return Some(Finding::warning(Check::Listen, format!("{key}: {listen} is in use"), advice));
        }
        ErrorKind::AddrNotAvailable => ("is no address of this machine", "see ip address for those that are"),
        ErrorKind::AlreadyExists => ("is a file, and no socket", "name another path, or remove it"),
        ErrorKind::NotFound => ("lies in a directory that is not there", "make it, or name another path"),
        ErrorKind::PermissionDenied => ("may not be taken", "run check as the daemon's user"),
        _ => ("cannot be listened on", "choose another address"),
    };
    Some(Finding::failed(Check::Listen, format!("{key}: {listen} {words} ({error})"), advice))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, load_text};

    #[track_caller]
    fn check(text: &str, daemon: Daemon, words: &[&str]) {
        let text = format!("{text}\n[[client_states]]\nname = \"a\"\nsecret = \"x\"\n");
        let config = load_text("config.toml", &text, &Environment::default()).expect(&text).config;
        let findings = listen(&config, daemon, &User::of_daemon(""));
        let said = format!("{findings:?}");
        assert!(words.iter().all(|words| said.contains(words)), "{said}");
        assert_eq!(findings.len(), words.len() + 1, "{said}");
    }

    fn text(listen: &str, admin: &str, tls: &str) -> String {
        format!(
            "[server]\nlisten = [\"{listen}\"]\n[server.tls]\nmode = \"{tls}\"\n[admin]\nlisten = \"{admin}\""
        )
    }

    #[tokio::test]
    async fn addresses_are_tried() {
        let local = "127.0.0.1:0";
        check(&text(local, local, "files"), Daemon::Away, &[]);
        check(&text("203.0.113.9:0", local, "files"), Daemon::Away, &["is no address of this machine"]);
        check(&text("203.0.113.9:0", local, "files"), Daemon::Running, &[]);
        check(&text("0.0.0.0:0", local, "off"), Daemon::Away, &["without TLS"]);
        check(&text(local, "0.0.0.0:0", "files"), Daemon::Away, &["admin.listen"]);
        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = taken.local_addr().expect("an address").to_string();
        check(&text(&address, local, "files"), Daemon::Away, &["is in use"]);
        check(&text(&address, local, "files"), Daemon::Running, &[]);
    }

    #[tokio::test]
    async fn paths_are_tried() {
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().join("socket");
        let listen = format!("unix:{}", path.display());
        let local = "127.0.0.1:0";
        check(&text(&listen, local, "off"), Daemon::Away, &[]);
        let socket = std::os::unix::net::UnixListener::bind(&path).expect("bound");
        check(&text(&listen, local, "off"), Daemon::Away, &["is in use"]);
        drop(socket);
        check(&text(&listen, local, "off"), Daemon::Away, &[]);
        std::fs::remove_file(&path).expect("removed");
        std::fs::write(&path, "x").expect("written");
        check(&text(&listen, local, "off"), Daemon::Away, &["is a file, and no socket"]);
        let nowhere = "unix:/nonexistent/socket";
        check(&text(nowhere, local, "off"), Daemon::Away, &["directory that is not there"]);
    }
}

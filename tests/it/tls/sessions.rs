//! Sessions are resumed by tickets that only the client keeps.

use std::sync::Arc;

use rustls::NamedGroup;
use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Resumption, Tls12ClientSessionValue,
    Tls13ClientSessionValue,
};
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};

use super::further;
use crate::support::certs::Authority;
use crate::support::daemon::Daemon;
use crate::support::visitor::Visitor;

/// More clients than a server would keep sessions of by itself come between two visits of one.
#[tokio::test]
async fn a_session_is_resumed_however_many_others_there_were() {
    let daemon = Daemon::configure().without_broker().start().await;
    for version in [&TLS12, &TLS13] {
        let visitor = Visitor::new(daemon.public()).speaking(version);
        let memory = Arc::new(visitor.tls());
        assert!(!visitor.visit_with(&memory).await.expect("a visit").is_resumed);
        for _ in 0..300 {
            visitor.visit().await.expect("a visit");
        }
        assert!(visitor.visit_with(&memory).await.expect("a visit").is_resumed);
    }
}

/// A ticket for one host opens no session with another.
#[tokio::test]
async fn a_session_is_not_taken_along_to_another_host() {
    let (directory, authority) = (tempfile::tempdir().expect("a directory"), Authority::generate());
    let other = authority.server_for(&["other.example.com"]);
    let certificates = further(directory.path(), &[("other", &other)]);
    let daemon =
        Daemon::configure().set("server.tls", "certificates", &certificates).without_broker().start().await;
    for version in [&TLS12, &TLS13] {
        let visitor = Visitor::new(daemon.public()).speaking(version);
        let mut tls = visitor.tls();
        tls.resumption = Resumption::store(Arc::new(Confused(ClientSessionMemoryCache::new(16))));
        let memory = Arc::new(tls);
        let other = visitor.of("other.example.com");
        let resumed =
            async |visitor: &Visitor| visitor.visit_with(&memory).await.expect("a visit").is_resumed;
        assert!(!resumed(&visitor).await);
        assert!(resumed(&visitor).await);
        assert!(!resumed(&other).await, "the session of one host went on as another's");
        assert!(resumed(&other).await);
        assert!(!resumed(&visitor).await);
    }
}

/// A client's memory that takes all hosts for one.
#[derive(Debug)]
struct Confused(ClientSessionMemoryCache);

impl Confused {
    fn name() -> ServerName<'static> {
        ServerName::try_from("any.example").expect("a name")
    }
}

impl ClientSessionStore for Confused {
    fn set_kx_hint(&self, _: ServerName<'static>, group: NamedGroup) {
        self.0.set_kx_hint(Self::name(), group);
    }

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        self.0.kx_hint(&Self::name())
    }

    fn set_tls12_session(&self, _: ServerName<'static>, session: Tls12ClientSessionValue) {
        self.0.set_tls12_session(Self::name(), session);
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.0.tls12_session(&Self::name())
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        self.0.remove_tls12_session(&Self::name());
    }

    fn insert_tls13_ticket(&self, _: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        self.0.insert_tls13_ticket(Self::name(), ticket);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.0.take_tls13_ticket(&Self::name())
    }
}

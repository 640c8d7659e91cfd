//! Unix sockets, and sockets that systemd passes.

use std::fs;
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use hyper::Method;
use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};
use tokio::task::JoinSet;

use crate::faults::{GRAPH_WAITS, Scene};
use crate::support::daemon::Daemon;
use crate::support::eventually::eventually;
use crate::support::graph::{PATH, collection, created, post};
use crate::support::{https, ports};

#[tokio::test]
async fn a_proxy_may_come_by_a_unix_socket() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("web.sock");
    let listen = format!(r#"["127.0.0.1:0", "unix:{}"]"#, path.display());
    let configuration = Daemon::configure()
        .without_broker()
        .set("server", "listen", &listen)
        .set("server", "client_address", "\"x_forwarded_for\"")
        .set("server.tls", "mode", "\"off\"")
        .set("log", "level", "\"debug\"");
    let mut daemon = configuration.start().await;
    let send = async || {
        let headers = [("x-forwarded-for", "203.0.113.9")];
        let request = https::request(Method::POST, PATH, &headers, collection([created("by socket")]));
        https::plain_unix(&path, request).await.expect("an answer").status
    };
    assert_eq!(send().await, 202);
    daemon.eventually_logs("203.0.113.9").await;
    assert_eq!(fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o660);
    // What a killed daemon leaves is no hindrance.
    daemon.kill();
    assert!(path.exists());
    daemon.restart().await;
    assert_eq!(send().await, 202);
}

#[tokio::test]
async fn a_unix_socket_in_use_is_left_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("web.sock");
    let other = std::os::unix::net::UnixListener::bind(&path).expect("bound");
    let listen = format!(r#"["unix:{}"]"#, path.display());
    let daemon = Daemon::configure().without_broker().set("server", "listen", &listen).spawn();
    assert_eq!(daemon.wait_exit().await.code(), Some(1));
    assert!(daemon.log().contains("cannot listen on unix:"), "{}", daemon.log());
    drop(other);
}

/// The real `systemd-socket-activate` opens the socket and starts the daemon at the first connection.
#[tokio::test]
async fn sockets_of_systemd_take_the_place_of_the_configured_ones() {
    let [public, admin] = ports::free();
    let daemon = Daemon::configure()
        .without_broker()
        // An address that cannot be bound shows that it is not tried.
        .set("server", "listen", r#"["192.0.2.1:1"]"#)
        .set("admin", "listen", r#""192.0.2.1:2""#)
        .before(&format!(
            r#"set -- systemd-socket-activate --fdname=public:admin -l 127.0.0.1:{public} -l 127.0.0.1:{admin} "$@""#
        ))
        .spawn();
    let first =
        eventually("a connection", async || tokio::net::TcpStream::connect(("127.0.0.1", public)).await.ok())
            .await;
    daemon.listening().await;
    assert_eq!((daemon.public().port(), daemon.admin().port()), (public, admin));
    drop(first);
    assert_eq!(post(&daemon.client(), [created("activated")]).await.status, 202);
}

/// P16: who upgrades restarts, and systemd keeps the socket. Everybody who comes meanwhile is served, by the old one or
/// by the new one; nobody is turned away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_by_a_socket_of_systemd_refuses_no_connection() {
    // The test is systemd: it holds the socket, and hands it to each daemon as number 3.
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
    // Above the numbers that shells use themselves.
    let inherited = fcntl_dupfd_cloexec(&socket, 100).expect("a socket of ours");
    fcntl_setfd(&inherited, FdFlags::empty()).expect("a socket of ours");
    let passed =
        format!("exec 3<&{}; export LISTEN_FDS=1 LISTEN_FDNAMES=public LISTEN_PID=$$", inherited.as_raw_fd());
    let configuration = Daemon::configure()
        .set("server", "listen", r#"["192.0.2.1:1"]"#)
        .before(&format!(r#"set -- bash -c '{passed}; exec "$@"' bash "$@""#));
    let mut scene = Scene::with(configuration, |plan| plan.retries()).await;
    scene.connected().await;
    assert_eq!(scene.daemon.public(), socket.local_addr().expect("an address"));

    let (done, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut visitors = JoinSet::new();
    for _ in 0..4 {
        let (client, end, count) = (scene.daemon.client(), Arc::clone(&done), Arc::clone(&served));
        visitors.spawn(async move {
            while !end.load(Ordering::Relaxed) {
                let greeting = https::request(Method::GET, "/healthz", &[], "");
                let reply = client.fresh().try_send(greeting).await.map(|reply| reply.status);
                assert_eq!(reply.map_err(|error| error.to_string()), Ok(200), "after {count:?}");
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    for _ in 0..4 {
        let before = served.load(Ordering::Relaxed);
        scene.accepts(200).await;
        scene.daemon.signal("TERM");
        assert_eq!(scene.daemon.wait_exit().await.code(), Some(0));
        scene.daemon.restart().await;
        eventually("visitors of the new one", async || {
            (visitors.len() < 4 || served.load(Ordering::Relaxed) > before + 40).then_some(())
        })
        .await;
    }
    done.store(true, Ordering::Relaxed);
    while let Some(ended) = visitors.join_next().await {
        ended.expect("nobody was turned away");
    }
    let (_, verdict) = scene.judge().await;
    verdict.check_times(GRAPH_WAITS);
}

/// One of them would be listened on, and the other never answered.
#[tokio::test]
async fn two_sockets_for_the_admin_listener_are_refused() {
    let [first, second] = ports::free();
    let daemon = Daemon::configure()
        .without_broker()
        .before(&format!(
            r#"set -- systemd-socket-activate --fdname=admin:admin -l 127.0.0.1:{first} -l 127.0.0.1:{second} "$@""#
        ))
        .spawn();
    let knock =
        eventually("a connection", async || tokio::net::TcpStream::connect(("127.0.0.1", first)).await.ok())
            .await;
    assert_eq!(daemon.wait_exit().await.code(), Some(1));
    drop(knock);
    let log = daemon.log();
    assert!(log.contains("socket 1 of systemd (admin): there is one of this name already"), "{log}");
}

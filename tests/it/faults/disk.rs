//! A disk that fails, fills up, slows down or goes away under the daemon.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::{GRAPH_WAITS, SPOOL_ITEMS, Scene};
use crate::support::broker::Node;
use crate::support::cut::Cut;
use crate::support::daemon::{Configuration, Daemon};
use crate::support::disk::{Disk, Errno, Op, Times};
use crate::support::eventually::{eventually, eventually_within};
use crate::support::graph::{created, post};

const WRITABLE: &str = "graphhook_spool_writable";
const DAMAGED: &str = "graphhook_spool_damaged_files_total";

/// A daemon on a disk of its own, behind a proxy to the broker.
async fn on(disk: &Disk) -> (Cut, Configuration) {
    let cut = Cut::to_port(Node::shared().port()).await;
    let configuration = Daemon::configure().broker(Node::shared().url_by(cut.port()));
    (cut, disk.under(configuration))
}

/// S4: the disk fills up while the spool is all there is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_turns_requests_away_and_keeps_what_it_has() {
    let disk = Disk::empty();
    let (cut, configuration) = on(&disk).await;
    cut.refuse();
    let scene = Scene::with(configuration, |plan| plan.retries()).await;
    scene.spools(1000).await;
    disk.fail(Op::Write, Errno::Full, Times::All);
    // Only a write finds out, and this disk says that it has room: so look while there are writes.
    // It is taken for writable again at each look of the spool's, until the next write.
    let is_full = async || (scene.daemon.metrics().await.get(WRITABLE) == 0.0).then_some(());
    eventually_within(Duration::from_secs(60), "a full disk", is_full).await;
    scene.load().eventually_unavailable(20).await;
    assert!(disk.seen().failed(Op::Write) > 0);
    // The way to the broker is open all the same.
    cut.heal();
    scene.connected().await;
    scene.accepts(500).await;
    disk.heal();
    let (daemon, verdict) = scene.judge().await;
    daemon.eventually_metric(WRITABLE, |writable| writable == 1.0).await;
    verdict.check_times(GRAPH_WAITS);
    assert_eq!(daemon.metrics().await.get(DAMAGED), 0.0, "a full disk is no damage");
}

/// S4: the spool's own bound.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_spool_turns_requests_away_and_gives_the_disk_back() {
    let cut = Cut::to_port(Node::shared().port()).await;
    cut.refuse();
    let configuration = Daemon::configure().broker(Node::shared().url_by(cut.port()));
    let scene = Scene::begin(configuration.set("spool", "max_size", "\"8MiB\"")).await;
    scene.load().eventually_unavailable(20).await;
    let used = used(&scene.daemon.spool());
    assert!((4 << 20..=8 << 20).contains(&used), "{used} bytes of 8 MiB");
    // A message that is small enough may still find room, and for that moment it is ready.
    eventually("a spool that is full", async || {
        let (status, page) = scene.daemon.get_admin("/readyz").await;
        (status == 503 && page == "no broker, and the spool is full\n").then_some(())
    })
    .await;
    cut.heal();
    scene.connected().await;
    scene.accepts(1000).await;
    let (daemon, _) = scene.judge().await;
    daemon.eventually_metric("graphhook_spool_bytes", |bytes| bytes < 1048576.0).await;
    eventually("the disk given back", async || (self::used(&daemon.spool()) < 1 << 20).then_some(())).await;
}

fn used(spool: &Path) -> u64 {
    let files = ["spool.db", "spool.db-wal"].map(|name| spool.join(name));
    files.iter().filter_map(|file| fs::metadata(file).ok()).map(|file| file.len()).sum()
}

/// S6: what is written or synced fails; a new file takes over, and the old one gives back what it held.
async fn fails(op: Op, errno: Errno) {
    let disk = Disk::empty();
    let (cut, configuration) = on(&disk).await;
    cut.refuse();
    let scene = Scene::with(configuration, |plan| plan.retries()).await;
    scene.spools(1000).await;
    for _ in 0..3 {
        eventually_set_aside(&scene.daemon, &disk, (op, errno)).await;
        scene.accepts(300).await;
    }
    assert!(disk.seen().failed(op) >= 3);
    cut.heal();
    let (daemon, verdict) = scene.judge().await;
    verdict.check_times(GRAPH_WAITS);
    assert!(daemon.metrics().await.get("graphhook_spool_salvaged_total") >= 1000.0);
    let beside: Vec<String> = names(&daemon.spool());
    assert!(beside.iter().any(|name| name.contains("salvaged")), "kept for people: {beside:?}");
    assert!(!beside.iter().any(|name| name.contains("damaged")), "all read: {beside:?}");
}

/// Has the log fail until a file is set aside. Once may not be enough: when SQLite moves the log's content into the file by
/// itself, it syncs the log once more, and tells nobody that this failed; all of that was synced before.
async fn eventually_set_aside(daemon: &Daemon, disk: &Disk, (op, errno): (Op, Errno)) {
    let damaged = async || daemon.metrics().await.get(DAMAGED);
    let before = damaged().await;
    let mut failed = None;
    eventually("a file set aside", async || {
        let now = disk.seen().failed(op);
        if damaged().await > before {
            return Some(());
        }
        if failed != Some(now) {
            failed = Some(now);
            disk.fail_on("-wal", op, errno, Times::Next(1));
        }
        None
    })
    .await;
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("a directory");
    entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

/// S6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_fails_costs_nothing() {
    fails(Op::Write, Errno::Io).await;
}

/// S6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_fsync_that_fails_costs_nothing_and_is_not_believed_later() {
    fails(Op::Sync, Errno::Io).await;
}

/// S6: nothing works any more; then it does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_disk_is_not_believed() {
    let disk = Disk::empty();
    let (cut, configuration) = on(&disk).await;
    cut.refuse();
    let scene = Scene::with(configuration, |plan| plan.retries()).await;
    scene.spools(500).await;
    for op in [Op::Sync, Op::Write, Op::Open, Op::Rename] {
        disk.fail(op, Errno::Io, Times::All);
    }
    scene.load().eventually_unavailable(20).await;
    scene.daemon.eventually_metric(WRITABLE, |writable| writable == 0.0).await;
    disk.heal();
    scene.daemon.eventually_metric(WRITABLE, |writable| writable == 1.0).await;
    scene.accepts(500).await;
    cut.heal();
    scene.judge().await;
}

/// S10: each fsync takes long, then longer than Graph waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_disk_keeps_nobody_waiting() {
    let disk = Disk::empty();
    let (cut, configuration) = on(&disk).await;
    cut.refuse();
    let scene = Scene::with(configuration, |plan| plan.clients(16)).await;
    scene.spools(500).await;
    disk.delay_syncs(Duration::from_millis(200));
    scene.spools(1000).await;
    disk.delay_syncs(Duration::from_secs(4));
    scene.load().eventually_unavailable(16).await;
    assert!(disk.seen().delayed > 0);
    disk.heal();
    scene.spools(500).await;
    cut.heal();
    let (_, verdict) = scene.judge().await;
    verdict.check_times(GRAPH_WAITS);
}

/// S11: somebody deletes the directory, with everything in it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_is_deleted_costs_nothing() {
    let cut = Cut::to_port(Node::shared().port()).await;
    cut.refuse();
    let configuration = Daemon::configure().broker(Node::shared().url_by(cut.port()));
    let scene = Scene::with(configuration, |plan| plan.retries()).await;
    scene.spools(1000).await;
    fs::remove_dir_all(scene.daemon.spool()).expect("the directory can be deleted");
    scene.daemon.eventually_metric(DAMAGED, |files| files == 1.0).await;
    scene.accepts(500).await;
    let spool = scene.daemon.spool().join("spool.db");
    assert!(spool.exists(), "it was made again");
    cut.heal();
    scene.judge().await;
}

/// S11: somebody deletes the file alone; its log and the index of that stay behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_deleted_costs_nothing() {
    let cut = Cut::to_port(Node::shared().port()).await;
    cut.refuse();
    let configuration = Daemon::configure().broker(Node::shared().url_by(cut.port()));
    // So much that most of it has been written back from the log.
    let mut scene = Scene::with(configuration, |plan| plan.rate(400).retries()).await;
    scene.spools(8000).await;
    scene.stop_load().await;
    fs::remove_file(scene.daemon.spool().join("spool.db")).expect("the file can be deleted");
    // Nobody sends anything: it is noticed all the same.
    scene.daemon.eventually_metric(DAMAGED, |files| files == 1.0).await;
    cut.heal();
    scene.judge().await;
}

/// S6: while a damaged file is saved, the disk fills up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_is_full_while_a_file_is_saved_costs_nothing() {
    let disk = Disk::empty();
    let (cut, configuration) = on(&disk).await;
    cut.refuse();
    let mut scene = Scene::with(configuration, |plan| plan.rate(400).retries()).await;
    scene.spools(4000).await;
    disk.fail_on("-wal", Op::Write, Errno::Io, Times::Next(1));
    scene.daemon.eventually_metric(DAMAGED, |files| files == 1.0).await;
    disk.fail(Op::Write, Errno::Full, Times::All);
    scene.stop_load().await;
    let full = disk.seen().failed(Op::Write);
    eventually("writes that fail", async || (disk.seen().failed(Op::Write) > full + 2).then_some(())).await;
    // Whether the fresh file was there before the disk was full is chance; the operator hears of it either way.
    let is_told = |log: &str| log.contains("no room on the disk") || log.contains("disk is full");
    eventually("a word of the full disk", async || is_told(&scene.daemon.log()).then_some(())).await;
    disk.heal();
    cut.heal();
    scene.judge().await;
}

/// S11: the directory cannot be written when the daemon starts, and later it can.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_can_only_be_read_is_not_ready_until_it_can_be_written() {
    let disk = Arc::new(Disk::empty());
    disk.fail(Op::Open, Errno::ReadOnly, Times::All);
    let configuration = disk.under(Daemon::configure().without_broker());
    let daemon = configuration.start().await;
    daemon.eventually_logs("no spool").await;
    assert_eq!(daemon.get_admin("/readyz").await.0, 503);
    assert_eq!(post(&daemon.client(), [created("no")]).await.status, 503);
    assert_eq!(daemon.exited(), None);
    disk.heal();
    daemon.eventually_metric(WRITABLE, |writable| writable == 1.0).await;
    assert_eq!(post(&daemon.client(), [created("yes")]).await.status, 202);
    assert_eq!(daemon.metrics().await.get(SPOOL_ITEMS), 1.0);
}

//! The spool's files, damaged while nobody looks: what is readable comes out, and what is not is counted.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::{SPOOL_ITEMS, Scene, eventually_empty};
use crate::support::broker::Node;
use crate::support::cut::Cut;
use crate::support::daemon::{CONNECTION_UP, Daemon};
use crate::support::eventually::eventually;
use crate::support::graph::{created, post};
use crate::support::oracle::Taken;
use crate::support::queue::Amqp;

const DAMAGED: &str = "graphhook_spool_damaged_files_total";
const CUT_LOG: &str = "a log cut short";
const UNREADABLE: &str = "graphhook_spool_unreadable_total";

/// How the daemon ends before its files are damaged.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    /// The log is written back.
    Stopped,
    /// The log holds the newest.
    Killed,
}

/// A daemon with some thousand messages in its spool, ended; and the proxy by which it will find its broker.
async fn filled(end: End) -> (Scene, Cut) {
    let cut = Cut::to_port(Node::shared().port()).await;
    cut.refuse();
    let configuration = Daemon::configure().broker(Node::shared().url_by(cut.port()));
    let mut scene = Scene::begin(configuration).await;
    scene.spools(3000).await;
    scene.stop_load().await;
    match end {
        End::Stopped => {
            scene.daemon.signal("TERM");
            scene.daemon.wait_exit().await;
        }
        End::Killed => _ = scene.daemon.kill(),
    }
    (scene, cut)
}

/// Starts the daemon on the damaged files and empties them; `lost_max` messages may be gone, and nothing may be
/// altered or invented.
async fn check_saved(mut scene: Scene, cut: &Cut, end: End, lost_max: usize, what: &str) -> Daemon {
    cut.heal();
    scene.daemon.restart().await;
    scene.connected().await;
    let aside = "graphhook_spool_set_aside_items";
    eventually("all but the unreadable gone", async || {
        let metrics = scene.daemon.metrics().await;
        (metrics.get(SPOOL_ITEMS) == metrics.get(aside)).then_some(())
    })
    .await;
    let taken = Amqp::connect(&scene.broker).await.queue(scene.daemon.queue()).drain().await;
    let verdict = scene.oracle.judge(&Taken { normal: taken, quarantine: Vec::new() });
    let lost = verdict.lost.len();
    assert!(lost <= lost_max, "{what}: {lost} messages lost; the daemon said\n{}", scene.daemon.log());
    assert!(verdict.altered.is_empty() && verdict.invented.is_empty(), "{what}: {}", verdict.json());
    // Whatever is missing has been complained of. Only a log that ends too early looks like that of a crash.
    let metrics = scene.daemon.metrics().await;
    let complaints = metrics.get(DAMAGED) + metrics.get(UNREADABLE);
    // And consumers know that they have something to fetch, as far as it is known of which subscriptions.
    if lost > 0 && complaints > 0.0 && end == End::Stopped {
        let told = r#"graphhook_gaps_total{reason="spool_loss"}"#;
        scene.daemon.eventually_metric(told, |told| told > 0.0).await;
    }
    let is_silent = lost > 0 && complaints == 0.0;
    assert!(!is_silent || what == CUT_LOG, "{what}: {lost} messages are gone without a word");
    scene.daemon
}

fn flip(file: &Path, at: u64) {
    let file = fs::File::options().read(true).write(true).open(file).expect("the file is there");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("the place is in the file");
    byte[0] ^= 1 << (at % 8);
    file.write_all_at(&byte, at).expect("the file can be written");
}

/// S7: one bit, at places drawn from all parts of both files.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_costs_one_message_at_most() {
    for (round, end) in [End::Stopped, End::Killed, End::Stopped, End::Killed].into_iter().enumerate() {
        let (scene, cut) = filled(end).await;
        let name = if end == End::Killed { "spool.db-wal" } else { "spool.db" };
        let file = scene.daemon.spool().join(name);
        let length = fs::metadata(&file).expect("the file is there").len();
        // The header first, then anywhere.
        let at = if round < 2 { 20 } else { length / 7 * 3 + 1234 };
        flip(&file, at);
        check_saved(scene, &cut, end, 1, &format!("{name}, byte {at} of {length}")).await;
    }
}

/// S7: many bits, each of which may cost one message.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_flipped_bits_cost_no_more_messages_than_bits() {
    for end in [End::Stopped, End::Killed] {
        let (scene, cut) = filled(end).await;
        let mut flips = 0;
        for name in ["spool.db", "spool.db-wal"] {
            let file = scene.daemon.spool().join(name);
            let Ok(length) = fs::metadata(&file).map(|file| file.len()) else { continue };
            let step = (length / 25).max(1);
            for at in (step / 2..length).step_by(usize::try_from(step).expect("a small file")) {
                flip(&file, at);
                flips += 1;
            }
        }
        assert!(flips >= 20);
        check_saved(scene, &cut, end, flips, &format!("{end:?}, {flips} bits")).await;
    }
}

/// S7, while the daemon runs: neighbours go their way, the damaged one is set aside.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_damaged_in_place_is_set_aside() {
    let (scene, cut) = filled(End::Stopped).await;
    let file = scene.daemon.spool().join("spool.db");
    let bytes = fs::read(&file).expect("the file can be read");
    let body = bytes.windows(11).rposition(|window| window == b"\"clientStat").expect("a body");
    flip(&file, body as u64 + 1);
    let daemon = check_saved(scene, &cut, End::Stopped, 1, "one byte of a body").await;
    assert_eq!(daemon.metrics().await.get(UNREADABLE), 1.0);
    assert_eq!(daemon.metrics().await.get("graphhook_spool_set_aside_items"), 1.0);
}

/// S8: files cut short, zeroed, overwritten, gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_any_bytes_do_not_stop_the_daemon() {
    type Damage = fn(&Path);
    let damages: [(&str, End, Damage, usize); 6] = [
        ("cut short", End::Stopped, |spool| cut_short(&spool.join("spool.db")), 2000),
        (CUT_LOG, End::Killed, |spool| cut_short(&spool.join("spool.db-wal")), 3000),
        ("no file, only its log", End::Killed, |spool| gone(&spool.join("spool.db")), 3000),
        ("a hole of zeros", End::Stopped, |spool| zeroed(&spool.join("spool.db")), 300),
        (
            "a foreign file",
            End::Stopped,
            |spool| write(&spool.join("spool.db"), b"not a database"),
            usize::MAX,
        ),
        ("an empty file", End::Stopped, |spool| write(&spool.join("spool.db"), b""), usize::MAX),
    ];
    for (what, end, damage, lost_max) in damages {
        let (scene, cut) = filled(end).await;
        damage(&scene.daemon.spool());
        let daemon = check_saved(scene, &cut, end, lost_max, what).await;
        assert!(daemon.metrics().await.get(DAMAGED) >= 1.0 || end == End::Killed, "{what} went unnoticed");
        assert_eq!(post(&daemon.client(), [created("after")]).await.status, 202);
    }
}

fn cut_short(file: &Path) {
    let length = fs::metadata(file).expect("the file is there").len();
    fs::File::options()
        .write(true)
        .open(file)
        .and_then(|file| file.set_len(length / 2))
        .expect("it can be cut");
}

fn gone(file: &Path) {
    fs::remove_file(file).expect("the file is there");
}

fn zeroed(file: &Path) {
    let length = fs::metadata(file).expect("the file is there").len();
    let file = fs::File::options().write(true).open(file).expect("the file is there");
    file.write_all_at(&[0; 65536], length / 4096 / 2 * 4096).expect("the file can be written");
}

fn write(file: &Path, bytes: &[u8]) {
    fs::write(file, bytes).expect("the file can be written");
}

/// S1: killed while a damaged file is saved.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_a_damaged_file_is_saved() {
    for point in ["SpoolBeforeAside", "SpoolAfterAside", "SpoolMidSalvage"] {
        let (mut scene, cut) = filled(End::Stopped).await;
        flip(&scene.daemon.spool().join("spool.db"), 3);
        scene.daemon.reconfigure(|configuration| configuration.env("FAIL_POINT", point));
        let configured = scene.daemon.restart_until_exit().await;
        assert_eq!(configured.code(), None, "{point} was never reached");
        scene.daemon.reconfigure(|configuration| configuration.env("FAIL_POINT", ""));
        check_saved(scene, &cut, End::Killed, 0, point).await;
    }
}

/// S12
#[tokio::test]
async fn a_spool_has_one_daemon() {
    let first = Daemon::configure().without_broker().start().await;
    let spool = format!("{:?}", first.spool().display().to_string());
    let second = Daemon::configure().without_broker().set("spool", "directory", &spool).spawn();
    assert_eq!(second.wait_exit().await.code(), Some(1));
    assert!(second.log().contains("another graphhook"), "{}", second.log());
    assert_eq!(post(&first.client(), [created("mine")]).await.status, 202);
}

/// S14
#[tokio::test]
async fn a_spool_of_a_newer_program_is_left_alone() {
    let mut daemon = Daemon::configure().without_broker().start().await;
    assert_eq!(post(&daemon.client(), [created("kept")]).await.status, 202);
    daemon.signal("TERM");
    assert_eq!(daemon.wait_exit().await.code(), Some(0));
    let file = daemon.spool().join("spool.db");
    let spool = rusqlite::Connection::open(&file).expect("a database");
    spool.pragma_update(None, "user_version", 2).expect("it can be changed");
    spool.close().expect("it closes");
    let before = fs::read(&file).expect("it can be read");
    assert_eq!(daemon.restart_until_exit().await.code(), Some(78));
    assert!(daemon.log().contains("newer"), "{}", daemon.log());
    assert_eq!(fs::read(&file).expect("it can be read"), before);
}

/// S9: a backlog many times as large as the memory it may take.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_backlog_takes_little_memory_and_no_time_to_open() {
    let cut = Cut::to_port(Node::shared().port()).await;
    cut.refuse();
    let configuration = Daemon::configure().broker(Node::shared().url_by(cut.port()));
    let mut scene = Scene::with(configuration, |plan| plan.batches(&[400])).await;
    scene.accepts(80_000).await;
    scene.stop_load().await;
    scene.daemon.kill();
    let size = fs::metadata(scene.daemon.spool().join("spool.db")).expect("the file is there").len();
    assert!(size > 100 << 20, "only {size} bytes");
    // Less than the backlog, threads and all.
    scene.daemon.reconfigure(|configuration| configuration.before("ulimit -d 65536"));
    scene.daemon.restart().await;
    assert_eq!(scene.daemon.get_admin("/readyz").await.0, 200);
    // Fresh messages do not wait for old ones.
    cut.heal();
    scene.daemon.eventually_metric(CONNECTION_UP, |up| up == 1.0).await;
    assert_eq!(post(&scene.daemon.client(), [created("fresh")]).await.status, 202);
    let published = r#"graphhook_notifications_outcome_total{outcome="published"}"#;
    assert_eq!(scene.daemon.metrics().await.get(published), 1.0);
    assert!(scene.daemon.metrics().await.get(SPOOL_ITEMS) > 0.0, "it was emptied before it was looked at");
    eventually_empty(&scene.daemon).await;
    let memory = scene.daemon.metrics().await.get("process_resident_memory_bytes");
    assert!(memory < 128.0 * 1048576.0, "{memory} bytes of memory");
}

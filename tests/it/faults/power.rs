//! S2, S3: the power goes, and with it whatever was not synced.
//!
//! A real daemon works on a watched disk. From the trace of its writes and syncs the directory is made as it may be
//! after a power cut at any moment, with unsynced writes kept, lost or torn by chance; the real daemon opens
//! it, empties it, and everything must come out that had been answered 202 before that moment.

use std::sync::Arc;

use futures_util::StreamExt;

use super::{Scene, eventually_empty};
use crate::support::broker::Node;
use crate::support::cut::Cut;
use crate::support::daemon::Daemon;
use crate::support::disk::{Disk, Loss, Trace};
use crate::support::oracle::{Item, Oracle, Taken};
use crate::support::queue::Amqp;

/// Moments at which the power goes, spread evenly over the trace.
const CUTS: usize = 16;
/// Daemons at once.
const AT_ONCE: usize = 4;

/// The power goes after the first `count` operations: everything that was promised by then, but for what consumers
/// have already, comes out of what is left.
async fn cut_power(trace: &Trace, oracle: &Oracle, count: usize, loss: Loss, had: &[Item]) {
    let disk = trace.power_cut(count, loss);
    let spool = format!("{:?}", disk.path().join("spool").display().to_string());
    let daemon = Daemon::configure().set("spool", "directory", &spool).connected().await;
    eventually_empty(&daemon).await;
    let amqp = Amqp::connect(&Node::shared().url()).await;
    let taken = Taken { normal: amqp.queue(daemon.queue()).drain().await, quarantine: Vec::new() };
    let mut promised = oracle.obligations_by(|mark| trace.before(mark) <= count);
    promised.retain(|item| !had.contains(item));
    let verdict = oracle.judge_for(&promised, &taken);
    assert!(
        verdict.lost.is_empty(),
        "after {count} of {} operations, with {loss:?}: {} of {} lost; the daemon said\n{}",
        trace.count(),
        verdict.lost.len(),
        promised.len(),
        daemon.log()
    );
    verdict.check();
    assert_eq!(daemon.metrics().await.get("graphhook_spool_unreadable_total"), 0.0);
}

async fn cut_power_everywhere(trace: &Trace, oracle: &Oracle, had: &[Item]) {
    let cuts = (1..=CUTS).map(|number| {
        let count = trace.count() * number / CUTS;
        let loss = match number % 4 {
            0 => Loss::Everything,
            1 => Loss::Nothing,
            _ => Loss::Seeded(number as u64),
        };
        cut_power(trace, oracle, count, loss, had)
    });
    futures_util::stream::iter(cuts).buffer_unordered(AT_ONCE).collect::<()>().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_promised_outlives_a_power_cut_at_any_moment() {
    let disk = Arc::new(Disk::empty());
    let configuration = disk.under(Daemon::configure().without_broker());
    let mut scene = Scene::with(configuration, |plan| plan.marks(&disk)).await;
    scene.accepts(3000).await;
    scene.stop_load().await;
    scene.daemon.kill();
    let trace = disk.trace();
    trace.check_whole(&disk.root());
    cut_power_everywhere(&trace, &scene.oracle, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_cut_while_the_spool_is_emptied_loses_nothing() {
    let disk = Arc::new(Disk::empty());
    let cut = Cut::to_port(Node::shared().port()).await;
    cut.refuse();
    let configuration = disk.under(Daemon::configure().broker(Node::shared().url_by(cut.port())));
    let mut scene = Scene::with(configuration, |plan| plan.marks(&disk)).await;
    for _ in 0..2 {
        scene.spools(1500).await;
        cut.heal();
        scene.connected().await;
        scene.accepts(300).await;
        cut.refuse();
        cut.cut();
    }
    scene.stop_load().await;
    scene.daemon.kill();
    let amqp = Amqp::connect(&scene.broker).await;
    let taken = amqp.queue(scene.daemon.queue()).drain().await;
    let had = scene.oracle.known(&taken);
    assert!(had.len() > 500, "little was delivered: {}", had.len());
    let trace = disk.trace();
    trace.check_whole(&disk.root());
    cut_power_everywhere(&trace, &scene.oracle, &had).await;
}

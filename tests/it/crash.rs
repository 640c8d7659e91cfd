//! The daemon itself is killed.

use crate::support::broker::Node;
use crate::support::daemon::{CONNECTION_UP, Daemon};
use crate::support::load::{Load, check_nothing_lost, drained};
use crate::support::queue::Amqp;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_daemon_has_lost_nothing_that_it_accepted() {
    let mut daemon = Daemon::configure().start().await;
    let queue = Amqp::connect(&Node::shared().url()).await.queue(daemon.queue());
    let mut accepted = std::collections::BTreeSet::new();
    for round in 0..3 {
        daemon.eventually_metric(CONNECTION_UP, |up| up == 1.0).await;
        let load = Load::start(&daemon, &format!("crash-{round}"), 8);
        load.eventually_accepts(300).await;
        daemon.kill();
        accepted.extend(load.stop().await);
        daemon.restart().await;
    }
    assert!(accepted.len() >= 900);
    check_nothing_lost(&accepted, &drained(&queue, &accepted).await);
}

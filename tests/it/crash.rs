//! The daemon itself is killed.

use crate::support::broker::Node;
use crate::support::daemon::{CONNECTION_UP, Daemon};
use crate::support::load::Plan;
use crate::support::oracle::Oracle;
use crate::support::queue::Amqp;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_daemon_has_lost_nothing_that_it_accepted() {
    let mut daemon = Daemon::configure().connected().await;
    let oracle = Oracle::with_fresh_key();
    let load = Plan::new(&oracle).retries().start(&daemon);
    for _ in 0..3 {
        load.eventually_accepts(300).await;
        daemon.kill();
        load.eventually_unanswered(8).await;
        daemon.restart().await;
        daemon.eventually_metric(CONNECTION_UP, |up| up == 1.0).await;
        load.follow(&daemon);
    }
    load.eventually_accepts(300).await;
    load.stop().await;
    let taken = oracle.taken(&Amqp::connect(&Node::shared().url()).await, &daemon).await;
    oracle.judge(&taken).check().check_doubles(0);
}

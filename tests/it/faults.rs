//! Everything that can go wrong around the daemon, under load, judged by the oracle: what was answered 202 is there,
//! nothing was invented or altered, and the daemon recovers by itself.
//!
//! Names such as B1 stand for the fault tests in `docs/evidence.md`.

mod broker;
mod disk;
mod host;
mod power;
mod process;
mod scripted;
mod spool;

use std::sync::Arc;
use std::time::Duration;

use crate::support::broker::{Faulty, Node};
use crate::support::daemon::{CONNECTION_UP, Configuration, Daemon};
use crate::support::eventually::eventually_within;
use crate::support::load::{Load, Plan};
use crate::support::oracle::{Oracle, Verdict};
use crate::support::queue::Amqp;

/// Graph's patience for a first answer.
pub(crate) const GRAPH_WAITS: Duration = Duration::from_secs(3);
/// Messages in the spool.
pub(super) const SPOOL_ITEMS: &str = "graphhook_spool_items";
/// Items whose answer rested on the spool.
const SPOOLED: &str = r#"graphhook_notifications_outcome_total{outcome="spooled"}"#;

/// Graph sending to a daemon, watched by an oracle.
pub(crate) struct Scene {
    pub(crate) daemon: Daemon,
    oracle: Arc<Oracle>,
    load: Option<Load>,
    /// Where consumers connect.
    broker: String,
}

impl Scene {
    /// A daemon in front of the broker that all tests share, and eight clients.
    pub(crate) async fn begin(configuration: Configuration) -> Self {
        Self::with(configuration, |plan| plan).await
    }

    pub(crate) async fn with(configuration: Configuration, plan: impl FnOnce(Plan) -> Plan) -> Self {
        let daemon = configuration.start().await;
        let oracle = Oracle::with_fresh_key();
        let load = plan(steady(&oracle)).start(&daemon);
        Self { daemon, oracle, load: Some(load), broker: Node::shared().url() }
    }

    /// The same with a broker of its own, to be maltreated; connected.
    async fn beside(configuration: Configuration) -> (Faulty, Self) {
        let node = Node::faulty().await;
        let daemon = configuration
            .broker(format!("{}?heartbeat=2", node.url()))
            .set("broker", "connect_within", "\"2s\"")
            .connected()
            .await;
        // RabbitMQ 3.10 saves the names of its quorum queues every few minutes only; a queue younger than that is
        // there after a crash, but nothing published to it is ever confirmed.
        node.ctl(&["eval", "[dets:sync(Table) || Table <- dets:all()]."]).await;
        let oracle = Oracle::with_fresh_key();
        let load = steady(&oracle).start(&daemon);
        let broker = node.url();
        (node, Self { daemon, oracle, load: Some(load), broker })
    }

    pub(crate) fn load(&self) -> &Load {
        self.load.as_ref().expect("the load has not been stopped")
    }

    /// Waits until so many more items were accepted.
    pub(crate) async fn accepts(&self, more: u64) {
        self.load().eventually_accepts(more).await;
    }

    /// Waits until so many items more rest on the spool.
    async fn spools(&self, more: u64) {
        let wanted = self.daemon.metrics().await.get(SPOOLED) + more as f64;
        self.daemon.eventually_metric(SPOOLED, |spooled| spooled >= wanted).await;
    }

    pub(crate) async fn connected(&self) {
        self.daemon.eventually_metric(CONNECTION_UP, |up| up == 1.0).await;
    }

    /// Ends the load.
    async fn stop_load(&mut self) {
        self.load.take().expect("a load ends once").stop().await;
    }

    /// Ends the load, waits until the spool is empty and the books are even, and judges.
    pub(crate) async fn judge(mut self) -> (Daemon, Verdict) {
        if self.load.is_some() {
            self.stop_load().await;
        }
        self.connected().await;
        eventually_empty(&self.daemon).await;
        check_books(&self.daemon).await;
        let verdict = self.verdict().await;
        (self.daemon, verdict)
    }

    /// What consumers got, judged.
    async fn verdict(&self) -> Verdict {
        let taken = self.oracle.taken(&Amqp::connect(&self.broker).await, &self.daemon).await;
        let verdict = self.oracle.judge(&taken);
        verdict.check();
        verdict
    }
}

/// About a thousand items a second in batches of all sizes: what is accepted must also be looked at by the test.
fn steady(oracle: &Arc<Oracle>) -> Plan {
    Plan::new(oracle).mixed().rate(60)
}

/// Waits until everything has left the spool.
async fn eventually_empty(daemon: &Daemon) {
    let empty = async || (daemon.metrics().await.get(SPOOL_ITEMS) == 0.0).then_some(());
    eventually_within(Duration::from_secs(60), "an empty spool", empty).await;
}

/// Received = published + spooled + refused + unavailable.
pub(super) async fn check_books(daemon: &Daemon) {
    daemon.eventually_metric("graphhook_notifications_in_flight", |open| open == 0.0).await;
    assert_eq!(daemon.metrics().await.get("graphhook_conservation_error"), 0.0);
}

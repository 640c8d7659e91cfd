//! The lock that daemons on one exchange share: one of them has it, and nobody's messages are touched by it.

use std::sync::Arc;
use std::time::Duration;

use graphhook::config::{Environment, load};
use graphhook::deadline::Deadline;
use graphhook::delivery::Delivery;
use graphhook::delivery::lock::{Standing, name};
use graphhook::delivery::spool::Spool;
use graphhook::envelope::Envelope;
use graphhook::envelope::gap::{Gap, GapReason};
use graphhook::envelope::routing::Template;
use graphhook::metrics::{Connect, Metrics};
use graphhook::trace::export::Tracer;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::{self, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::support::broker::Node;
use crate::support::certs::Authority;
use crate::support::cut::Cut;
use crate::support::daemon::{Configuration, Daemon};
use crate::support::eventually::{eventually, eventually_within, within};
use crate::support::queue::unique;

/// What of a daemon has to do with a broker, in this process.
struct Holder {
    delivery: Delivery,
    metrics: Arc<Metrics>,
    standing: watch::Receiver<Standing>,
    stop: CancellationToken,
    connecting: JoinSet<()>,
    spool: Spool,
    _directory: TempDir,
}

impl Holder {
    /// One that wants the lock of this exchange.
    async fn of(exchange: &str, configuration: Configuration) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let certificates = Authority::generate().write_into(directory.path());
        let file = configuration.exchange(exchange).write_into(directory.path(), &certificates);
        let config = load(Some(&file), &Environment::default()).expect("a configuration").config;
        let metrics = Metrics::new();
        let (spool, keeper) = Spool::open(config.spool.clone(), Arc::clone(&metrics)).expect("a spool");
        task::spawn_blocking(|| keeper.run());
        let tracer = Tracer::idle(config.traces.sample);
        let (delivery, connector, _) =
            Delivery::new(&config.broker, spool.clone(), tracer, Arc::clone(&metrics));
        let (stop, mut connecting) = (CancellationToken::new(), JoinSet::new());
        connecting.spawn(connector.run(stop.clone()));
        let standing = delivery.lock().standing();
        delivery.lock().want(true);
        Self { delivery, metrics, standing, stop, connecting, spool, _directory: directory }
    }

    fn stands(&self) -> Standing {
        *self.standing.borrow()
    }

    /// Within the longest pause of who waits, and some.
    async fn eventually(&self, standing: Standing) {
        let what = format!("that it is {standing:?}");
        eventually_within(Duration::from_secs(45), what, async || (self.stands() == standing).then_some(()))
            .await;
        let held = i64::from(standing == Standing::Held);
        eventually("the gauge", async || (self.metrics.lock_held.get() == held).then_some(())).await;
    }

    /// A message is confirmed by the broker.
    async fn check_publishes(&self) {
        assert_eq!(self.publishes().await, (1, 0));
    }

    /// Delivers a message: published, spooled.
    async fn publishes(&self) -> (usize, usize) {
        let receipts = self.delivery.deliver(vec![message()], Deadline::after(Duration::from_secs(5))).await;
        let receipts = receipts.expect("it is safe");
        (receipts.published(), receipts.spooled())
    }

    /// Ends as a daemon does.
    async fn stops(mut self) {
        self.stop.cancel();
        within(Duration::from_secs(5), "the stop", self.connecting.join_next()).await;
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.spool.stop();
    }
}

/// Any message that has no other like it.
fn message() -> Envelope {
    Gap::new(GapReason::Lost, None, std::time::SystemTime::now()).envelope(&Template::default())
}

/// Waits until the broker has said so often that another connection has it.
async fn was_told_no(node: &Node, exchange: &str, times: usize) {
    let name = name(exchange);
    let said =
        || node.log().lines().filter(|line| line.contains("resource_locked") && line.contains(&name)).count();
    let bound = Duration::from_secs(45);
    eventually_within(bound, "that it was told no", async || (said() >= times).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_has_it_and_the_other_takes_over() {
    let (node, exchange) = (Node::shared(), unique("lock"));
    let cut = Cut::to_port(node.port()).await;
    let first = Holder::of(&exchange, Daemon::configure().broker(node.url_by(cut.port()))).await;
    first.eventually(Standing::Held).await;
    let second = Holder::of(&exchange, Daemon::configure()).await;
    // Twice, and no message is touched by it.
    for times in 1..=2 {
        was_told_no(node, &exchange, times).await;
        second.check_publishes().await;
        assert_eq!((first.stands(), second.stands()), (Standing::Held, Standing::Waiting));
    }
    assert_eq!(second.metrics.connects.get(Connect::Ready), 1, "its session ended over a question");
    cut.refuse();
    cut.cut();
    first.eventually(Standing::Waiting).await;
    second.eventually(Standing::Held).await;
    // Whoever comes back stands in line.
    cut.heal();
    was_told_no(node, &exchange, 3).await;
    assert_eq!((first.stands(), second.stands()), (Standing::Waiting, Standing::Held));
    second.stops().await;
    first.eventually(Standing::Held).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn given_up_it_is_free_and_the_session_goes_on() {
    let exchange = unique("lock");
    let first = Holder::of(&exchange, Daemon::configure()).await;
    first.eventually(Standing::Held).await;
    first.delivery.lock().want(false);
    assert_eq!(first.stands(), Standing::Unwanted);
    eventually("the gauge", async || (first.metrics.lock_held.get() == 0).then_some(())).await;
    let second = Holder::of(&exchange, Daemon::configure()).await;
    second.eventually(Standing::Held).await;
    first.check_publishes().await;
    assert_eq!(first.metrics.connects.get(Connect::Ready), 1);
    // And it can be wanted again.
    first.delivery.lock().want(true);
    second.delivery.lock().want(false);
    first.eventually(Standing::Held).await;
    first.stops().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_starts_again_is_asked_again() {
    let node = Node::faulty().await;
    // A quorum queue of a node that was killed may be without a leader for long.
    let configuration = Daemon::configure().broker(node.url()).set("broker", "queue_type", "\"classic\"");
    let holder = Holder::of(&unique("lock"), configuration).await;
    holder.eventually(Standing::Held).await;
    node.kill();
    holder.eventually(Standing::Waiting).await;
    node.start().await;
    holder.eventually(Standing::Held).await;
    // Its queue needs a moment.
    eventually("a message confirmed", async || (holder.publishes().await == (1, 0)).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_does_not_allow_it_is_asked_seldom_and_takes_messages() {
    let (node, exchange, user) = (Node::shared(), unique("lock"), unique("user"));
    node.ctl(&["add_user", &user, "hunter2"]).await;
    let but_the_lock = r"^(?!.*\.subscriptions$).*$";
    node.ctl(&["set_permissions", &user, but_the_lock, ".*", ".*"]).await;
    let url = node.url().replace("guest:guest@", &format!("{user}:hunter2@"));
    assert!(url.contains(&user), "{url}");
    let holder = Holder::of(&exchange, Daemon::configure().broker(url)).await;
    let refusals = || {
        node.log()
            .lines()
            .filter(|line| line.contains("access_refused") && line.contains(&name(&exchange)))
            .count()
    };
    eventually("a refusal", async || (refusals() > 0).then_some(())).await;
    for _ in 0..20 {
        holder.check_publishes().await;
    }
    assert_eq!((refusals(), holder.stands()), (1, Standing::Waiting));
    assert_eq!(holder.metrics.connects.get(Connect::Ready), 1);
    holder.stops().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_right_to_declare_it_is_had_all_the_same() {
    let exchange = unique("lock");
    let first = Holder::of(&exchange, Daemon::configure().queue("")).await;
    first.eventually(Standing::Held).await;
    first.stops().await;
    // Its exchange is there now; nothing else is declared.
    let checks =
        Daemon::configure().queue("").set("broker", "declare", "false").set("broker", "quarantine", "false");
    let second = Holder::of(&exchange, checks).await;
    second.eventually(Standing::Held).await;
}

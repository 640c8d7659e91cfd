//! Graph under load: clients that POST without pause, for an [`Oracle`] that remembers what was answered.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};

use super::daemon::Daemon;
use super::disk::Disk;
use super::eventually::eventually_within;
use super::graph::{PATH, collection};
use super::https::{Client, request};
use super::oracle::{Answer, Item, Oracle, Sender};

/// What the clients do; `.start()` on it sets them to work.
#[derive(Clone)]
pub struct Plan {
    oracle: Arc<Oracle>,
    clients: u32,
    batches: Vec<usize>,
    forged_one_in: Option<u64>,
    rate: Option<u32>,
    retries: bool,
    disk: Option<Arc<Disk>>,
    opened: Arc<AtomicU64>,
    through: Option<SocketAddr>,
}

/// Which secret the subscriptions have.
#[derive(Clone, Copy)]
pub enum Secrets {
    /// The first.
    Old,
    /// Half of them have moved to the next.
    Both,
    /// All have moved.
    New,
}

/// Clients at work. They end when this is dropped.
pub struct Load {
    oracle: Arc<Oracle>,
    orders: watch::Sender<Orders>,
    clients: JoinSet<()>,
    opened: Arc<AtomicU64>,
}

/// What the clients are told while they work.
#[derive(Clone)]
struct Orders {
    address: SocketAddr,
    ca: PathBuf,
    secrets: Secrets,
    stop: bool,
}

impl Plan {
    /// Eight clients that send batches of three genuine items, as fast as they are answered, and each only once.
    pub fn new(oracle: &Arc<Oracle>) -> Self {
        Self {
            oracle: Arc::clone(oracle),
            clients: 8,
            batches: vec![3],
            forged_one_in: None,
            rate: None,
            retries: false,
            disk: None,
            through: None,
            opened: Arc::default(),
        }
    }

    /// How many clients there are.
    pub fn clients(self, clients: u32) -> Self {
        Self { clients, ..self }
    }

    /// How many items go into a batch, in turn.
    pub fn batches(self, sizes: &[usize]) -> Self {
        Self { batches: sizes.to_vec(), ..self }
    }

    /// Batches of all sizes, from one item to a hundred.
    pub fn mixed(self) -> Self {
        self.batches(&[1, 3, 10, 1, 100, 3, 1])
    }

    /// One item in so many has a wrong secret.
    pub fn forged_one_in(self, items: u64) -> Self {
        Self { forged_one_in: Some(items), ..self }
    }

    /// No more than so many requests a second, of all clients together.
    pub fn rate(self, requests: u32) -> Self {
        Self { rate: Some(requests), ..self }
    }

    /// What is not answered 202 is sent again, the same items in the same batch, until it is; as Graph does,
    /// though much sooner.
    pub fn retries(self) -> Self {
        Self { retries: true, ..self }
    }

    /// Each 202 is remembered with the moment on this disk at which it came.
    pub fn marks(self, disk: &Arc<Disk>) -> Self {
        Self { disk: Some(Arc::clone(disk)), ..self }
    }

    /// The clients go to this address instead of the daemon's own.
    pub fn through(self, address: SocketAddr) -> Self {
        Self { through: Some(address), ..self }
    }

    /// Sets the clients to work.
    pub fn start(self, daemon: &Daemon) -> Load {
        let (address, ca) = (self.through.unwrap_or(daemon.public()), daemon.ca().to_owned());
        let orders = Orders { address, ca, secrets: Secrets::Old, stop: false };
        let (orders, watched) = watch::channel(orders);
        let mut clients = JoinSet::new();
        for number in 0..self.clients {
            clients.spawn(Worker::new(self.clone(), number, watched.clone()).work());
        }
        Load { oracle: self.oracle, orders, clients, opened: self.opened }
    }
}

impl Load {
    /// A load of so many clients and else as [`Plan::new`].
    pub fn start(oracle: &Arc<Oracle>, daemon: &Daemon, clients: u32) -> Self {
        Plan::new(oracle).clients(clients).start(daemon)
    }

    /// From now on all clients go to this daemon, or to where it listens now.
    pub fn follow(&self, daemon: &Daemon) {
        self.orders.send_modify(|orders| {
            orders.address = daemon.public();
            orders.ca = daemon.ca().to_owned();
        });
    }

    /// From now on the items come from subscriptions with these secrets.
    pub fn move_to(&self, secrets: Secrets) {
        self.orders.send_modify(|orders| orders.secrets = secrets);
    }

    /// How many connections the clients have made.
    pub fn connections(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// Waits until `more` items than now were answered 202.
    pub async fn eventually_accepts(&self, more: u64) {
        let count = || self.oracle.accepted();
        let wanted = count() + more;
        let enough = async || (count() >= wanted).then_some(());
        eventually_within(RECOVERY, format!("{more} more accepted items"), enough).await;
    }

    /// Waits until `more` requests than now were answered 503.
    pub async fn eventually_unavailable(&self, more: u64) {
        let count = || self.oracle.unavailable();
        let wanted = count() + more;
        let enough = async || (count() >= wanted).then_some(());
        eventually_within(RECOVERY, format!("{more} more answers 503"), enough).await;
    }

    /// Waits until `more` requests than now had no answer.
    pub async fn eventually_unanswered(&self, more: u64) {
        let count = || self.oracle.unanswered();
        let wanted = count() + more;
        let enough = async || (count() >= wanted).then_some(());
        eventually_within(RECOVERY, format!("{more} more requests without an answer"), enough).await;
    }

    /// Ends the clients, each when its request has been answered or too much time has passed.
    pub async fn stop(mut self) {
        self.orders.send_modify(|orders| orders.stop = true);
        let ending = async { while self.clients.join_next().await.is_some_and(|end| end.is_ok()) {} };
        if timeout(LAST_ANSWERS, ending).await.is_err() {
            self.clients.shutdown().await;
        }
    }
}

/// One client.
struct Worker {
    plan: Plan,
    number: u32,
    orders: watch::Receiver<Orders>,
    client: Client,
    clock: Option<Interval>,
}

/// The order to stop.
struct Stop;

impl Worker {
    fn new(plan: Plan, number: u32, mut orders: watch::Receiver<Orders>) -> Self {
        let client = connect(&plan, number, &orders.borrow_and_update());
        let clock = plan.rate.map(|rate| clock(plan.clients, rate));
        Self { plan, number, orders, client, clock }
    }

    /// Sends one batch after the other.
    async fn work(mut self) {
        let sizes = self.plan.batches.clone();
        let from = usize::try_from(self.number).expect("a small number");
        for size in sizes.into_iter().cycle().skip(from) {
            let secrets = self.orders.borrow().secrets;
            let items = issue(&self.plan, secrets, size);
            let body = collection(items.iter().map(|item| self.plan.oracle.text(*item)));
            if let Err(Stop) = self.deliver(&items, &body).await {
                return;
            }
        }
    }

    /// Sends one batch, once or until it is accepted.
    async fn deliver(&mut self, items: &[Item], body: &str) -> Result<(), Stop> {
        let mut pause = FIRST_PAUSE;
        loop {
            self.listen()?;
            if let Some(clock) = &mut self.clock {
                clock.tick().await;
            }
            let answer = send(&self.plan, &self.client, items, body).await;
            if answer == Answer::Status(202) || (!self.plan.retries && answer != Answer::None) {
                return Ok(());
            }
            self.pause(pause).await;
            if !self.plan.retries {
                return Ok(());
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Does what it was told since the last time.
    fn listen(&mut self) -> Result<(), Stop> {
        if self.orders.has_changed().unwrap_or(false) {
            let orders = self.orders.borrow_and_update();
            if orders.stop {
                return Err(Stop);
            }
            self.client = connect(&self.plan, self.number, &orders);
        }
        Ok(())
    }

    /// Lets so much time pass, or less when there is something to be told.
    async fn pause(&mut self, time: Duration) {
        if let Ok(Ok(())) = timeout(time, self.orders.changed()).await {
            self.orders.mark_changed();
        }
    }
}

/// A client of the daemon that they are told to go to: every second one by HTTP/1.1.
fn connect(plan: &Plan, number: u32, orders: &Orders) -> Client {
    let client = Client::new(orders.address, &orders.ca).counted(&plan.opened);
    if number.is_multiple_of(2) { client } else { client.http1() }
}

fn issue(plan: &Plan, secrets: Secrets, count: usize) -> Vec<Item> {
    let sender = |number: u64| match plan.forged_one_in {
        Some(items) if number.is_multiple_of(items) => Sender::Forger,
        Some(_) | None => match secrets {
            Secrets::Old => Sender::Graph,
            Secrets::Both if number.is_multiple_of(2) => Sender::Graph,
            Secrets::Both | Secrets::New => Sender::Renewed,
        },
    };
    (0..count).map(|_| plan.oracle.issue_by(sender)).collect()
}

async fn send(plan: &Plan, client: &Client, items: &[Item], body: &str) -> Answer {
    let request = request(hyper::Method::POST, PATH, &[], body.to_owned());
    plan.oracle.sent(items);
    let begun = Instant::now();
    let reply = client.try_send(request).await;
    let took = begun.elapsed();
    // After the answer, so that the mark comes after all that was done for it.
    let mark = plan.disk.as_ref().map(|disk| disk.mark());
    let answer = reply.map_or(Answer::None, |reply| Answer::Status(reply.status));
    plan.oracle.answered(items, answer, took, mark);
    answer
}

/// Ticks for one of so many clients.
fn clock(clients: u32, rate: u32) -> Interval {
    let mut clock = interval(Duration::from_secs(1) * clients / rate);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    clock
}

/// Time for a broker and a daemon to find each other again, and for confirms that never come to be given up.
const RECOVERY: Duration = Duration::from_secs(60);
/// Time for requests that are under way when the load is stopped; the daemon answers much sooner.
const LAST_ANSWERS: Duration = Duration::from_secs(10);
/// Graph waits seconds and minutes.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

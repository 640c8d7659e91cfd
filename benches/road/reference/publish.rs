//! lapin, fed as it likes best: one task that owns the channel and has all publishes in flight at once.

use std::time::SystemTime;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use lapin::options::{
    BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, ExchangeKind};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::split::{Label, Parcel};
use super::{Kind, Settings};

/// The way to the broker.
pub(super) struct Publisher {
    jobs: mpsc::Sender<Job>,
    _task: JoinSet<()>,
}

/// The items of one POST, and who waits for them.
struct Job {
    parcels: Vec<Parcel>,
    done: oneshot::Sender<bool>,
}

impl Publisher {
    /// Connects, and declares what is published to.
    pub(super) async fn connect(settings: &Settings) -> Self {
        let connection = Connection::connect(&settings.url, ConnectionProperties::default()).await;
        let connection = connection.expect("the broker is there");
        let channel = connection.create_channel().await.expect("a channel");
        declare(&channel, settings).await.expect("exchange and queue can be declared");
        channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");
        let target = match settings.kind {
            Kind::Http | Kind::Bare => Target { exchange: "".into(), queue: settings.queue.as_str().into() },
            Kind::Same => Target { exchange: settings.exchange.as_str().into(), queue: "".into() },
        };
        let (jobs, to_do) = mpsc::channel(JOBS_MAX);
        let mut task = JoinSet::new();
        task.spawn(async move {
            work(&channel, &target, to_do).await;
            drop(connection);
        });
        Self { jobs, _task: task }
    }

    /// Whether all of them were confirmed.
    pub(super) async fn publish(&self, parcels: Vec<Parcel>) -> bool {
        let (done, confirmed) = oneshot::channel();
        self.jobs.send(Job { parcels, done }).await.is_ok() && confirmed.await.unwrap_or(false)
    }
}

struct Target {
    exchange: ShortString,
    queue: ShortString,
}

async fn declare(channel: &Channel, settings: &Settings) -> lapin::Result<()> {
    let mut quorum = FieldTable::default();
    quorum.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    let (exchange, queue) = (settings.exchange.as_str(), settings.queue.as_str());
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(queue.into(), options, quorum).await?;
    let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    channel.exchange_declare(exchange.into(), ExchangeKind::Topic, options, FieldTable::default()).await?;
    let (options, arguments) = (QueueBindOptions::default(), FieldTable::default());
    channel.queue_bind(queue.into(), exchange.into(), "#".into(), options, arguments).await
}

async fn work(channel: &Channel, target: &Target, mut to_do: mpsc::Receiver<Job>) {
    let mut in_flight = FuturesUnordered::new();
    let mut jobs = Vec::with_capacity(JOBS_AT_ONCE);
    loop {
        tokio::select! {
            taken = to_do.recv_many(&mut jobs, JOBS_AT_ONCE), if in_flight.len() < IN_FLIGHT_MAX => {
                if taken == 0 {
                    return;
                }
                in_flight.extend(jobs.drain(..).map(|job| settle(channel, target, job)));
            }
            Some(()) = in_flight.next() => {}
        }
    }
}

async fn settle(channel: &Channel, target: &Target, job: Job) {
    let publishes = job.parcels.iter().map(|parcel| publish(channel, target, parcel));
    let mut publishes: FuturesUnordered<_> = publishes.collect();
    let mut is_safe = true;
    while let Some(confirmation) = publishes.next().await {
        is_safe &= matches!(confirmation, Ok(Confirmation::Ack(None)));
    }
    // Whoever has hung up wants to know nothing.
    job.done.send(is_safe).ok();
}

async fn publish(channel: &Channel, target: &Target, parcel: &Parcel) -> lapin::Result<Confirmation> {
    let (key, properties) = match &parcel.label {
        None => (target.queue.clone(), BasicProperties::default().with_delivery_mode(2)),
        Some(label) => ("notification.message.created".into(), properties(label)),
    };
    let options = BasicPublishOptions { mandatory: parcel.label.is_some(), ..BasicPublishOptions::default() };
    channel.basic_publish(target.exchange.clone(), key, options, &parcel.body, properties).await?.await
}

fn properties(label: &Label) -> BasicProperties {
    let now = SystemTime::now();
    let since_1970 = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let mut headers = FieldTable::default();
    let mut put = |name: &'static str, value: &str| {
        headers.insert(name.into(), AMQPValue::LongString(value.into()));
    };
    put("graph-subscription-id", &label.subscription);
    put("graph-tenant-id", &label.tenant);
    put("graph-change-type", &label.change);
    put("graph-resource", &label.resource);
    put("graph-resource-type", &label.resource_type);
    put("graphhook-resource-data", "none");
    put("graphhook-received-at", &humantime::format_rfc3339_millis(now).to_string());
    put("graphhook-request-id", REQUEST_ID);
    put("graphhook-client-state", "test");
    BasicProperties::default()
        .with_content_type("application/json".into())
        .with_delivery_mode(2)
        .with_message_id(label.id.as_str().into())
        .with_timestamp(since_1970.as_secs())
        .with_type("notification".into())
        .with_app_id("graphhook".into())
        .with_headers(headers)
}

/// As long as one of the daemon's.
const REQUEST_ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";
const JOBS_MAX: usize = 4_096;
const JOBS_AT_ONCE: usize = 64;
const IN_FLIGHT_MAX: usize = 2_048;

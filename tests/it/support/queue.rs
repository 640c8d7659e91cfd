//! What a consumer sees: queues of the broker, looked at through a connection of the test's own.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::mem;
use std::panic::Location;
use std::path::Path;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions, ExchangeDeclareOptions, ExchangeDeleteOptions, QueueBindOptions,
    QueueDeclareOptions, QueueDeleteOptions, QueuePurgeOptions,
};
use lapin::tcp::OwnedTLSConfig;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, ErrorKind, ExchangeKind,
};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::eventually::{seen_within, within};

/// A name that no other test of this or another process uses: `prefix.pid.number`.
pub fn unique(prefix: &str) -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(1);
    format!("{prefix}.{}.{}", process::id(), NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// A connection to the broker, for everything a test does there itself.
///
/// Made anew when it is lost, so that it outlives a broker that is killed and started again.
#[derive(Clone)]
pub struct Amqp {
    url: String,
    ca: Option<String>,
    connection: Arc<Mutex<Option<Connection>>>,
}

/// A queue as its one consumer.
///
/// Messages that [`Queue::eventually_holds`] had to look at are kept here in their order, so that the next
/// [`Queue::take`] or [`Queue::drain`] still yields them.
pub struct Queue {
    name: String,
    amqp: Amqp,
    fetched: Mutex<Fetched>,
}

/// What a queue gave so far, and the channel it came through.
#[derive(Default)]
struct Fetched {
    messages: Vec<Delivered>,
    channel: Option<Channel>,
}

/// One message as it came out of a queue.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivered {
    /// The body.
    pub body: Bytes,
    /// The exchange it was published to.
    pub exchange: String,
    /// The routing key it was published with.
    pub routing_key: String,
    /// Whether the broker had handed it out before.
    pub redelivered: bool,
    /// Property `message_id`; this and the other texts are empty when the message has none.
    pub message_id: String,
    /// Property `content_type`.
    pub content_type: String,
    /// Property `type`.
    pub kind: String,
    /// Property `app_id`.
    pub app_id: String,
    /// Property `delivery_mode`; 2 is persistent.
    pub delivery_mode: Option<u8>,
    /// Property `timestamp`, in seconds.
    pub timestamp: Option<u64>,
    /// The headers; what is not a string appears as Rust prints it.
    pub headers: BTreeMap<String, String>,
}

impl Amqp {
    /// Connects to a URL such as [`Node::url`](super::Node::url).
    pub async fn connect(url: &str) -> Self {
        Self::to(url, None).await
    }

    /// Connects over TLS, believing the authority in the file `ca`.
    pub async fn connect_tls(url: &str, ca: &Path) -> Self {
        Self::to(url, Some(fs::read_to_string(ca).expect("the authority's file can be read"))).await
    }

    async fn to(url: &str, ca: Option<String>) -> Self {
        let amqp = Self { url: url.to_owned(), ca, connection: Arc::default() };
        amqp.channel().await;
        amqp
    }

    /// The queue of this name, which need not exist yet.
    pub fn queue(&self, name: &str) -> Queue {
        Queue { name: name.to_owned(), amqp: self.clone(), fetched: Mutex::default() }
    }

    /// Declares a classic durable queue with these arguments.
    pub async fn declare_queue(&self, name: &str, arguments: FieldTable) -> Queue {
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        let declared = self.channel().await.queue_declare(short(name), options, arguments).await;
        declared.expect("the queue can be declared");
        self.queue(name)
    }

    /// Declares a durable exchange of this kind.
    pub async fn declare_exchange(&self, name: &str, kind: ExchangeKind) {
        let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        let channel = self.channel().await;
        let declared = channel.exchange_declare(short(name), kind, options, FieldTable::default()).await;
        declared.expect("the exchange can be declared");
    }

    /// Declares a queue that is full, binds it to all of `exchange`: every publish there is nacked from now on.
    pub async fn declare_full(&self, queue: &str, exchange: &str) -> Queue {
        let mut arguments = FieldTable::default();
        arguments.insert("x-max-length".into(), AMQPValue::LongInt(1));
        arguments.insert("x-overflow".into(), AMQPValue::LongString("reject-publish".into()));
        let full = self.declare_queue(queue, arguments).await;
        assert!(self.publish("", queue, b"the one that fills the queue").await, "the filler fits");
        self.bind(queue, exchange, "#").await;
        full
    }

    /// Publishes a message and waits for the broker's confirm: `true` is an ack, `false` a nack.
    pub async fn publish(&self, exchange: &str, routing_key: &str, body: &[u8]) -> bool {
        let channel = self.channel().await;
        let publishing = async {
            channel.confirm_select(ConfirmSelectOptions::default()).await?;
            let options = BasicPublishOptions::default();
            let properties = BasicProperties::default();
            channel.basic_publish(short(exchange), short(routing_key), options, body, properties).await?.await
        };
        match within(BOUND, "a confirm", publishing).await.expect("the broker takes a message") {
            Confirmation::Ack(_) => true,
            Confirmation::Nack(_) => false,
            Confirmation::NotRequested => panic!("the channel is not in confirm mode"),
        }
    }

    /// Binds a queue to an exchange.
    pub async fn bind(&self, queue: &str, exchange: &str, routing_key: &str) {
        let (options, arguments) = (QueueBindOptions::default(), FieldTable::default());
        let channel = self.channel().await;
        let bound =
            channel.queue_bind(short(queue), short(exchange), short(routing_key), options, arguments).await;
        bound.expect("both ends of the binding exist");
    }

    /// Takes a binding away.
    pub async fn unbind(&self, queue: &str, exchange: &str, routing_key: &str) {
        let channel = self.channel().await;
        let arguments = FieldTable::default();
        let gone = channel.queue_unbind(short(queue), short(exchange), short(routing_key), arguments).await;
        gone.expect("a binding can be taken away");
    }

    /// Deletes an exchange, whatever is bound to it.
    pub async fn delete_exchange(&self, name: &str) {
        let gone = self.channel().await.exchange_delete(short(name), ExchangeDeleteOptions::default()).await;
        gone.expect("an exchange can be deleted");
    }

    /// Deletes a queue, whatever it holds; returns how many messages that was.
    pub async fn delete_queue(&self, name: &str) -> u32 {
        let gone = self.channel().await.queue_delete(short(name), QueueDeleteOptions::default()).await;
        gone.expect("a queue can be deleted")
    }

    /// Whether there is an exchange of this name.
    pub async fn exchange_exists(&self, name: &str) -> bool {
        let options = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
        let (kind, arguments) = (ExchangeKind::Topic, FieldTable::default());
        // The kind of a passive declaration is not looked at.
        granted(self.channel().await.exchange_declare(short(name), kind, options, arguments).await)
    }

    /// Whether there is a queue of this name.
    pub async fn queue_exists(&self, name: &str) -> bool {
        granted(self.channel().await.queue_declare(short(name), passive(), FieldTable::default()).await)
    }

    /// Whether the durable queue that exists was declared with just these arguments.
    pub async fn queue_has(&self, name: &str, arguments: FieldTable) -> bool {
        assert!(self.queue_exists(name).await, "there is no queue {name}");
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        granted(self.channel().await.queue_declare(short(name), options, arguments).await)
    }

    /// Whether there is a durable exchange of this name and this kind.
    pub async fn exchange_is(&self, name: &str, kind: ExchangeKind) -> bool {
        assert!(self.exchange_exists(name).await, "there is no exchange {name}");
        let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        granted(
            self.channel().await.exchange_declare(short(name), kind, options, FieldTable::default()).await,
        )
    }

    /// A new channel: each question has its own, because a refusal closes the channel.
    async fn channel(&self) -> Channel {
        let channel = within(BOUND, "a channel", self.try_channel()).await;
        channel.expect("the broker takes connections and opens channels")
    }

    async fn try_channel(&self) -> lapin::Result<Channel> {
        let mut connection = self.connection.lock().await;
        match &*connection {
            Some(open) if open.status().connected() => open.create_channel().await,
            Some(_) | None => connection.insert(self.open().await?).create_channel().await,
        }
    }

    async fn open(&self) -> lapin::Result<Connection> {
        let runtime = lapin::runtime::default_runtime()?;
        let tls = OwnedTLSConfig { identity: None, cert_chain: self.ca.clone() };
        Connection::connect_with_config(&self.url, ConnectionProperties::default(), tls, runtime).await
    }
}

impl Queue {
    /// The name of the queue.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Waits until a message with each of these ids has come, in any order and perhaps among others.
    #[track_caller]
    pub fn eventually_holds<I: AsRef<str>>(&self, message_ids: &[I]) -> impl Future<Output = ()> {
        let wanted: BTreeSet<String> = message_ids.iter().map(|id| id.as_ref().to_owned()).collect();
        let caller = Location::caller();
        async move {
            let missing = |fetched: &Fetched| {
                let came = fetched.messages.iter().map(|message| message.message_id.clone()).collect();
                &wanted - &came
            };
            let all_came = async |fetched: &mut Fetched| missing(fetched).is_empty().then_some(());
            if let Err(why) = self.eventually(all_came).await {
                let missing = missing(&*self.fetched.lock().await);
                panic!("{} messages never came: {missing:?} ({why}; waited for at {caller})", missing.len());
            }
        }
    }

    /// The next `count` messages, waiting for those that have not come yet.
    #[track_caller]
    pub fn take(&self, count: usize) -> impl Future<Output = Vec<Delivered>> {
        let caller = Location::caller();
        async move {
            let enough = async |fetched: &mut Fetched| {
                let messages = &mut fetched.messages;
                (messages.len() >= count).then(|| messages.drain(..count).collect())
            };
            let taken = self.eventually(enough).await;
            taken.unwrap_or_else(|why| panic!("not {count} messages came ({why}; waited for at {caller})"))
        }
    }

    /// Everything the queue holds now.
    pub async fn drain(&self) -> Vec<Delivered> {
        self.try_drain().await.expect("the queue exists and the broker answers")
    }

    /// As [`Queue::drain`], for when the broker may be away; what it gave before it failed comes the next time.
    pub async fn try_drain(&self) -> lapin::Result<Vec<Delivered>> {
        let mut fetched = self.fetched.lock().await;
        self.fetch(&mut fetched).await?;
        Ok(mem::take(&mut fetched.messages))
    }

    /// How many messages the queue holds now, with those looked at but not taken.
    pub async fn count(&self) -> usize {
        let channel = self.amqp.channel().await;
        let state = channel.queue_declare(short(&self.name), passive(), FieldTable::default()).await;
        let ready = state.expect("the queue exists").message_count();
        self.fetched.lock().await.messages.len() + usize::try_from(ready).expect("a count fits")
    }

    /// Drops everything the queue holds now.
    pub async fn purge(&self) {
        let channel = self.amqp.channel().await;
        let purged = channel.queue_purge(short(&self.name), QueuePurgeOptions::default()).await;
        purged.expect("the queue exists");
        self.fetched.lock().await.messages.clear();
    }

    /// Fetches until `look` is content, or says why it never was; a queue or broker that is not there may
    /// still come.
    async fn eventually<T>(&self, look: impl AsyncFn(&mut Fetched) -> Option<T>) -> Result<T, String> {
        let mut trouble = None;
        let seen = seen_within(BOUND, async || {
            let mut fetched = self.fetched.lock().await;
            trouble = self.fetch(&mut fetched).await.err();
            look(&mut fetched).await
        });
        let seen = seen.await;
        seen.ok_or_else(|| match trouble {
            None => format!("{} held no more for {BOUND:?}", self.name),
            Some(error) => format!("{} could not be read for {BOUND:?}: {error}", self.name),
        })
    }

    /// Moves what the broker has ready over to us.
    async fn fetch(&self, fetched: &mut Fetched) -> lapin::Result<()> {
        let channel = match fetched.channel.take() {
            Some(channel) => channel,
            None => self.amqp.try_channel().await?,
        };
        loop {
            let queue = channel.queue_declare(short(&self.name), passive(), FieldTable::default()).await?;
            let ready = u16::try_from(queue.message_count()).unwrap_or(u16::MAX).min(FETCHED_AT_ONCE);
            if ready == 0 {
                break;
            }
            self.fetch_some(&channel, ready, &mut fetched.messages).await?;
        }
        // Kept only if all went well: an error may have closed it.
        fetched.channel = Some(channel);
        Ok(())
    }

    /// Takes so many messages as a consumer: a queue hands them out much faster than one by one.
    async fn fetch_some(&self, channel: &Channel, ready: u16, to: &mut Vec<Delivered>) -> lapin::Result<()> {
        channel.basic_qos(ready, BasicQosOptions::default()).await?;
        let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
        let consumer = channel.basic_consume(short(&self.name), short(""), options, arguments).await?;
        let tag = consumer.tag();
        let mut coming = consumer.take(ready.into());
        let mut last = None;
        // Somebody else may have been faster.
        while let Ok(Some(message)) = timeout(NEXT_WITHIN, coming.next()).await {
            let message = message?;
            last = Some(message.acker.clone());
            to.push(Delivered::from(message));
        }
        channel.basic_cancel(tag, BasicCancelOptions::default()).await?;
        // An acknowledgement that is lost means seeing the messages again, which beats losing them.
        match last {
            Some(last) => last.ack(BasicAckOptions { multiple: true }).await.map(drop),
            None => Ok(()),
        }
    }
}

impl Delivered {
    /// The header of this name; panics when there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no header {name} among {:?}", self.headers))
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }
}

impl From<Delivery> for Delivered {
    fn from(message: Delivery) -> Self {
        let properties = message.properties;
        let text = |value: &Option<ShortString>| value.as_ref().map(ToString::to_string).unwrap_or_default();
        let headers = properties.headers().iter().flat_map(FieldTable::inner);
        Self {
            exchange: message.exchange.to_string(),
            routing_key: message.routing_key.to_string(),
            redelivered: message.redelivered,
            message_id: text(properties.message_id()),
            content_type: text(properties.content_type()),
            kind: text(properties.kind()),
            app_id: text(properties.app_id()),
            delivery_mode: *properties.delivery_mode(),
            timestamp: *properties.timestamp(),
            headers: headers.map(|(name, value)| (name.to_string(), printed(value))).collect(),
            body: message.data.into(),
        }
    }
}

fn printed(value: &AMQPValue) -> String {
    match value.as_long_string() {
        Some(text) => String::from_utf8_lossy(text.as_bytes()).into_owned(),
        None => format!("{value:?}"),
    }
}

/// Whether the broker said yes; panics when it was not the broker that said no.
#[track_caller]
fn granted<T>(answer: lapin::Result<T>) -> bool {
    match answer {
        Ok(_) => true,
        Err(error) if matches!(error.kind(), ErrorKind::ProtocolError(_)) => false,
        Err(error) => panic!("the broker gave no answer: {error}"),
    }
}

fn passive() -> QueueDeclareOptions {
    QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() }
}

/// By the checked constructor: the conversion of a longer text would panic without saying why.
fn short(name: &str) -> ShortString {
    ShortString::try_new(name).expect("names of exchanges, queues and keys have at most 255 bytes")
}

const BOUND: Duration = Duration::from_secs(10);
/// Messages that are acknowledged together.
const FETCHED_AT_ONCE: u16 = 2000;
/// A message that the queue says it has comes within this time, or has gone elsewhere.
const NEXT_WITHIN: Duration = Duration::from_secs(2);

//! One connection of a scripted broker.

use std::collections::{BTreeMap, HashMap};
use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::broadcast;
use tokio::time::{Interval, interval, timeout_at};

use super::wire::{self, Frame, Method, Reader};
use super::{Action, Command, Greeting, Order, Publish, Stage};

pub(super) struct Peer {
    stream: TcpStream,
    number: usize,
    greeting: Greeting,
    stage: Arc<Stage>,
    commands: broadcast::Receiver<Command>,
    heartbeat: Interval,
    read: Vec<u8>,
    greeted: bool,
    reading: bool,
    silent: bool,
    channels: HashMap<u16, Channel>,
    /// What is to be done later, and when.
    later: BTreeMap<Instant, (Publish, Vec<Action>)>,
}

#[derive(Default)]
struct Channel {
    /// The delivery tag of the last message, once the channel confirms.
    tag: Option<u64>,
    coming: Option<Coming>,
    /// Messages that the script keeps.
    held: Vec<Publish>,
    /// We have closed it: nothing counts until the client agrees.
    closing: bool,
}

/// A message of which the last frame has not come.
struct Coming {
    publish: Publish,
    body: Vec<u8>,
    /// Known from the header on.
    body_bytes: Option<u64>,
}

impl Peer {
    pub(super) fn new(stream: TcpStream, number: usize, greeting: Greeting, stage: Arc<Stage>) -> Self {
        Self {
            stream,
            number,
            greeting,
            commands: stage.commands.subscribe(),
            stage,
            heartbeat: interval(BETWEEN_HEARTBEATS),
            read: Vec::new(),
            greeted: false,
            reading: true,
            silent: greeting == Greeting::Silence,
            channels: HashMap::new(),
            later: BTreeMap::new(),
        }
    }

    /// Serves until either side ends the connection.
    pub(super) async fn serve(mut self) -> io::Result<()> {
        loop {
            while self.reading && self.greet().await? {
                let Some(frame) = wire::take_frame(&mut self.read) else { break };
                self.frame(frame).await?;
            }
            let due = self.later.keys().next().copied();
            tokio::select! {
                read = self.stream.read_buf(&mut self.read), if self.reading => {
                    if read? == 0 {
                        return Ok(());
                    }
                }
                command = self.commands.recv() => match command {
                    Ok(command) => self.obey(command).await?,
                    Err(error) => return Err(io::Error::other(error)),
                },
                () = passed(due) => self.do_due().await?,
                _ = self.heartbeat.tick(), if self.greeted => {
                    self.send(&wire::frame(wire::HEARTBEAT, 0, &[])).await?;
                }
            }
        }
    }

    /// Whether the client has said which protocol it speaks; answers to it.
    async fn greet(&mut self) -> io::Result<bool> {
        if !self.greeted && self.read.len() >= wire::PROTOCOL.len() {
            let said: Vec<u8> = self.read.drain(..wire::PROTOCOL.len()).collect();
            assert_eq!(said, wire::PROTOCOL, "the client speaks AMQP 0-9-1");
            self.greeted = true;
            if self.greeting == Greeting::Garbage {
                self.garbage().await?;
            } else {
                self.say(0, wire::START, &[&wire::start_arguments()]).await?;
            }
        }
        Ok(self.greeted)
    }

    async fn frame(&mut self, frame: Frame) -> io::Result<()> {
        let Frame { kind, channel, payload } = frame;
        match kind {
            wire::METHOD => {
                let mut reader = Reader(&payload);
                let numbers = reader.short().zip(reader.short()).expect("a method has two numbers");
                self.method(channel, numbers, reader).await
            }
            wire::HEADER | wire::BODY => self.content(channel, kind, &payload).await,
            _ => {
                self.stage.seen().heartbeats += 1;
                Ok(())
            }
        }
    }

    async fn method(&mut self, channel: u16, method: Method, mut arguments: Reader<'_>) -> io::Result<()> {
        match method {
            wire::START_OK => self.say(0, wire::TUNE, &[&tune_arguments()]).await,
            wire::OPEN => match self.greeting {
                Greeting::Refusal(code) => self.close_connection(code).await,
                Greeting::Broker | Greeting::Silence | Greeting::Garbage => {
                    self.stage.seen().opened += 1;
                    self.say(0, wire::OPEN_OK, &[&[0]]).await
                }
            },
            wire::CLOSE => {
                self.say(0, wire::CLOSE_OK, &[]).await?;
                self.stream.shutdown().await
            }
            wire::CLOSE_OK => self.stream.shutdown().await,
            wire::CHANNEL_OPEN => {
                self.channels.insert(channel, Channel::default());
                self.say(channel, wire::CHANNEL_OPEN_OK, &[&[0; 4]]).await
            }
            wire::CHANNEL_CLOSE => {
                self.channels.remove(&channel);
                self.say(channel, wire::CHANNEL_CLOSE_OK, &[]).await
            }
            wire::CHANNEL_CLOSE_OK => {
                self.channels.remove(&channel);
                Ok(())
            }
            wire::CONFIRM_SELECT => {
                self.channels.entry(channel).or_default().tag = Some(0);
                self.say(channel, wire::CONFIRM_SELECT_OK, &[]).await
            }
            wire::EXCHANGE_DECLARE => {
                self.declared(&mut arguments);
                self.say(channel, wire::EXCHANGE_DECLARE_OK, &[]).await
            }
            wire::QUEUE_DECLARE => {
                let name = self.declared(&mut arguments);
                self.say(channel, wire::QUEUE_DECLARE_OK, &[&wire::short_text(&name), &[0; 8]]).await
            }
            wire::QUEUE_BIND => self.say(channel, wire::QUEUE_BIND_OK, &[]).await,
            wire::PUBLISH => {
                self.publish(channel, arguments);
                Ok(())
            }
            wire::TUNE_OK => Ok(()),
            other => panic!("a scripted broker does not know the method {other:?}"),
        }
    }

    /// Writes down what the client declares, and returns its name.
    fn declared(&self, arguments: &mut Reader<'_>) -> String {
        let name = arguments.short().and_then(|_| arguments.short_text()).expect("a name");
        self.stage.seen().declared.push(name.clone());
        name
    }

    /// The first frame of a message.
    fn publish(&mut self, number: u16, mut arguments: Reader<'_>) {
        let channel = self.channels.entry(number).or_default();
        if channel.closing {
            return;
        }
        let mut read = || {
            arguments.short()?;
            Some((arguments.short_text()?, arguments.short_text()?, arguments.byte()?))
        };
        let (exchange, routing_key, flags) = read().expect("the arguments of basic.publish");
        channel.tag = channel.tag.map(|tag| tag + 1);
        let publish = Publish {
            connection: self.number,
            channel: number,
            tag: channel.tag.unwrap_or(0),
            exchange,
            routing_key,
            mandatory: flags & 1 == 1,
            message_id: String::new(),
            delivery_mode: None,
            body: Bytes::new(),
            at: Instant::now(),
            header: Bytes::new(),
        };
        channel.coming = Some(Coming { publish, body: Vec::new(), body_bytes: None });
    }

    /// A further frame of a message; if it is the last, the script is asked.
    async fn content(&mut self, channel: u16, kind: u8, payload: &Bytes) -> io::Result<()> {
        let Some(channel) = self.channels.get_mut(&channel) else { return Ok(()) };
        let Some(coming) = &mut channel.coming else { return Ok(()) };
        if kind == wire::HEADER {
            let header = wire::read_header(payload).expect("a header of a message");
            coming.body_bytes = Some(header.body_bytes);
            coming.publish.message_id = header.message_id.unwrap_or_default();
            coming.publish.delivery_mode = header.delivery_mode;
            coming.publish.header = payload.clone();
        } else {
            coming.body.extend_from_slice(payload);
        }
        if coming.body_bytes != u64::try_from(coming.body.len()).ok() {
            return Ok(());
        }
        let Some(Coming { mut publish, body, .. }) = channel.coming.take() else { return Ok(()) };
        publish.body = body.into();
        publish.at = Instant::now();
        let actions = self.stage.decide(&publish);
        self.act(publish, actions).await
    }

    /// Does what is to be done about a message, up to the first wait.
    async fn act(&mut self, publish: Publish, actions: Vec<Action>) -> io::Result<()> {
        let mut actions = actions.into_iter();
        while let Some(action) = actions.next() {
            match action {
                Action::Wait(time) => {
                    let mut due = Instant::now() + time;
                    while self.later.contains_key(&due) {
                        due += Duration::from_nanos(1);
                    }
                    self.later.insert(due, (publish, actions.collect()));
                    return Ok(());
                }
                Action::Ack => self.ack(&publish, 0).await?,
                Action::AckAll => self.ack(&publish, MULTIPLE).await?,
                Action::Nack => self.nack(&publish, 0).await?,
                Action::NackAll => self.nack(&publish, MULTIPLE).await?,
                Action::Return => self.give_back(&publish, &publish.header, &publish.body).await?,
                Action::ReturnOther(id) => {
                    self.give_back(&publish, &wire::header_with_id(id), &[]).await?;
                }
                Action::Hold => {
                    self.channels.entry(publish.channel).or_default().held.push(publish.clone());
                }
                Action::CloseChannel(code) => self.close_channel(publish.channel, code).await?,
                Action::CloseConnection(code) => self.close_connection(code).await?,
                Action::Garbage => self.garbage().await?,
                Action::Silence => self.silent = true,
                Action::Reset => return self.reset(),
            }
        }
        Ok(())
    }

    async fn do_due(&mut self) -> io::Result<()> {
        let Some((_, (publish, actions))) = self.later.pop_first() else { return Ok(()) };
        self.act(publish, actions).await
    }

    async fn obey(&mut self, command: Command) -> io::Result<()> {
        match command {
            Command::AckHeld(order) => self.ack_held(order).await,
            Command::Block => {
                self.stage.seen().blocks += 1;
                self.say(0, wire::BLOCKED, &[&wire::short_text("scripted")]).await
            }
            Command::Unblock => {
                self.stage.seen().blocks += 1;
                self.say(0, wire::UNBLOCKED, &[]).await
            }
            Command::Read(on) => {
                self.reading = on;
                Ok(())
            }
            Command::CloseConnection(code) => self.close_connection(code).await,
            Command::Garbage => self.garbage().await,
            Command::Silence => {
                self.silent = true;
                Ok(())
            }
            Command::Reset => self.reset(),
        }
    }

    async fn ack_held(&mut self, order: Order) -> io::Result<()> {
        let mut held: Vec<Publish> = Vec::new();
        for channel in self.channels.values_mut() {
            let mut kept = std::mem::take(&mut channel.held);
            if order == Order::Together {
                // The last stands for all before it.
                kept.drain(..kept.len().saturating_sub(1));
            }
            held.append(&mut kept);
        }
        if order == Order::Backwards {
            held.reverse();
        }
        let flags = if order == Order::Together { MULTIPLE } else { 0 };
        for publish in held {
            self.ack(&publish, flags).await?;
        }
        Ok(())
    }

    async fn ack(&mut self, publish: &Publish, flags: u8) -> io::Result<()> {
        self.stage.seen().acks += 1;
        self.say(publish.channel, wire::ACK, &[&publish.tag.to_be_bytes(), &[flags]]).await
    }

    async fn nack(&mut self, publish: &Publish, flags: u8) -> io::Result<()> {
        self.stage.seen().nacks += 1;
        self.say(publish.channel, wire::NACK, &[&publish.tag.to_be_bytes(), &[flags]]).await
    }

    async fn give_back(&mut self, publish: &Publish, header: &[u8], body: &[u8]) -> io::Result<()> {
        self.stage.seen().returns += 1;
        let (code, text) = (312_u16.to_be_bytes(), wire::short_text("NO_ROUTE"));
        let (exchange, key) = (wire::short_text(&publish.exchange), wire::short_text(&publish.routing_key));
        self.say(publish.channel, wire::RETURN, &[&code, &text, &exchange, &key]).await?;
        self.send(&wire::frame(wire::HEADER, publish.channel, header)).await?;
        for piece in body.chunks(BODY_BYTES) {
            self.send(&wire::frame(wire::BODY, publish.channel, piece)).await?;
        }
        Ok(())
    }

    async fn close_channel(&mut self, number: u16, code: u16) -> io::Result<()> {
        self.stage.seen().closes += 1;
        self.channels.insert(number, Channel { closing: true, ..Channel::default() });
        self.say(number, wire::CHANNEL_CLOSE, &[&wire::close_arguments(code)]).await
    }

    async fn close_connection(&mut self, code: u16) -> io::Result<()> {
        self.stage.seen().closes += 1;
        self.say(0, wire::CLOSE, &[&wire::close_arguments(code)]).await
    }

    async fn garbage(&mut self) -> io::Result<()> {
        self.stage.seen().garbage += 1;
        self.send(wire::GARBAGE).await
    }

    fn reset(&self) -> io::Result<()> {
        self.stream.set_zero_linger()?;
        // Whoever serves a connection ends with an error, and drops the stream.
        Err(io::ErrorKind::ConnectionReset.into())
    }

    async fn say(&mut self, channel: u16, method: Method, arguments: &[&[u8]]) -> io::Result<()> {
        self.send(&wire::method(channel, method, arguments)).await
    }

    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.silent { Ok(()) } else { self.stream.write_all(bytes).await }
    }
}

/// As many channels as the client likes, frames of 128 KiB, heartbeats as often as the client likes.
fn tune_arguments() -> Vec<u8> {
    [&0_u16.to_be_bytes()[..], &FRAME_BYTES.to_be_bytes(), &60_u16.to_be_bytes()].concat()
}

/// Waits until then; without end if there is nothing to be done.
async fn passed(due: Option<Instant>) {
    match due {
        Some(due) => drop(timeout_at(due.into(), pending::<()>()).await),
        None => pending().await,
    }
}

/// The bit of basic.ack and basic.nack that means all messages up to this one.
const MULTIPLE: u8 = 1;
const FRAME_BYTES: u32 = 128 * 1024;
/// Of one frame of a message that goes back.
const BODY_BYTES: usize = 100_000;
/// Clients that ask for heartbeats of two seconds and more are content with these.
const BETWEEN_HEARTBEATS: Duration = Duration::from_millis(500);

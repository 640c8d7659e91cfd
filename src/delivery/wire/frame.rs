//! Frames of AMQP 0-9-1, as far as publishing needs them: a message becomes frames, and confirms are read out of them.
//! Pure. ("AMQP 0-9-1 specification", 2.3 and 4.2, with RabbitMQ's `confirm` extension,
//! <https://www.rabbitmq.com/docs/specification>)

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::{
    envelope::{Envelope, properties},
    notification::id::MessageId,
};

/// A whole frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::delivery) struct Frame<'a> {
    /// The channel that it belongs to.
    pub(in crate::delivery) channel: u16,
    kind: u8,
    /// The frame as it came, to the byte.
    pub(super) bytes: &'a [u8],
}

/// What a frame of a channel that publishes says.
#[derive(Debug, Eq, PartialEq)]
pub(in crate::delivery) enum Said {
    /// The broker is responsible for this message, or for all up to it.
    Ack(Confirmed),
    /// It is not.
    Nack(Confirmed),
    /// The content of a returned message: its id.
    Returned(MessageId),
    /// The broker closes the channel.
    Closed(Closed),
    /// Nothing that concerns messages: lapin keeps the connection.
    ForLapin,
    /// The rest of a returned message.
    ForNobody,
}

/// Which messages are meant.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::delivery) struct Confirmed {
    /// Delivery tag.
    pub(in crate::delivery) tag: u64,
    /// All up to this one.
    pub(in crate::delivery) is_multiple: bool,
}

/// The broker's words when it closes a channel.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{text:?} ({code})")]
pub(in crate::delivery) struct Closed {
    /// Reply code.
    pub(in crate::delivery) code: u16,
    text: String,
}

/// Bytes that are no AMQP, or that say what no broker says.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the broker sends what is no AMQP")]
pub(in crate::delivery) struct Garbled;

impl<'a> Frame<'a> {
    /// The frame that these bytes begin with, if it is there as a whole.
    pub(super) fn first(bytes: &'a [u8]) -> Result<Option<Self>, Garbled> {
        let Some((head, rest)) = bytes.split_first_chunk::<HEAD_BYTES>() else {
            return if bytes.first().is_none_or(|kind| is_kind(*kind)) { Ok(None) } else { Err(Garbled) };
        };
        let [kind, c0, c1, size @ ..] = *head;
        let size = u32::from_be_bytes(size) as usize;
        if !is_kind(kind) || size > SIZE_MAX {
            return Err(Garbled);
        }
        match rest.get(size) {
            None => Ok(None),
            Some(&END) => {
                let bytes = &bytes[..HEAD_BYTES + size + 1];
                Ok(Some(Self { channel: u16::from_be_bytes([c0, c1]), kind, bytes }))
            }
            Some(_) => Err(Garbled),
        }
    }

    /// Reads a frame of a channel that publishes and does nothing else.
    pub(in crate::delivery) fn read(self) -> Result<Said, Garbled> {
        let mut payload = &self.bytes[HEAD_BYTES..self.bytes.len() - 1];
        match self.kind {
            METHOD => method(&mut payload).ok_or(Garbled),
            HEADER => message_id(&mut payload).map(Said::Returned).ok_or(Garbled),
            _ => Ok(Said::ForNobody),
        }
    }
}

fn is_kind(kind: u8) -> bool {
    matches!(kind, METHOD | HEADER | BODY | HEARTBEAT_KIND)
}

fn method(payload: &mut &[u8]) -> Option<Said> {
    let method = (payload.try_get_u16().ok()?, payload.try_get_u16().ok()?);
    let confirmed = |payload: &mut &[u8]| {
        let tag = payload.try_get_u64().ok()?;
        Some(Confirmed { tag, is_multiple: payload.try_get_u8().ok()? & 1 == 1 })
    };
    match method {
        BASIC_ACK => confirmed(payload).map(Said::Ack),
        BASIC_NACK => confirmed(payload).map(Said::Nack),
        // Whose message it is, its content says.
        BASIC_RETURN => Some(Said::ForNobody),
        CHANNEL_CLOSE => {
            let code = payload.try_get_u16().ok()?;
            let text = String::from_utf8_lossy(take_short(payload)?).into_owned();
            Some(Said::Closed(Closed { code, text }))
        }
        _ => Some(Said::ForLapin),
    }
}

/// The `message_id` of a content header, with which we have sent every message. What stands before it is passed over by
/// its length, so that nothing depends on how deep its headers nest.
fn message_id(payload: &mut &[u8]) -> Option<MessageId> {
    payload.try_get_u32().ok()?; // class and weight
    payload.try_get_u64().ok()?; // size of the body
    let flags = payload.try_get_u16().ok()?;
    for (flag, skip) in BEFORE_MESSAGE_ID {
        if flags & flag != 0 {
            skip(payload)?;
        }
    }
    let id = (flags & MESSAGE_ID != 0).then(|| take_short(payload))??;
    MessageId::given(str::from_utf8(id).ok()?)
}

/// How to pass over a property.
type Skip = fn(&mut &[u8]) -> Option<()>;

const BEFORE_MESSAGE_ID: [(u16, Skip); 8] = [
    (CONTENT_TYPE, skip_short),
    (1 << 14, skip_short), // content_encoding
    (HEADERS, skip_table),
    (DELIVERY_MODE, skip_octet),
    (1 << 11, skip_octet), // priority
    (1 << 10, skip_short), // correlation_id
    (1 << 9, skip_short),  // reply_to
    (1 << 8, skip_short),  // expiration
];

fn take_short<'a>(payload: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = payload.try_get_u8().ok()?;
    payload.split_off(..usize::from(length))
}

fn skip_short(payload: &mut &[u8]) -> Option<()> {
    take_short(payload).map(|_| ())
}

fn skip_octet(payload: &mut &[u8]) -> Option<()> {
    payload.try_get_u8().ok().map(|_| ())
}

fn skip_table(payload: &mut &[u8]) -> Option<()> {
    let length = payload.try_get_u32().ok()?;
    payload.split_off(..length as usize).map(|_| ())
}

/// Writes the messages of one publisher as frames.
#[derive(Clone, Debug)]
pub(crate) struct Framer {
    channel: u16,
    /// A method frame up to the routing key; the size is to be filled in.
    method: Bytes,
    /// Most bytes of a body in one frame.
    piece_bytes_max: usize,
}

impl Framer {
    /// For messages on this channel to this exchange; `frame_max` is what was agreed on.
    pub(crate) fn new(channel: u16, exchange: &str, frame_max: u32) -> Self {
        let mut method = BytesMut::new();
        method.put_u8(METHOD);
        method.put_u16(channel);
        method.put_u32(0);
        put_method(&mut method, BASIC_PUBLISH);
        method.put_u16(0); // reserved
        put_short(&mut method, exchange);
        let piece_bytes_max = (frame_max as usize).saturating_sub(HEAD_BYTES + 1).max(1);
        Self { channel, method: method.freeze(), piece_bytes_max }
    }

    /// Writes a message: basic.publish (`mandatory`), content header, body.
    pub(crate) fn put(&self, envelope: &Envelope, into: &mut BytesMut) {
        into.reserve(envelope.body.len() + ROUNDLY);
        let begin = into.len();
        into.put_slice(&self.method);
        put_short(into, envelope.routing_key.as_str());
        into.put_u8(MANDATORY);
        self.end(into, begin);
        self.put_header(envelope, into);
        for piece in envelope.body.chunks(self.piece_bytes_max) {
            let begin = self.begin(into, BODY);
            into.put_slice(piece);
            self.end(into, begin);
        }
    }

    fn put_header(&self, envelope: &Envelope, into: &mut BytesMut) {
        let begin = self.begin(into, HEADER);
        into.put_u16(BASIC);
        into.put_u16(0); // weight
        into.put_u64(envelope.body.len() as u64);
        into.put_u16(CONTENT_TYPE | HEADERS | DELIVERY_MODE | MESSAGE_ID | TIMESTAMP | TYPE | APP_ID);
        put_short(into, properties::CONTENT_TYPE);
        let table = into.len();
        into.put_u32(0);
        for (name, value) in &envelope.properties.headers {
            put_short(into, name);
            into.put_u8(LONG_STRING);
            into.put_u32(value.len() as u32);
            into.put_slice(value.as_bytes());
        }
        fill_size(into, table);
        into.put_u8(properties::DELIVERY_MODE);
        put_short(into, envelope.message_id.as_str());
        into.put_u64(envelope.properties.timestamp);
        put_short(into, envelope.properties.kind.as_str());
        put_short(into, properties::APP_ID);
        self.end(into, begin);
    }

    /// Begins a frame whose size is not known yet.
    fn begin(&self, into: &mut BytesMut, kind: u8) -> usize {
        let begin = into.len();
        into.put_u8(kind);
        into.put_u16(self.channel);
        into.put_u32(0);
        begin
    }

    /// Ends the frame that began there.
    fn end(&self, into: &mut BytesMut, begin: usize) {
        fill_size(into, begin + HEAD_BYTES - size_of::<u32>());
        into.put_u8(END);
    }
}

/// Writes at `at`, where four bytes were left for it, how many bytes stand behind it.
fn fill_size(into: &mut BytesMut, at: usize) {
    let behind = at + size_of::<u32>();
    let size = (into.len() - behind) as u32;
    into[at..behind].copy_from_slice(&size.to_be_bytes());
}

fn put_method(into: &mut BytesMut, (class, method): (u16, u16)) {
    into.put_u16(class);
    into.put_u16(method);
}

fn put_short(into: &mut BytesMut, text: &str) {
    let length =
        u8::try_from(text.len()).expect("message ids, routing keys and names are at most 255 bytes long");
    into.put_u8(length);
    into.put_slice(text.as_bytes());
}

/// A heartbeat, which either side may send at any time.
pub(super) const HEARTBEAT: &[u8] = &[HEARTBEAT_KIND, 0, 0, 0, 0, 0, 0, END];
/// What a client says before its first frame.
pub(super) const GREETING_BYTES: usize = 8;
const HEAD_BYTES: usize = 7;
const END: u8 = 0xce;
const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
const HEARTBEAT_KIND: u8 = 8;
const BASIC: u16 = 60;
const BASIC_PUBLISH: (u16, u16) = (BASIC, 40);
const BASIC_RETURN: (u16, u16) = (BASIC, 50);
const BASIC_ACK: (u16, u16) = (BASIC, 80);
const BASIC_NACK: (u16, u16) = (BASIC, 120);
const CHANNEL_CLOSE: (u16, u16) = (20, 40);
const MANDATORY: u8 = 1;
const CONTENT_TYPE: u16 = 1 << 15;
const HEADERS: u16 = 1 << 13;
const DELIVERY_MODE: u16 = 1 << 12;
const MESSAGE_ID: u16 = 1 << 7;
const TIMESTAMP: u16 = 1 << 6;
const TYPE: u16 = 1 << 5;
const APP_ID: u16 = 1 << 3;
const LONG_STRING: u8 = b'S';
/// No broker is configured to send larger frames than this.
const SIZE_MAX: usize = 16 << 20;
/// What a message takes besides its body.
const ROUNDLY: usize = 1 << 10;

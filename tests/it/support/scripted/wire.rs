//! AMQP 0-9-1 as bytes: as much of it as is needed here.
//!
//! "AMQP 0-9-1 Complete Reference Guide" of RabbitMQ lists the methods and their arguments.

use bytes::Bytes;

/// One frame.
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) channel: u16,
    pub(super) payload: Bytes,
}

pub(super) const METHOD: u8 = 1;
pub(super) const HEADER: u8 = 2;
pub(super) const BODY: u8 = 3;
pub(super) const HEARTBEAT: u8 = 8;
const END: u8 = 0xCE;

/// Class and number of a method.
pub(super) type Method = (u16, u16);

pub(super) const START: Method = (10, 10);
pub(super) const START_OK: Method = (10, 11);
pub(super) const TUNE: Method = (10, 30);
pub(super) const TUNE_OK: Method = (10, 31);
pub(super) const OPEN: Method = (10, 40);
pub(super) const OPEN_OK: Method = (10, 41);
pub(super) const CLOSE: Method = (10, 50);
pub(super) const CLOSE_OK: Method = (10, 51);
pub(super) const BLOCKED: Method = (10, 60);
pub(super) const UNBLOCKED: Method = (10, 61);
pub(super) const CHANNEL_OPEN: Method = (20, 10);
pub(super) const CHANNEL_OPEN_OK: Method = (20, 11);
pub(super) const CHANNEL_CLOSE: Method = (20, 40);
pub(super) const CHANNEL_CLOSE_OK: Method = (20, 41);
pub(super) const EXCHANGE_DECLARE: Method = (40, 10);
pub(super) const EXCHANGE_DECLARE_OK: Method = (40, 11);
pub(super) const QUEUE_DECLARE: Method = (50, 10);
pub(super) const QUEUE_DECLARE_OK: Method = (50, 11);
pub(super) const QUEUE_BIND: Method = (50, 20);
pub(super) const QUEUE_BIND_OK: Method = (50, 21);
pub(super) const PUBLISH: Method = (60, 40);
pub(super) const RETURN: Method = (60, 50);
pub(super) const ACK: Method = (60, 80);
pub(super) const NACK: Method = (60, 120);
pub(super) const CONFIRM_SELECT: Method = (85, 10);
pub(super) const CONFIRM_SELECT_OK: Method = (85, 11);

/// What a client says first.
pub(super) const PROTOCOL: &[u8] = b"AMQP\x00\x00\x09\x01";
/// No AMQP, and no frame either.
pub(super) const GARBAGE: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\r\n";

/// Takes the first frame out of what was read, once it is whole.
pub(super) fn take_frame(read: &mut Vec<u8>) -> Option<Frame> {
    let mut head = Reader(read);
    let (kind, channel, size) = (head.byte()?, head.short()?, head.long()?);
    let payload = head.take(usize::try_from(size).ok()?)?;
    let payload = Bytes::copy_from_slice(payload);
    assert_eq!(head.byte()?, END, "the client sends frames");
    read.drain(..payload.len() + 8);
    Some(Frame { kind, channel, payload })
}

pub(super) fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let size = u32::try_from(payload.len()).expect("frames are small");
    [&[kind][..], &channel.to_be_bytes(), &size.to_be_bytes(), payload, &[END]].concat()
}

pub(super) fn method(channel: u16, (class, number): Method, arguments: &[&[u8]]) -> Vec<u8> {
    let payload = [&class.to_be_bytes()[..], &number.to_be_bytes(), &arguments.concat()].concat();
    frame(METHOD, channel, &payload)
}

/// A text of up to 255 bytes.
pub(super) fn short_text(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).expect("short texts are short");
    [&[length], text.as_bytes()].concat()
}

pub(super) fn long_text(text: &[u8]) -> Vec<u8> {
    let length = u32::try_from(text.len()).expect("texts are not that long");
    [&length.to_be_bytes(), text].concat()
}

/// The arguments of connection.start: a server that confirms, and tells when it blocks.
pub(super) fn start_arguments() -> Vec<u8> {
    let capabilities = ["publisher_confirms", "basic.nack", "connection.blocked"];
    let capabilities = capabilities.map(|name| [short_text(name), b"t\x01".to_vec()].concat()).concat();
    let properties = [short_text("capabilities"), b"F".to_vec(), long_text(&capabilities)].concat();
    [b"\x00\x09".to_vec(), long_text(&properties), long_text(b"PLAIN"), long_text(b"en_US")].concat()
}

/// The arguments of connection.close and channel.close.
pub(super) fn close_arguments(code: u16) -> Vec<u8> {
    [&code.to_be_bytes()[..], &short_text("SCRIPTED"), &[0; 4]].concat()
}

/// Property `message_id` and no other, in a header frame for an empty body.
pub(super) fn header_with_id(id: &str) -> Bytes {
    [&60_u16.to_be_bytes()[..], &[0; 10], &MESSAGE_ID.to_be_bytes(), &short_text(id)].concat().into()
}

/// What a header frame tells.
pub(super) struct Header {
    pub(super) body_bytes: u64,
    pub(super) delivery_mode: Option<u8>,
    pub(super) message_id: Option<String>,
}

pub(super) fn read_header(payload: &[u8]) -> Option<Header> {
    let mut reader = Reader(payload);
    reader.take(4)?;
    let body_bytes = reader.long_long()?;
    let flags = reader.short()?;
    let (mut delivery_mode, mut message_id) = (None, None);
    // In this order: content type, encoding, headers, delivery mode, priority, and texts as far as the id.
    for bit in (MESSAGE_ID.trailing_zeros()..16).rev().filter(|bit| flags & 1 << bit != 0) {
        match bit {
            13 => drop(reader.long_text()?),
            12 => delivery_mode = Some(reader.byte()?),
            11 => drop(reader.take(1)?.to_vec()),
            7 => message_id = Some(reader.short_text()?),
            _ => drop(reader.short_text()?),
        }
    }
    Some(Header { body_bytes, delivery_mode, message_id })
}

const MESSAGE_ID: u16 = 1 << 7;

/// Reads from the front of some bytes; `None` when there are too few.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        Some(self.take(1)?[0])
    }

    pub(super) fn short(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    fn long(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    fn long_long(&mut self) -> Option<u64> {
        Some(u64::from_be_bytes(self.take(8)?.try_into().ok()?))
    }

    pub(super) fn short_text(&mut self) -> Option<String> {
        let length = self.byte()?;
        Some(String::from_utf8_lossy(self.take(length.into())?).into_owned())
    }

    fn long_text(&mut self) -> Option<Vec<u8>> {
        let length = usize::try_from(self.long()?).ok()?;
        Some(self.take(length)?.to_vec())
    }
}

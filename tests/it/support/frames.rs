//! HTTP/2 frame by frame, right or wrong as a test wants it (RFC 9113). Names and values of fields are written out, never
//! from a table, so that no test depends on what was said before (RFC 7541, section 6.2.2).

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

pub use self::names::*;
use super::eventually::within;
use super::https::Client;

/// One connection, which knows nothing of what was said on it.
pub struct Frames {
    stream: TlsStream<TcpStream>,
    read: Vec<u8>,
}

/// A frame that came.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Frame {
    /// What it is.
    pub kind: u8,
    /// What its bits say depends on the kind.
    pub flags: u8,
    /// The stream, or 0 for the connection.
    pub stream: u32,
    /// Behind the head.
    pub payload: Vec<u8>,
}

/// What the server made of a flood.
#[derive(Debug, Default)]
pub struct Flooded {
    /// The code of a GOAWAY, or 0 for an end without one.
    pub gone: Option<u32>,
    /// The codes of all RST_STREAM.
    pub resets: Vec<u32>,
    /// The statuses of all answers.
    pub answers: Vec<u16>,
}

impl Frames {
    /// A connection on which nothing has been said.
    pub async fn silent(client: &Client) -> Self {
        let stream = client.fresh().http2().connect().await.expect("the server takes connections");
        Self { stream, read: Vec::new() }
    }

    /// A connection that has said what each must say first, with no settings but that the server's fields are written
    /// out, too.
    pub async fn open(client: &Client) -> Self {
        let mut frames = Self::silent(client).await;
        frames.send([PREFACE, &setting(HEADER_TABLE_SIZE, 0)].concat()).await;
        frames
    }

    /// Writes these bytes.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        assert!(self.try_send(bytes).await, "the server reads on");
    }

    /// Writes these bytes, or tells that the connection is gone.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        let writing = async {
            self.stream.write_all(bytes.as_ref()).await?;
            self.stream.flush().await
        };
        within(BOUND, "room to write", writing).await.is_ok()
    }

    /// The next frame, or `None` if the server has ended the connection.
    pub async fn next(&mut self) -> Option<Frame> {
        within(BOUND, "a frame, or the end of the connection", async {
            loop {
                if let Some(frame) = whole(&mut self.read) {
                    return Some(frame);
                }
                match self.stream.read_buf(&mut self.read).await {
                    Ok(1..) => {}
                    // A reset, or an end without close_notify, is an end like any other here.
                    Ok(0) | Err(_) => return None,
                }
            }
        })
        .await
    }

    /// The next frame of this kind, passing over others; `None` if the server has ended the connection.
    pub async fn next_of(&mut self, kind: u8) -> Option<Frame> {
        loop {
            match self.next().await {
                Some(frame) if frame.kind == kind => return Some(frame),
                Some(_) => {}
                None => return None,
            }
        }
    }

    /// Reads to the end of the connection; returns the codes of all GOAWAY.
    pub async fn to_end(&mut self) -> Vec<u32> {
        let mut codes = Vec::new();
        while let Some(frame) = self.next_of(GOAWAY).await {
            codes.push(frame.code());
        }
        codes
    }

    /// Writes these bytes while it reads, until the server has got them all or has ended the connection.
    pub async fn flood(&mut self, bytes: &[u8]) -> Flooded {
        let (mut from, mut to) = tokio::io::split(&mut self.stream);
        let last = frame(PING, 0, 0, LAST_PING);
        let writing = async {
            // What the server thinks of it comes by the other way.
            if to.write_all(bytes).await.is_ok() && to.write_all(&last).await.is_ok() {
                to.flush().await.ok();
            }
        };
        let mut flooded = Flooded::default();
        let reading = async {
            loop {
                while let Some(frame) = whole(&mut self.read) {
                    match (frame.kind, frame.flags) {
                        (GOAWAY, _) => flooded.gone = Some(frame.code()),
                        (RST_STREAM, _) => flooded.resets.push(frame.code()),
                        (HEADERS, _) => flooded.answers.push(frame.status()),
                        (PING, ACK) if frame.payload == LAST_PING => return,
                        _ => {}
                    }
                }
                if !matches!(from.read_buf(&mut self.read).await, Ok(1..)) {
                    flooded.gone.get_or_insert(0);
                    return;
                }
            }
        };
        let both = async {
            tokio::pin!(reading);
            tokio::select! {
                () = &mut reading => {}
                () = writing => reading.await,
            }
        };
        within(BOUND, "the end of a flood", both).await;
        flooded
    }

    /// Reads to the end of the connection, whatever comes.
    pub async fn bytes_to_end(mut self) -> Vec<u8> {
        // A reset, or an end without close_notify, is an end like any other here.
        within(BOUND, "the end of the connection", self.stream.read_to_end(&mut self.read)).await.ok();
        self.read
    }
}

/// Takes the first frame, if it is whole.
fn whole(read: &mut Vec<u8>) -> Option<Frame> {
    let (head, rest) = read.split_at_checked(9)?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
    let payload = rest.get(..length)?.to_vec();
    let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
    let frame = Frame { kind: head[3], flags: head[4], stream, payload };
    read.drain(..9 + length);
    Some(frame)
}

impl Frame {
    /// The code of a RST_STREAM or GOAWAY.
    pub fn code(&self) -> u32 {
        let bytes = match self.kind {
            RST_STREAM => self.payload.get(..4),
            GOAWAY => self.payload.get(4..8),
            other => panic!("no code in a frame of kind {other}"),
        };
        u32::from_be_bytes(bytes.expect("it is long enough").try_into().expect("four bytes"))
    }

    /// The status that a HEADERS frame begins with.
    pub fn status(&self) -> u16 {
        let mut block = self.payload.as_slice();
        // Ours says that there is no table; the server repeats it.
        while let [0x20..=0x3f, rest @ ..] = block {
            block = rest;
        }
        match block {
            [0x88, ..] => 200,
            [0x89, ..] => 204,
            [0x8c, ..] => 400,
            [0x8d, ..] => 404,
            [0x08 | 0x18 | 0x48, length, value @ ..] => {
                let value = &value[..usize::from(length & 0x7f)];
                let digits = if length & 0x80 == 0 { value.to_vec() } else { digits(value) };
                let text = String::from_utf8(digits).expect("digits are text");
                text.parse().unwrap_or_else(|_| panic!("no status: {text:?}"))
            }
            other => panic!("no status in {other:02x?}"),
        }
    }
}

/// A frame of any kind, on any stream.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let length = u32::try_from(payload.len()).expect("no test sends that much").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A SETTINGS frame of one setting.
pub fn setting(name: u16, value: u32) -> Vec<u8> {
    frame(SETTINGS, 0, 0, [name.to_be_bytes().as_slice(), &value.to_be_bytes()].concat())
}

/// Fields, written out.
pub fn fields<N: AsRef<[u8]>, V: AsRef<[u8]>>(fields: impl IntoIterator<Item = (N, V)>) -> Vec<u8> {
    let literal = |(name, value): (N, V)| [vec![0], text(name.as_ref()), text(value.as_ref())].concat();
    fields.into_iter().flat_map(literal).collect()
}

/// A string without Huffman coding.
fn text(text: &[u8]) -> Vec<u8> {
    [integer(0, 7, text.len()), text.to_vec()].concat()
}

/// A number in the lower bits of a byte and as many more as it takes (RFC 7541, section 5.1).
pub fn integer(first: u8, bits: u32, value: usize) -> Vec<u8> {
    let most = (1 << bits) - 1;
    if value < most {
        return vec![first | u8::try_from(value).expect("it is less than most")];
    }
    let mut bytes = vec![first | u8::try_from(most).expect("at most eight bits")];
    let mut rest = value - most;
    while rest >= 0x80 {
        bytes.push(0x80 | (rest & 0x7f) as u8);
        rest >>= 7;
    }
    bytes.push(rest as u8);
    bytes
}

/// Digits in Huffman's code (RFC 7541, appendix B): 0 to 2 have five bits, the others six.
fn digits(coded: &[u8]) -> Vec<u8> {
    let bit = |at: usize| coded.get(at / 8).map(|byte| byte >> (7 - at % 8) & 1);
    let number =
        |from: usize, bits: usize| (from..from + bits).try_fold(0, |number, at| Some(number << 1 | bit(at)?));
    let (mut digits, mut at) = (Vec::new(), 0);
    loop {
        match (number(at, 5), number(at, 6)) {
            (Some(short @ 0..=2), _) => (digits.push(b'0' + short), at += 5).1,
            (_, Some(long @ 0b01_1001..=0b01_1111)) => (digits.push(b'3' + long - 0b01_1001), at += 6).1,
            // What is left are the ones that fill the byte.
            _ => return digits,
        }
    }
}

/// What a client says first.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[expect(missing_docs, reason = "names of RFC 9113: kinds of frames, flags, settings")]
mod names {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PUSH_PROMISE: u8 = 5;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;

    pub const END_STREAM: u8 = 1;
    pub const ACK: u8 = 1;
    pub const END_HEADERS: u8 = 4;
    pub const PADDED: u8 = 8;
    pub const WITH_PRIORITY: u8 = 0x20;

    pub const HEADER_TABLE_SIZE: u16 = 1;
    pub const ENABLE_PUSH: u16 = 2;
    pub const INITIAL_WINDOW_SIZE: u16 = 4;
    pub const MAX_FRAME_SIZE: u16 = 5;
}

const LAST_PING: &[u8] = b"the last";
/// Far beyond any time limit of the daemon's: this ends a test that hangs, and judges nothing.
const BOUND: Duration = Duration::from_secs(60);

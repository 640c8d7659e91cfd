//! Messages and confirms in frames, and lapin's frames beside them.

use std::{
    collections::VecDeque,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use lapin::protocol::{self, basic};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::{
    frame::{Closed, Confirmed, Framer, Garbled, Said},
    *,
};
use crate::{
    delivery::amqp_properties,
    envelope::{
        Envelope,
        properties::{MessageKind, Properties},
        routing::RoutingKey,
    },
    notification::{id::MessageId, lifecycle::Kind},
};

fn envelope(body: &[u8]) -> Envelope {
    Envelope {
        message_id: MessageId::given("an-id").expect("an id"),
        routing_key: RoutingKey::stored("notification.message.created").expect("a key"),
        body: Bytes::copy_from_slice(body),
        properties: Properties {
            kind: MessageKind::Item(Kind::Notification),
            timestamp: 1_790_000_000,
            headers: vec![
                ("graph-change-type".into(), "created".to_owned()),
                ("empty".into(), String::new()),
            ],
        },
        trace: None,
    }
}

/// A frame of this kind on channel 7.
fn framed(kind: u8, payload: &[u8]) -> Vec<u8> {
    let size = (payload.len() as u32).to_be_bytes();
    [&[kind, 0, 7], &size[..], payload, &[0xce]].concat()
}

fn confirm(method: u8, tag: u8, is_multiple: bool) -> Vec<u8> {
    framed(1, &[0, 60, 0, method, 0, 0, 0, 0, 0, 0, 0, tag, u8::from(is_multiple)])
}

fn read(bytes: &[u8]) -> Result<Said, Garbled> {
    Frame::first(bytes).expect("a frame").expect("a whole one").read()
}

fn frames(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while let Some(frame) = Frame::first(bytes).expect("frames") {
        frames.push((frame.bytes[0], frame.bytes[7..frame.bytes.len() - 1].to_vec()));
        bytes = &bytes[frame.bytes.len()..];
    }
    assert!(bytes.is_empty(), "nothing but whole frames");
    frames
}

#[test]
fn a_message_is_what_lapin_would_make_of_it() {
    let (envelope, mut written) = (envelope(b"{}"), BytesMut::from("before"));
    Framer::new(7, "graph", 131_072).put(&envelope, &mut written);
    let [(1, method), (2, header), (3, body)] = &frames(&written[6..])[..] else { panic!("three frames") };
    let (rest, class) = protocol::parse_class(&method[..]).expect("a method");
    assert!(rest.is_empty());
    let protocol::AMQPClass::Basic(basic::AMQPMethod::Publish(publish)) = class else {
        panic!("basic.publish")
    };
    assert_eq!(
        (publish.exchange.as_str(), publish.routing_key.as_str(), publish.mandatory, publish.immediate),
        ("graph", "notification.message.created", true, false)
    );
    assert_eq!(header[..12], [0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
    let (rest, properties) = basic::parse_properties(&header[12..]).expect("properties");
    assert!(rest.is_empty());
    assert_eq!(properties, amqp_properties(&envelope));
    assert_eq!(body, b"{}");
}

#[test]
fn a_body_is_cut_into_frames_of_the_size_that_was_agreed_on() {
    for (length, frame_max, expected) in [
        (0, 4096, vec![]),
        (4088, 4096, vec![4088]),
        (4089, 4096, vec![4088, 1]),
        (10_000, 4096, vec![4088, 4088, 1824]),
        (131_064, 131_072, vec![131_064]),
        (131_065, 131_072, vec![131_064, 1]),
    ] {
        let (body, mut written) = (vec![b'x'; length], BytesMut::new());
        Framer::new(7, "graph", frame_max).put(&envelope(&body), &mut written);
        let frames = frames(&written);
        let pieces: Vec<usize> = frames[2..].iter().map(|(_, piece)| piece.len()).collect();
        assert_eq!(pieces, expected, "{length} bytes in frames of {frame_max}");
        let whole: Vec<u8> = frames[2..].iter().flat_map(|(_, piece)| piece.clone()).collect();
        assert_eq!(whole, body);
    }
}

#[test]
fn frames_of_a_channel_that_publishes_are_understood() {
    assert_eq!(read(&confirm(80, 9, false)), Ok(Said::Ack(Confirmed { tag: 9, is_multiple: false })));
    assert_eq!(read(&confirm(120, 9, true)), Ok(Said::Nack(Confirmed { tag: 9, is_multiple: true })));
    let close = framed(1, b"\0\x14\0\x28\x01\x94\x09NOT_FOUND\0\0\0\0");
    let Ok(Said::Closed(closed)) = read(&close) else { panic!("channel.close") };
    assert_eq!((closed.code, closed.to_string()), (404, "\"NOT_FOUND\" (404)".to_owned()));
    assert_eq!(read(&framed(1, &[0, 20, 0, 11, 0, 0, 0, 0])), Ok(Said::ForLapin), "channel.open-ok");
    assert_eq!(read(&framed(3, b"body")), Ok(Said::ForNobody));
    for cut in [&[0, 60, 0, 80, 0][..], &[0, 60], &[0, 20, 0, 40, 1, 0x94, 9, b'N']] {
        assert_eq!(read(&framed(1, cut)), Err(Garbled), "{cut:?}");
    }
}

#[test]
fn a_message_that_comes_back_is_known_by_its_id() {
    let mut written = BytesMut::new();
    Framer::new(7, "graph", 4096).put(&envelope(b"{}"), &mut written);
    let id = MessageId::given("an-id").expect("an id");
    assert_eq!(read(&framed(2, &frames(&written)[1].1)), Ok(Said::Returned(id.clone())));
    // Everything that may stand before it; a table that claims to be longer than the frame.
    let all = [
        &[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0xff, 0x80][..],
        b"\x01a\x01b",
        &[0, 0, 0, 3, 9, 9, 9],
        &[2, 0],
        b"\x01c\x01d\x01e",
        b"\x05an-id",
    ];
    assert_eq!(read(&framed(2, &all.concat())), Ok(Said::Returned(id)));
    let nameless = [0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0x10, 0, 2];
    let endless = [0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0x20, 0x80, 0xff, 0, 0, 0, 1];
    for broken in [&nameless[..], &endless, &nameless[..9]] {
        assert_eq!(read(&framed(2, broken)), Err(Garbled));
    }
}

#[test]
fn what_begins_no_frame_is_garbled_and_what_is_not_whole_waits() {
    let frame = confirm(80, 1, false);
    for cut in 0..frame.len() {
        assert_eq!(Frame::first(&frame[..cut]), Ok(None), "{cut} bytes");
    }
    let mut wrong = frame;
    *wrong.last_mut().expect("bytes") = 0;
    for garbled in [&b"HTTP/1.1 400"[..], b"A", b"AMQP\0\0\x09\x01", &wrong, b"\x01\0\0\xff\xff\xff\xff"] {
        assert_eq!(Frame::first(garbled), Err(Garbled));
    }
}

/// Channel 7 is its own; it says what it is told to, and keeps what it hears.
#[derive(Default)]
struct Seven {
    says: VecDeque<&'static [u8]>,
    heard: Vec<Said>,
}

impl Station for Seven {
    type Error = Closed;

    fn fill(&mut self, _: &mut Context<'_>, into: &mut BytesMut) {
        self.says.drain(..).for_each(|said| into.extend_from_slice(said));
    }

    fn listen(&mut self) {}

    fn hear(&mut self, frame: Frame<'_>) -> Result<Whose, Closed> {
        if frame.channel != 7 {
            return Ok(Whose::Lapins);
        }
        let said = frame.read().expect("frames");
        if let Said::Closed(closed) = said {
            return Err(closed);
        }
        self.heard.push(said);
        Ok(Whose::Stations)
    }
}

/// The broker's end, lapin's, and what lies between.
fn laid() -> (DuplexStream, tokio_util::compat::Compat<DuplexStream>, Wire) {
    let (broker, socket) = tokio::io::duplex(1 << 10);
    let (wire, lapin) = Wire::new(Box::new(socket));
    (broker, lapin, wire)
}

/// Lets the wire carry until nothing moves any more: it writes only when others have had their turn.
async fn carried(wire: &mut Wire, station: &mut Seven) -> Option<Carried<Closed>> {
    for _ in 0..2 {
        let carried = poll_fn(|context| Poll::Ready(wire.poll_carry(context, station))).await;
        if let Poll::Ready(carried) = carried {
            return Some(carried);
        }
    }
    None
}

async fn had(from: &mut (impl AsyncRead + Unpin), many: usize) -> Vec<u8> {
    let mut bytes = vec![0; many];
    from.read_exact(&mut bytes).await.expect("it is there");
    bytes
}

const PUBLISH: &[u8] = b"\x01\0\x07\0\0\0\x01p\xce";
const OTHERS: &[u8] = b"\x01\0\0\0\0\0\x02ab\xce";

#[tokio::test]
async fn lapins_frames_stay_whole_and_others_stand_between_them() {
    let (mut broker, lapin, mut wire) = laid();
    let (mut lapin, mut seven) = (lapin.into_inner(), Seven::default());
    lapin.write_all(b"AMQP\0\0\x09\x01").await.expect("room");
    lapin.write_all(&OTHERS[..4]).await.expect("room");
    seven.says.push_back(PUBLISH);
    assert!(carried(&mut wire, &mut seven).await.is_none());
    assert_eq!(had(&mut broker, 8 + PUBLISH.len()).await, [b"AMQP\0\0\x09\x01", PUBLISH].concat());
    lapin.write_all(&[&OTHERS[4..], OTHERS].concat()).await.expect("room");
    assert!(carried(&mut wire, &mut seven).await.is_none());
    assert_eq!(had(&mut broker, 2 * OTHERS.len()).await, [OTHERS, OTHERS].concat());
}

#[tokio::test(start_paused = true)]
async fn lapin_hears_everything_but_confirms_and_signs_of_life_instead() {
    let (mut broker, lapin, mut wire) = laid();
    let (mut lapin, mut seven) = (lapin.into_inner(), Seven::default());
    let (ack, ack_cut) = (confirm(80, 1, false), confirm(80, 2, true));
    broker.write_all(&[&ack[..], OTHERS, &ack_cut[..5]].concat()).await.expect("room");
    assert!(carried(&mut wire, &mut seven).await.is_none());
    assert_eq!(had(&mut lapin, OTHERS.len()).await, OTHERS);
    broker.write_all(&ack_cut[5..]).await.expect("room");
    assert!(carried(&mut wire, &mut seven).await.is_none());
    let acks = [(1, false), (2, true)].map(|(tag, is_multiple)| Said::Ack(Confirmed { tag, is_multiple }));
    assert_eq!(seven.heard, acks);
    tokio::time::advance(Duration::from_secs(2)).await;
    broker.write_all(&[&ack[..], &ack].concat()).await.expect("room");
    assert!(carried(&mut wire, &mut seven).await.is_none());
    drop(wire);
    let mut rest = Vec::new();
    lapin.read_to_end(&mut rest).await.expect("an end");
    assert_eq!(rest, b"\x08\0\0\0\0\0\0\xce", "one heartbeat for all of them");
}

#[tokio::test]
async fn garbage_is_lapins_to_complain_of() {
    let (mut broker, lapin, mut wire) = laid();
    broker.write_all(b"HTTP/1.1 400 Bad Request\r\n").await.expect("room");
    assert!(carried(&mut wire, &mut Seven::default()).await.is_none());
    broker.write_all(&confirm(80, 1, false)).await.expect("room");
    let mut seven = Seven::default();
    assert!(carried(&mut wire, &mut seven).await.is_none());
    let all = [b"HTTP/1.1 400 Bad Request\r\n", &confirm(80, 1, false)[..]].concat();
    assert_eq!(had(&mut lapin.into_inner(), all.len()).await, all);
    assert_eq!(seven.heard, []);
}

#[tokio::test]
async fn ends_are_told_in_both_directions_after_the_last_words() {
    let (mut broker, lapin, mut wire) = laid();
    broker.write_all(OTHERS).await.expect("room");
    drop(broker);
    let end = carried(&mut wire, &mut Seven::default()).await;
    assert!(matches!(end, Some(Carried::Lost(Lost::Ended))));
    drop(wire);
    let mut heard = Vec::new();
    lapin.into_inner().read_to_end(&mut heard).await.expect("an end");
    assert_eq!(heard, OTHERS);

    let (mut broker, lapin, mut wire) = laid();
    let mut lapin = lapin.into_inner();
    lapin.write_all(&[b"AMQP\0\0\x09\x01", OTHERS].concat()).await.expect("room");
    drop(lapin);
    let end = carried(&mut wire, &mut Seven::default()).await;
    assert!(matches!(end, Some(Carried::Lost(Lost::Closed))));
    drop(wire);
    let mut heard = Vec::new();
    broker.read_to_end(&mut heard).await.expect("an end");
    assert_eq!(heard, [b"AMQP\0\0\x09\x01", OTHERS].concat());
}

#[tokio::test]
async fn a_slow_reader_makes_the_other_side_wait_and_loses_nothing() {
    let (mut broker, lapin, mut wire) = laid();
    let many = (2 * UPWARD_BYTES) / OTHERS.len();
    let writing = async move {
        for _ in 0..many {
            broker.write_all(OTHERS).await.expect("it is read");
        }
    };
    let carrying = async move {
        let Carried::Lost(lost) = poll_fn(|context| wire.poll_carry(context, &mut Nobody)).await;
        drop(wire);
        lost
    };
    let reading = async move {
        let mut heard = Vec::new();
        lapin.into_inner().read_to_end(&mut heard).await.expect("an end");
        heard.len()
    };
    let ((), lost, heard) = tokio::join!(writing, carrying, reading);
    assert!(matches!(lost, Lost::Ended));
    assert_eq!(heard, many * OTHERS.len());
}

#[tokio::test]
async fn a_wire_is_handed_over_with_all_that_is_in_it() {
    let (mut broker, lapin, wire) = laid();
    let (giver, taker) = handover();
    giver.carry(wire);
    let ack = confirm(80, 1, false);
    broker.write_all(&ack[..5]).await.expect("room");
    // Whether it has been read by then makes no difference.
    tokio::task::yield_now().await;
    let mut wire = taker.take().await.expect("the wire");
    broker.write_all(&ack[5..]).await.expect("room");
    let mut seven = Seven::default();
    assert!(carried(&mut wire, &mut seven).await.is_none());
    assert_eq!(seven.heard.len(), 1);
    drop(lapin);

    let (broker, _lapin, wire) = laid();
    let (giver, taker) = handover();
    giver.carry(wire);
    drop((broker, giver));
    tokio::task::yield_now().await;
    assert!(taker.take().await.is_none(), "its connection has ended");
}

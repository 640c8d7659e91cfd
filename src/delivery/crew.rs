//! All publishers of a connection, as its wire meets them.

use std::{
    sync::{Arc, atomic::Ordering},
    task::Context,
};

use bytes::BytesMut;
use tokio::time::Instant;

use super::{
    publisher::{GIVE_UP, Now, Publisher, PublisherError, Signs},
    wire::{
        Station, Whose,
        frame::{Frame, Said},
    },
};

/// All publishers of a connection.
pub(super) struct Crew {
    publishers: Vec<Publisher>,
    signs: Arc<Signs>,
    /// Before this nobody waits too long: the broker has blocked us until then.
    blocked_until: Option<Instant>,
    now: Option<Now>,
}

impl Crew {
    pub(super) fn new(publishers: Vec<Publisher>, signs: Arc<Signs>) -> Self {
        Self { publishers, signs, blocked_until: None, now: None }
    }

    /// Whether nobody can reach them any more, and nothing is in flight.
    pub(super) fn is_done(&self) -> bool {
        self.publishers.iter().all(Publisher::is_done)
    }

    /// Whether a confirm has been waited for in vain. This is far behind every request's deadline: a confirm that is
    /// missing keeps its message's place, so it costs the connection.
    ///
    /// A broker that blocks us reads nothing, however long that takes, and has said so.
    pub(super) fn look(&mut self) -> Result<(), PublisherError> {
        let now = Instant::now();
        if self.signs.blocked.load(Ordering::Relaxed) {
            self.blocked_until = Some(now);
        }
        let oldest = self.publishers.iter().filter_map(Publisher::waits_since).min();
        match oldest.max(self.blocked_until.filter(|_| oldest.is_some())) {
            Some(since) if now > since + GIVE_UP => Err(PublisherError::Unconfirmed),
            Some(_) | None => Ok(()),
        }
    }
}

impl Station for Crew {
    type Error = PublisherError;

    fn fill(&mut self, context: &mut Context<'_>, into: &mut BytesMut) {
        self.publishers.iter_mut().for_each(|publisher| publisher.fill(context, into));
    }

    fn listen(&mut self) {
        self.now = None;
    }

    fn hear(&mut self, frame: Frame<'_>) -> Result<Whose, PublisherError> {
        let Some(publisher) = self.publishers.iter_mut().find(|publisher| publisher.channel == frame.channel)
        else {
            return Ok(Whose::Lapins);
        };
        let said = frame.read()?;
        let whose = if said == Said::ForLapin { Whose::Lapins } else { Whose::Stations };
        let now = self.now.get_or_insert_with(Now::look_up);
        publisher.hear(said, now)?;
        Ok(whose)
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, task::Poll};

    use tokio::{io::AsyncWriteExt, sync::oneshot};

    use super::*;
    use crate::{
        config::broker_at,
        delivery::{publisher::Parcel, wire::Wire},
        envelope::{
            Envelope,
            properties::{MessageKind, Properties},
            routing::RoutingKey,
        },
        metrics::{Metrics, Publish},
        notification::{id::MessageId, lifecycle::Kind},
        secret::Secret,
    };

    fn parcel(body_bytes: usize) -> Parcel {
        let properties =
            Properties { kind: MessageKind::Item(Kind::Notification), timestamp: 0, headers: Vec::new() };
        let envelope = Envelope {
            message_id: MessageId::given("an-id").expect("an id"),
            routing_key: RoutingKey::stored("key").expect("a key"),
            body: vec![b'x'; body_bytes].into(),
            properties,
            trace: None,
        };
        Parcel { envelope: Arc::new(envelope), fate: oneshot::channel().0, _room: None }
    }

    /// basic.ack of a message of channel 7.
    fn ack(tag: u8) -> [u8; 21] {
        let mut frame = *b"\x01\0\x07\0\0\0\x0d\0\x3c\0\x50\0\0\0\0\0\0\0\0\0\xce";
        frame[18] = tag;
        frame
    }

    #[tokio::test(start_paused = true)]
    async fn a_confirm_is_late_by_the_clock_even_while_nothing_can_be_written() {
        let broker = broker_at(Secret::new("amqp://localhost".to_owned()), "test").expect("a URL");
        let (metrics, signs) = (Metrics::new(), Arc::<Signs>::default());
        let (way, publisher) = Publisher::new(7, 131_072, &broker, Arc::clone(&metrics), Arc::clone(&signs));
        let mut crew = Crew::new(vec![publisher], signs);
        let (mut node, socket) = tokio::io::duplex(1 << 10);
        let (mut wire, _lapin) = Wire::new(Box::new(socket));
        let mut carry = async |crew: &mut Crew| {
            for _ in 0..2 {
                let carried = poll_fn(|context| Poll::Ready(wire.poll_carry(context, crew))).await;
                assert!(carried.is_pending());
            }
        };
        // More than may wait for the socket, which nobody reads.
        for _ in 0..2 {
            way.try_send(parcel(256 << 10)).expect("there is room");
        }
        carry(&mut crew).await;
        assert_eq!(metrics.publishes_in_flight.get(), 2);
        for tag in [1, 2] {
            node.write_all(&ack(tag)).await.expect("room");
            carry(&mut crew).await;
            tokio::time::advance(broker.confirm_within * 2).await;
        }
        let counted = [Publish::Ack, Publish::Late].map(|result| metrics.publishes.get(result));
        assert_eq!(counted, [1, 1]);
    }
}

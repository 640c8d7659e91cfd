//! Past the check: published as the daemon did, under the same id.

use std::{borrow::Cow, time::SystemTime};

use super::{
    Goal,
    item::{Told, is_refused, put_back, told},
    tally::{Sent, Skip},
};
use crate::{
    cli::{capture::Item, words},
    config::Broker,
    delivery::{
        QUARANTINE_SUFFIX,
        courier::{Courier, Handed},
    },
    envelope::{
        Envelope,
        properties::{MessageKind, Properties, REPLAYED_AT},
        routing::RoutingKey,
    },
    notification::id::MessageId,
    secret::Secret,
    simulate::members::Members,
};

/// An exchange, its quarantine, and what goes there.
pub(super) struct Exchange {
    broker: Broker,
    wanted: Wanted,
    client_state: Option<Secret>,
    believed: Option<Courier>,
    refused: Option<Courier>,
}

/// What is sent beside messages that consumers should have had.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) gaps: bool,
    pub(super) refused: bool,
}

/// What is published.
pub(super) struct Ready {
    envelope: Envelope,
    is_refused: bool,
}

impl Exchange {
    pub(super) fn new(broker: Broker, wanted: Wanted, client_state: Option<Secret>) -> Self {
        Self { broker, wanted, client_state, believed: None, refused: None }
    }

    /// What somebody is asked about.
    pub(super) fn warning(&self) -> String {
        let exchange = words::plain(&self.broker.exchange);
        let url = self.broker.urls.first().map_or("", |url| &url.shown);
        format!("This publishes to exchange {exchange} on {url}: whoever reads it gets every message again.")
    }
}

impl Goal for Exchange {
    type Ready = Ready;

    fn prepare(&self, item: &Item) -> Result<Ready, Skip> {
        let is_refused = is_refused(item);
        if is_refused && !self.wanted.refused {
            return Err(Skip::Refused);
        }
        if item.kind.as_deref() == Some(MessageKind::Gap.as_str()) && !self.wanted.gaps {
            return Err(Skip::Gap);
        }
        let envelope = envelope(item, self.client_state.as_ref(), SystemTime::now())?;
        Ok(Ready { envelope, is_refused })
    }

    fn would_be(&self, _: &Ready) -> Sent {
        Sent::Done
    }

    async fn send(&mut self, ready: Ready) -> anyhow::Result<Sent> {
        let courier = match ready.is_refused {
            true => open(&mut self.refused, quarantine(&self.broker)).await?,
            false => open(&mut self.believed, self.broker.clone()).await?,
        };
        Ok(match courier.hand(&ready.envelope).await? {
            Handed::Confirmed => Sent::Done,
            Handed::Returned => Sent::Returned,
            Handed::Nacked => Sent::Nacked,
        })
    }

    async fn close(self) {
        for courier in [self.believed, self.refused].into_iter().flatten() {
            // Everything is confirmed; what is not closed politely ends with its socket.
            courier.close().await.ok();
        }
    }
}

async fn open(courier: &mut Option<Courier>, broker: Broker) -> anyhow::Result<&mut Courier> {
    let opened = match courier.take() {
        Some(courier) => courier,
        None => Courier::open(&broker).await?,
    };
    Ok(courier.insert(opened))
}

/// What was refused belongs where nobody believes it.
fn quarantine(broker: &Broker) -> Broker {
    let mut broker = broker.clone();
    if !broker.exchange.ends_with(QUARANTINE_SUFFIX) {
        broker.exchange += QUARANTINE_SUFFIX;
    }
    broker
}

fn envelope(item: &Item, client_state: Option<&Secret>, now: SystemTime) -> Result<Envelope, Skip> {
    let mut body = item.body().ok_or(Skip::Bodyless)?;
    let members = std::str::from_utf8(&body).ok().and_then(Members::read);
    if let Some(mut members) = members.filter(|members| told(members) == Told::Masked) {
        put_back(item, &mut members, client_state)?;
        body = members.write().into();
    }
    let kind = MessageKind::ALL.into_iter().find(|kind| item.kind.as_deref() == Some(kind.as_str()));
    let mut headers = headers(item)?;
    headers.push((REPLAYED_AT.into(), humantime::format_rfc3339_millis(now).to_string()));
    Ok(Envelope {
        message_id: item.message_id.as_deref().and_then(MessageId::given).ok_or(Skip::Foreign)?,
        routing_key: RoutingKey::stored(&item.routing_key).ok_or(Skip::Foreign)?,
        body,
        properties: Properties {
            kind: kind.ok_or(Skip::Foreign)?,
            timestamp: item.timestamp.ok_or(Skip::Foreign)?,
            headers,
        },
        trace: None,
    })
}

/// Those that it has, if AMQP can carry them.
fn headers(item: &Item) -> Result<Vec<(Cow<'static, str>, String)>, Skip> {
    let bytes: usize = item.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > HEADERS_BYTES_MAX || item.headers.keys().any(|name| name.len() > NAME_BYTES_MAX) {
        return Err(Skip::Foreign);
    }
    let earlier = item.headers.iter().filter(|(name, _)| *name != REPLAYED_AT);
    Ok(earlier.map(|(name, value)| (name.clone().into(), value.clone())).collect())
}

/// They have to fit into one frame; RabbitMQ's have 128 KiB at most. Ours come to 8 KiB.
const HEADERS_BYTES_MAX: usize = 64 << 10;
/// AMQP 0-9-1, `shortstr`.
const NAME_BYTES_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use super::super::item::tests::item;
    use super::*;

    fn made(item: &Item, secret: Option<&str>) -> Result<Envelope, Skip> {
        let secret = secret.map(|secret| Secret::new(secret.to_owned()));
        envelope(item, secret.as_ref(), SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn a_message_keeps_everything_and_says_that_it_comes_again() {
        let text = r#"{ "clientState" : "s" }"#;
        let mut item = item(text, "m1");
        item.headers.insert(REPLAYED_AT.to_owned(), "earlier".to_owned());
        let envelope = made(&item, None).expect("a message");
        assert_eq!(
            (envelope.message_id.as_str(), envelope.routing_key.as_str()),
            ("m1", "notification.message.created")
        );
        assert_eq!((envelope.body, envelope.properties.timestamp), (text.into(), 7));
        let headers: Vec<_> =
            envelope.properties.headers.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(headers, [("a", "b"), (REPLAYED_AT, "1970-01-01T00:00:00.000Z")]);
    }

    #[test]
    fn a_mask_is_published_to_nobody() {
        let masked = item(r#"{"clientState":"[secret]"}"#, "m1");
        assert_eq!(made(&masked, None), Err(Skip::Masked));
        assert_eq!(made(&masked, Some("s")).expect("a message").body, r#"{"clientState":"s"}"#);
        let redacted = item(r#"{"clientState":null}"#, "m1");
        assert_eq!(made(&redacted, Some("s")).expect("a message").body, r#"{"clientState":null}"#);
        let mut refused = masked;
        refused.routing_key = "refused.mismatch".to_owned();
        assert_eq!(made(&refused, Some("s")), Err(Skip::MaskedRefused));
    }

    #[test]
    fn what_is_none_of_ours_is_left_out() {
        let good = item("{}", "m1");
        let long = [("h".repeat(256), String::new())].into();
        for foreign in [
            Item { message_id: None, ..good.clone() },
            Item { kind: Some("other".to_owned()), ..good.clone() },
            Item { kind: None, ..good.clone() },
            Item { timestamp: None, ..good.clone() },
            Item { routing_key: "k".repeat(256), ..good.clone() },
            Item { headers: [("h".to_owned(), "v".repeat(70_000))].into(), ..good.clone() },
            Item { headers: long, ..good },
        ] {
            assert_eq!(made(&foreign, None), Err(Skip::Foreign), "{foreign:?}");
        }
        assert_eq!(made(&Item::default(), None), Err(Skip::Bodyless));
    }

    #[test]
    fn gaps_and_what_was_refused_are_asked_for_and_go_where_they_belong() {
        let broker =
            crate::config::broker_at(Secret::new("amqp://localhost".to_owned()), "test").expect("a URL");
        let goal = |gaps, refused| Exchange::new(broker.clone(), Wanted { gaps, refused }, None);
        let gap = Item { kind: Some("gap".to_owned()), ..item("{}", "m1") };
        assert_eq!(goal(false, true).prepare(&gap).err(), Some(Skip::Gap));
        assert!(goal(true, false).prepare(&gap).is_ok_and(|ready| !ready.is_refused));
        let refused = Item { routing_key: "refused.missing".to_owned(), ..item("{}", "m1") };
        assert_eq!(goal(true, false).prepare(&refused).err(), Some(Skip::Refused));
        assert!(goal(false, true).prepare(&refused).is_ok_and(|ready| ready.is_refused));
        assert_eq!(quarantine(&broker).exchange, "graph.refused");
        assert_eq!(quarantine(&quarantine(&broker)).exchange, "graph.refused");
    }
}

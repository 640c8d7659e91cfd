//! A message as the spool keeps it: the columns of a row, and the checksum over them.

use std::{borrow::Cow, io};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    envelope::{
        Envelope,
        properties::{MessageKind, Properties},
        routing::RoutingKey,
    },
    notification::id::MessageId,
};

/// One message, byte for byte as it is on disk.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Record {
    /// `message_id` of the message.
    pub message_id: String,
    /// Its routing key.
    pub routing_key: String,
    /// Its other properties and its headers, as JSON.
    pub properties: String,
    /// Its body.
    pub body: Bytes,
}

/// A record cannot be turned into a message: this program did not write it, or not this version.
#[derive(Debug, thiserror::Error)]
#[error("not a message of this program")]
pub struct Unreadable(#[source] io::Error);

/// What `properties` holds.
#[derive(Deserialize, Serialize)]
struct Written<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    timestamp: u64,
    #[serde(borrow)]
    headers: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl Record {
    /// The record of a message.
    pub fn of(envelope: &Envelope) -> Self {
        let Properties { kind, timestamp, headers } = &envelope.properties;
        let headers: Vec<_> =
            headers.iter().map(|(name, value)| (Cow::from(&**name), Cow::from(value))).collect();
        let bytes: usize = headers.iter().map(|(name, value)| name.len() + value.len() + QUOTES).sum();
        // As long as it will be, unless something in it must be escaped.
        let mut properties = Vec::with_capacity(AROUND_HEADERS + bytes);
        let written = Written { kind: kind.as_str().into(), timestamp: *timestamp, headers };
        serde_json::to_writer(&mut properties, &written).expect("strings and numbers are always JSON");
        Self {
            message_id: envelope.message_id.as_str().to_owned(),
            routing_key: envelope.routing_key.as_str().to_owned(),
            properties: String::from_utf8(properties).expect("JSON is text"),
            body: envelope.body.clone(),
        }
    }

    /// The message of a record.
    ///
    /// # Errors
    ///
    /// [`Unreadable`] when it holds what no message of ours could.
    pub fn envelope(&self) -> Result<Envelope, Unreadable> {
        let odd = |what: &str| Unreadable(io::Error::other(what.to_owned()));
        let written: Written<'_> =
            serde_json::from_str(&self.properties).map_err(|error| Unreadable(error.into()))?;
        let kind = MessageKind::ALL.into_iter().find(|kind| kind.as_str() == written.kind);
        if written.headers.iter().any(|(name, _)| name.len() > NAME_BYTES_MAX) {
            return Err(odd("the name of a header"));
        }
        let headers =
            written.headers.into_iter().map(|(name, value)| (name.into_owned().into(), value.into_owned()));
        Ok(Envelope {
            message_id: MessageId::given(&self.message_id).ok_or_else(|| odd("the message id"))?,
            routing_key: RoutingKey::stored(&self.routing_key).ok_or_else(|| odd("the routing key"))?,
            body: self.body.clone(),
            properties: Properties {
                kind: kind.ok_or_else(|| odd("the kind"))?,
                timestamp: written.timestamp,
                headers: headers.collect(),
            },
            trace: None,
        })
    }

    /// CRC-32 (IEEE) over the place in the order and every column, each column with its length before it.
    pub fn crc(&self, seq: u64) -> u32 {
        let mut crc = crc32fast::Hasher::new();
        crc.update(&seq.to_le_bytes());
        for column in self.columns() {
            crc.update(&(column.len() as u64).to_le_bytes());
            crc.update(column);
        }
        crc.finalize()
    }

    /// Bytes of all columns.
    pub fn bytes(&self) -> usize {
        self.columns().iter().map(|column| column.len()).sum()
    }

    fn columns(&self) -> [&[u8]; 4] {
        [self.message_id.as_bytes(), self.routing_key.as_bytes(), self.properties.as_bytes(), &self.body]
    }
}

/// Brackets, quotes and commas around the name and the value of a header, as JSON has them.
const QUOTES: usize = 8;
/// The names of the members, the kind, a timestamp, and what stands around them.
const AROUND_HEADERS: usize = 80;
/// AMQP 0-9-1, `shortstr`.
const NAME_BYTES_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn envelope(
        id: &str,
        key: &str,
        body: Vec<u8>,
        kind: MessageKind,
        headers: Vec<(String, String)>,
    ) -> Envelope {
        let headers = headers.into_iter().map(|(name, value)| (name.into(), value)).collect();
        Envelope {
            message_id: MessageId::given(id).expect("an id"),
            routing_key: RoutingKey::stored(key).expect("a key"),
            body: body.into(),
            properties: Properties { kind, timestamp: 1_700_000_000, headers },
            trace: None,
        }
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(
            id in "[a-zA-Z0-9:\\-]{1,255}",
            key in "[a-z.]{0,255}",
            body: Vec<u8>,
            headers: Vec<(String, String)>,
            kind in 0_usize..3,
        ) {
            let envelope = envelope(&id, &key, body, MessageKind::ALL[kind], headers);
            let record = Record::of(&envelope);
            prop_assert_eq!(record.envelope().expect("our own"), envelope);
        }

        #[test]
        fn any_change_of_a_column_changes_the_checksum(
            columns in any::<[String; 4]>(), seq: u64, which in 0_usize..5, more in "[a-z]{1,4}",
        ) {
            let [message_id, routing_key, properties, body] = columns;
            let record = Record { message_id, routing_key, properties, body: body.into() };
            let mut other = record.clone();
            let mut other_seq = seq;
            match which {
                0 => other.message_id += &more,
                1 => other.routing_key += &more,
                2 => other.properties += &more,
                3 => other.body = [&other.body[..], more.as_bytes()].concat().into(),
                _ => other_seq = seq.wrapping_add(1),
            }
            prop_assert_ne!(record.crc(seq), other.crc(other_seq));
        }
    }

    #[test]
    fn what_is_not_ours_is_told() {
        let good = Record::of(&envelope("a", "b", vec![1], MessageKind::Gap, vec![]));
        for spoil in [
            |record: &mut Record| record.properties = "{}".to_owned(),
            |record: &mut Record| record.message_id.clear(),
            |record: &mut Record| record.routing_key = "k".repeat(256),
            |record: &mut Record| record.properties = record.properties.replace("gap", "other"),
            |record: &mut Record| {
                record.properties =
                    record.properties.replace("[]", &format!("[[\"{}\",\"\"]]", "n".repeat(256)));
            },
        ] {
            let mut record = good.clone();
            spoil(&mut record);
            assert!(record.envelope().is_err(), "{record:?}");
        }
    }
}

//! A row of the spool, decoded.

use serde_json::Value;

use crate::delivery::{amqp_properties, spool::record::Record};

/// Three lines (message id, routing key, properties), the rest is the body. What decodes is what was written, can be
/// sent, and comes out the same when it is written again; a checksum knows its row from one with another bit.
pub fn record(data: &[u8]) {
    let mut columns = data.splitn(4, |byte| *byte == b'\n').map(<[u8]>::to_vec);
    let mut column = || columns.next().unwrap_or_default();
    let mut text = || String::from_utf8(column());
    let (Ok(message_id), Ok(routing_key), Ok(properties)) = (text(), text(), text()) else { return };
    let record = Record { message_id, routing_key, properties, body: column().into() };
    check_sum(&record, data);
    let Ok(envelope) = record.envelope() else { return };
    assert_eq!(envelope.message_id.as_str(), record.message_id);
    assert_eq!(envelope.routing_key.as_str(), record.routing_key);
    assert_eq!(envelope.body, record.body);
    drop(amqp_properties(&envelope));
    let again = Record::of(&envelope);
    assert_eq!(again.envelope().expect("our own"), envelope);
    assert_eq!(Record::of(&again.envelope().expect("our own")), again);
    check_properties(&record.properties, &again.properties);
}

/// Both texts say the same of what we know. A newer program may say more.
fn check_properties(stored: &str, again: &str) {
    let tree = |text: &str| serde_json::from_str::<Value>(text).ok();
    let (Some(stored), Some(again)) = (tree(stored), tree(again)) else { return };
    if stored.is_object() {
        for name in ["type", "timestamp", "headers"] {
            assert_eq!(stored[name], again[name]);
        }
    }
}

fn check_sum(record: &Record, data: &[u8]) {
    let seq = data.iter().fold(1_u64, |seq, byte| seq.wrapping_mul(31).wrapping_add(u64::from(*byte)));
    let crc = record.crc(seq);
    assert_ne!(crc, record.crc(seq ^ 1 << (seq % 64)), "another place in the order");
    let mut body = record.body.to_vec();
    if let Some(last) = body.len().checked_sub(1) {
        body[seq as usize % (last + 1)] ^= 1 << (seq % 8);
        assert_ne!(crc, Record { body: body.into(), ..record.clone() }.crc(seq), "another body");
    }
    for flipped in [(&record.message_id, 0), (&record.routing_key, 1), (&record.properties, 2)] {
        let (column, index) = flipped;
        let Some(other) = flip(column, seq as usize) else { continue };
        let mut record = record.clone();
        *[&mut record.message_id, &mut record.routing_key, &mut record.properties][index] = other;
        assert_ne!(crc, record.crc(seq), "another text");
    }
}

/// The text with another bit in one of its letters.
fn flip(text: &str, at: usize) -> Option<String> {
    let mut bytes = text.as_bytes().to_vec();
    let at = at.checked_rem(bytes.len())?;
    bytes[at] ^= 1;
    String::from_utf8(bytes).ok()
}

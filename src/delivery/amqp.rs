//! What is said in lapin's types, to it and by it.

use lapin::{
    BasicProperties, ErrorKind,
    protocol::AMQPErrorKind,
    types::{AMQPValue, FieldTable, ShortString},
};

use crate::{
    envelope::{Envelope, properties},
    metrics::ChannelClose,
};

/// The broker's reason, if it closed a channel and not the connection.
pub(super) fn channel_close(error: &lapin::Error) -> Option<ChannelClose> {
    if let ErrorKind::ProtocolError(error) = error.kind() {
        return match error.kind() {
            AMQPErrorKind::Soft(soft) => Some(reason(soft.get_id())),
            AMQPErrorKind::Hard(_) => None,
        };
    }
    // It was closed while nothing was in flight, and the reason is no longer at hand.
    matches!(error.kind(), ErrorKind::InvalidChannelState(..)).then_some(ChannelClose::Other)
}

/// What a broker means by the number with which it closes a channel (AMQP 0-9-1, 1.2).
pub(super) fn reason(code: u16) -> ChannelClose {
    match code {
        311 => ChannelClose::ContentTooLarge,
        313 => ChannelClose::NoConsumers,
        403 => ChannelClose::AccessRefused,
        404 => ChannelClose::NotFound,
        405 => ChannelClose::ResourceLocked,
        406 => ChannelClose::PreconditionFailed,
        _ => ChannelClose::Other,
    }
}

/// The properties of a message in lapin's types.
pub(crate) fn amqp_properties(envelope: &Envelope) -> BasicProperties {
    let mut headers = FieldTable::default();
    for (name, value) in &envelope.properties.headers {
        headers.insert((**name).into(), AMQPValue::LongString(value.as_str().into()));
    }
    BasicProperties::default()
        .with_content_type(properties::CONTENT_TYPE.into())
        .with_delivery_mode(properties::DELIVERY_MODE)
        .with_message_id(short(envelope.message_id.as_str()))
        .with_timestamp(envelope.properties.timestamp)
        .with_type(envelope.properties.kind.as_str().into())
        .with_app_id(properties::APP_ID.into())
        .with_headers(headers)
}

/// Lapin panics on short strings over 255 bytes; our types hold no longer ones.
pub(super) fn short(text: &str) -> ShortString {
    ShortString::try_new(text).expect("message ids, routing keys and names are at most 255 bytes long")
}

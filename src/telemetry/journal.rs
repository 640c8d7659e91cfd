//! Events as journald's entries (systemd.io/JOURNAL_NATIVE_PROTOCOL).
//!
//! An entry's `MESSAGE` is the event's words with all of its fields, as a person reads it; each field stands there once
//! more by itself, its name in upper case after [`PREFIX`], so that none of ours (`message_id` above all) can be taken
//! for one of journald's. An event of the catalogue has the `MESSAGE_ID` under which `journalctl -x` finds its
//! explanation. `info` becomes notice, for it tells of a state that changed; `debug` stays debug.

use std::fmt::{self, Write};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{Layer, layer::Context, registry::LookupSpan};

use super::{message_id, outbox::Outbox};

/// Writes events into the queue to journald.
pub(super) struct Journal {
    pub(super) outbox: Outbox,
}

/// The fields of an event or a span.
#[derive(Debug, Default)]
struct Fields {
    message: String,
    /// The id in the catalogue.
    event: Option<String>,
    others: Vec<(&'static str, String)>,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Journal {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        for span in context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(outer) = span.extensions().get::<Fields>() {
                for (name, value) in &outer.others {
                    fields.set(name, value.clone());
                }
            }
        }
        event.record(&mut fields);
        let metadata = event.metadata();
        self.outbox.put(entry(*metadata.level(), metadata.target(), fields));
    }
}

impl Fields {
    /// The innermost value goes: an event's own before its span's, a later one before an earlier.
    fn set(&mut self, name: &'static str, value: String) {
        match self.others.iter_mut().find(|(other, _)| *other == name) {
            Some((_, known)) => *known = value,
            None => self.others.push((name, value)),
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        let value = value[..value.floor_char_boundary(VALUE_BYTES_MAX)].to_owned();
        match field.name() {
            "message" => self.message = value,
            "event" => self.event = Some(value),
            name => self.set(name, value),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

fn entry(level: Level, target: &str, fields: Fields) -> Vec<u8> {
    let Fields { mut message, event, others } = fields;
    let is_news = |(name, value): &&(&str, String)| (*name, value.as_str()) != ("others", "0");
    for (name, value) in others.iter().filter(is_news) {
        let is_plain = !value.is_empty() && !value.contains(|c: char| c.is_whitespace() || c == '"');
        let written = match is_plain {
            true => write!(message, " {name}={value}"),
            false => write!(message, " {name}={value:?}"),
        };
        written.expect("a String takes every text");
    }
    message.truncate(message.floor_char_boundary(VALUE_BYTES_MAX));
    let mut entry = Vec::with_capacity(2 * message.len() + 128);
    put(&mut entry, "MESSAGE", &message);
    put(&mut entry, "PRIORITY", priority(level));
    put(&mut entry, "SYSLOG_IDENTIFIER", "graphhook");
    if let Some(event) = event {
        put(&mut entry, "MESSAGE_ID", &message_id(&event).simple().to_string());
        put(&mut entry, &named("event"), &event);
    }
    put(&mut entry, &named("target"), target);
    for (name, value) in &others {
        put(&mut entry, &named(name), value);
    }
    entry
}

/// Syslog's priorities.
fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "5",
        Level::DEBUG | Level::TRACE => "7",
    }
}

/// A name as journald takes it: upper case, digits and underscores.
fn named(name: &str) -> String {
    let letters = name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' });
    PREFIX.chars().chain(letters).take(NAME_BYTES_MAX).collect()
}

/// A field; one whose value has several lines goes with its length in front.
fn put(entry: &mut Vec<u8>, name: &str, value: &str) {
    entry.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        entry.push(b'\n');
        entry.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        entry.push(b'=');
    }
    entry.extend_from_slice(value.as_bytes());
    entry.push(b'\n');
}

/// In front of each field of ours.
const PREFIX: &str = "GRAPHHOOK_";
/// Journald takes no longer names.
const NAME_BYTES_MAX: usize = 64;
/// Longer values are cut, so that an entry fits into a datagram (some 200 KiB).
const VALUE_BYTES_MAX: usize = 8 << 10;

#[cfg(test)]
mod tests {
    use std::{os::unix::net::UnixDatagram, time::Duration};

    use tracing::{debug_span, field::Empty, info};
    use tracing_subscriber::layer::SubscriberExt;

    use super::{super::outbox::Sink, *};

    fn fields(event: Option<&str>, others: &[(&'static str, &str)]) -> Fields {
        let others = others.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Fields { message: "it happened".to_owned(), event: event.map(str::to_owned), others }
    }

    #[test]
    fn our_fields_cannot_be_taken_for_those_of_journald() {
        let fields = fields(
            Some("spool_full"),
            &[("message_id", "a-1"), ("priority", "0"), ("error", "no room"), ("others", "0")],
        );
        let entry = String::from_utf8(entry(Level::WARN, "graphhook::spool", fields)).expect("text");
        let id = message_id("spool_full").simple();
        let expected = [
            "MESSAGE=it happened message_id=a-1 priority=0 error=\"no room\"",
            "PRIORITY=4",
            "SYSLOG_IDENTIFIER=graphhook",
            &format!("MESSAGE_ID={id}"),
            "GRAPHHOOK_EVENT=spool_full",
            "GRAPHHOOK_TARGET=graphhook::spool",
            "GRAPHHOOK_MESSAGE_ID=a-1",
            "GRAPHHOOK_PRIORITY=0",
            "GRAPHHOOK_ERROR=no room",
            "GRAPHHOOK_OTHERS=0",
        ];
        assert_eq!(entry.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_value_of_several_lines_forges_no_field() {
        let entry = entry(Level::INFO, "graphhook", fields(None, &[("error", "one\nPRIORITY=0")]));
        let long = b"GRAPHHOOK_ERROR\n\x0e\0\0\0\0\0\0\0one\nPRIORITY=0\n";
        assert!(entry.ends_with(long), "{}", String::from_utf8_lossy(&entry));
        assert!(entry.starts_with(b"MESSAGE=it happened error=\"one\\nPRIORITY=0\"\nPRIORITY=5\n"));
    }

    #[test]
    fn an_entry_has_what_its_span_learns_later_and_each_field_once() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("socket");
        let journal = UnixDatagram::bind(&path).expect("a socket");
        journal.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket of ours");
        let ours = UnixDatagram::unbound().expect("a socket");
        let outbox = Outbox::open(Sink::Journal(ours, path)).expect("a thread");
        tracing::subscriber::with_default(tracing_subscriber::registry().with(Journal { outbox }), || {
            let span = debug_span!("request", request = "outer", trace = Empty, reason = Empty);
            span.record("trace", "abc");
            span.in_scope(|| info!(request = "own", trace = None::<&str>, "it happened"));
        });
        let mut entry = [0; 1024];
        let length = journal.recv(&mut entry).expect("an entry");
        let entry = String::from_utf8_lossy(&entry[..length]);
        let ours: Vec<&str> = entry.lines().filter(|line| !line.starts_with("GRAPHHOOK_TARGET")).collect();
        let expected = [
            "MESSAGE=it happened request=own trace=abc",
            "PRIORITY=5",
            "SYSLOG_IDENTIFIER=graphhook",
            "GRAPHHOOK_REQUEST=own",
            "GRAPHHOOK_TRACE=abc",
        ];
        assert_eq!(ours, expected);
    }

    #[test]
    fn names_become_those_that_journald_takes() {
        assert_eq!(named("again_in.seconds-é"), "GRAPHHOOK_AGAIN_IN_SECONDS__");
        assert_eq!(named(&"x".repeat(100)).len(), NAME_BYTES_MAX);
    }
}

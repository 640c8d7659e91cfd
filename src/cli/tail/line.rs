//! A message as it is printed: a line for people, or one of JSON.

use std::{
    fmt::Write,
    time::{Duration, SystemTime},
};

use crate::{
    cli::{
        capture::{Captured, Secrets},
        check::Style,
        words,
    },
    delivery::tap::Seen,
    envelope::properties::{REASON, RECEIVED_AT, SUBSCRIPTION_ID},
    moment::rfc3339,
    notification::mask::masked,
};

/// How messages are printed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Form {
    /// For people; a second line holds the body, if it is wanted.
    Line { style: Style, body: bool },
    /// For programs.
    Json(Secrets),
}

impl Form {
    /// What is printed of a message, line ends included.
    pub(super) fn print(self, seen: &Seen) -> String {
        match self {
            Self::Json(secrets) => Captured::of(seen, secrets).line() + "\n",
            Self::Line { style, body } => {
                let mut text = line(seen, style);
                if body {
                    let shown = std::str::from_utf8(&seen.body).ok().and_then(masked);
                    let shown = shown.unwrap_or_else(|| "not shown: it is no JSON".to_owned());
                    writeln!(text, "    {}", words::plain(&shown)).expect("a string takes all");
                }
                text
            }
        }
    }
}

/// Time, routing key, `message_id`, subscription, size; a `-` stands for what is not there.
fn line(seen: &Seen, style: Style) -> String {
    let header =
        |name: &str| seen.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let word = |text: Option<&str>| words::plain(text.filter(|text| !text.is_empty()).unwrap_or("-"));
    let time = header(RECEIVED_AT).map_or_else(|| seen.timestamp.map(at), |time| Some(time.to_owned()));
    let key = format!("{:<KEY_WIDTH$}", words::plain(&seen.routing_key));
    let key = match (style, colour(seen.kind.as_deref(), header(REASON))) {
        (Style::Coloured, Some(colour)) => format!("\x1b[{colour}m{key}\x1b[0m"),
        (Style::Coloured, None) | (Style::Plain, _) => key,
    };
    let time = match style {
        Style::Coloured => format!("\x1b[2m{:<TIME_WIDTH$}\x1b[0m", word(time.as_deref())),
        Style::Plain => format!("{:<TIME_WIDTH$}", word(time.as_deref())),
    };
    let (id, subscription) = (word(seen.message_id.as_deref()), word(header(SUBSCRIPTION_ID)));
    let size = words::bytes(seen.body.len() as u64);
    format!("{time}  {key}  {id:<ID_WIDTH$}  {subscription:<ID_WIDTH$}  {size:>9}\n")
}

fn at(timestamp: u64) -> String {
    let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(timestamp));
    time.map_or_else(|| "-".to_owned(), rfc3339)
}

/// SGR parameter (ECMA-48): what is refused red, what is about subscriptions or about something missing yellow.
fn colour(kind: Option<&str>, reason: Option<&str>) -> Option<u8> {
    match (reason, kind) {
        (Some(_), _) => Some(31),
        (None, Some("notification")) => Some(32),
        (None, Some("lifecycle" | "gap")) => Some(33),
        (None, Some(_) | None) => None,
    }
}

/// `2026-01-02T03:04:05.678Z`
const TIME_WIDTH: usize = 24;
/// `notification.chatmessage.created`
const KEY_WIDTH: usize = 32;
/// A GUID.
const ID_WIDTH: usize = 36;

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Form = Form::Line { style: Style::Plain, body: false };

    fn seen() -> Seen {
        let headers = [
            ("graphhook-received-at", "2026-01-02T03:04:05.678Z"),
            ("graph-subscription-id", "7d0b6a0b-0000-4000-8000-000000000001"),
        ];
        Seen {
            message_id: Some("m1".to_owned()),
            routing_key: "notification.message.created".to_owned(),
            kind: Some("notification".to_owned()),
            timestamp: Some(1_700_000_000),
            headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            body: r#"{"clientState":"hunter2"}"#.into(),
            ..Seen::default()
        }
    }

    #[test]
    fn a_message_is_one_line() {
        assert_eq!(
            PLAIN.print(&seen()),
            "2026-01-02T03:04:05.678Z  notification.message.created      m1                                    \
             7d0b6a0b-0000-4000-8000-000000000001       25 B\n"
        );
        let bare = Seen { routing_key: "\u{1b}[2J".to_owned(), ..Seen::default() };
        let line = PLAIN.print(&bare);
        assert_eq!(line.split_whitespace().collect::<Vec<_>>(), ["-", "\\u{1b}[2J", "-", "-", "0", "B"]);
        let untimed = Seen { timestamp: Some(1_700_000_000), ..Seen::default() };
        assert!(PLAIN.print(&untimed).starts_with("2023-11-14T22:13:20"));
        assert!(PLAIN.print(&Seen { timestamp: Some(u64::MAX), ..Seen::default() }).starts_with('-'));
    }

    #[test]
    fn colours_are_around_words_and_change_none() {
        let coloured = Form::Line { style: Style::Coloured, body: false }.print(&seen());
        let bare = ["\x1b[2m", "\x1b[32m", "\x1b[0m"]
            .iter()
            .fold(coloured.clone(), |text, code| text.replace(code, ""));
        assert_eq!(bare, PLAIN.print(&seen()));
        assert!(coloured.contains("\x1b[32mnotification.message.created"), "{coloured:?}");
        let mut refused = seen();
        refused.headers.push(("graphhook-reason".to_owned(), "mismatch".to_owned()));
        assert!(Form::Line { style: Style::Coloured, body: false }.print(&refused).contains("\x1b[31m"));
    }

    #[test]
    fn only_json_lines_hold_secrets() {
        let shown = Form::Line { style: Style::Plain, body: true }.print(&seen());
        assert!(shown.ends_with("\n    {\"clientState\":\"[secret]\"}\n"), "{shown}");
        let odd = Seen { body: b"hunter2"[..].into(), ..seen() };
        let shown = Form::Line { style: Style::Plain, body: true }.print(&odd);
        assert!(shown.ends_with("\n    not shown: it is no JSON\n"), "{shown}");
        assert!(Form::Json(Secrets::Kept).print(&seen()).contains("hunter2"));
        assert!(!Form::Json(Secrets::Masked).print(&seen()).contains("hunter2"));
    }
}

//! Items as Graph sends them, from texts with `{{placeholders}}`.
//!
//! The texts beside this file have the shapes of what Microsoft documents and of what people have captured;
//! `tests/data/README.md` names each source. All have an `id`, which Graph sends to some and not to others.

use std::{
    fmt::Write,
    time::{Duration, SystemTime},
};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use uuid::Uuid;

use super::members::{Members, quoted};

/// The text of an item, taken apart.
#[derive(Clone, Debug)]
pub struct Template {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug)]
enum Piece {
    Text(String),
    Place(Place),
}

/// What stands in place of a placeholder.
#[derive(Clone, Copy, Debug)]
enum Place {
    Id,
    Subscription,
    Tenant,
    User,
    ClientState,
    Change,
    Now,
    Expires,
    Ticks,
    Millis,
    ResourceId,
    ResourceGuid,
    Etag,
    Number,
}

/// What is told in an item.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Unique id of the notification; what it tells of has ids made of it.
    pub id: &'a str,
    /// `subscriptionId`
    pub subscription: &'a str,
    /// `tenantId`
    pub tenant: &'a str,
    /// Whose mailbox, presence or team it is.
    pub user: &'a str,
    /// `clientState`; without one the item has no such member.
    pub client_state: Option<&'a str>,
    /// `changeType` or `lifecycleEvent`.
    pub change: &'a str,
    /// When it happened.
    pub now: SystemTime,
    /// Its number in a row of many.
    pub number: u64,
}

/// Why a text is no template.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TemplateError {
    /// A placeholder that nobody knows.
    #[error("{{{{{0}}}}} is no placeholder; known are {known}", known = PLACES.map(|(name, _)| name).join(", "))]
    Unknown(String),
    /// Filled in, it is not one JSON object.
    #[error("with its placeholders filled in it is not one JSON object")]
    NoObject,
}

impl Template {
    /// Names of the built-in ones: the resources, and three forms of lifecycle events.
    pub fn names() -> impl Iterator<Item = &'static str> {
        BUILT_IN.iter().map(|(name, _)| *name)
    }

    /// The text of a built-in one, as somebody may want to change it.
    pub fn text(name: &str) -> Option<&'static str> {
        BUILT_IN.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
    }

    /// A built-in one.
    pub fn named(name: &str) -> Option<Self> {
        Self::text(name).map(|text| Self::read(text).expect("a test has read them all"))
    }

    /// Reads a text.
    ///
    /// # Errors
    ///
    /// [`TemplateError`]
    pub fn read(text: &str) -> Result<Self, TemplateError> {
        let mut pieces = Vec::new();
        let text = compact(text);
        let mut rest = text.as_str();
        while let Some((before, behind)) = rest.split_once("{{") {
            // Two objects may begin side by side; no name of ours has a quote or a brace.
            let Some((name, after)) = behind.split_once("}}").filter(|(name, _)| !name.contains(['"', '{']))
            else {
                pieces.push(Piece::Text(format!("{before}{{")));
                rest = &rest[before.len() + 1..];
                continue;
            };
            let name = name.trim();
            let place = PLACES.iter().find(|(known, _)| *known == name).map(|(_, place)| *place);
            pieces.push(Piece::Text(before.to_owned()));
            pieces.push(Piece::Place(place.ok_or_else(|| TemplateError::Unknown(name.to_owned()))?));
            rest = after;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        let template = Self { pieces };
        let mut filled = String::new();
        template.write(&SAMPLE, &mut filled);
        if Members::read(&filled).is_none() { Err(TemplateError::NoObject) } else { Ok(template) }
    }

    /// The item, JSON without white space.
    pub fn fill(&self, facts: &Facts<'_>) -> String {
        let mut item = String::with_capacity(1024);
        self.fill_into(facts, &mut item);
        item
    }

    /// Adds the item to what is there.
    pub fn fill_into(&self, facts: &Facts<'_>, text: &mut String) {
        if facts.client_state.is_some() {
            self.write(facts, text);
            return;
        }
        let mut item = String::new();
        self.write(facts, &mut item);
        let members = Members::read(&item).map(|mut members| {
            members.remove("clientState");
            members.write()
        });
        text.push_str(&members.unwrap_or(item));
    }

    fn write(&self, facts: &Facts<'_>, item: &mut String) {
        let fresh = Fresh::of(facts);
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => item.push_str(text),
                Piece::Place(place) => fresh.put(*place, facts, item),
            }
        }
    }
}

/// What is new in each item, and always the same for the same id.
struct Fresh([u8; 16]);

impl Fresh {
    fn of(facts: &Facts<'_>) -> Self {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest(&SHA256, facts.id.as_bytes()).as_ref()[..16]);
        Self(bytes)
    }

    fn put(&self, place: Place, facts: &Facts<'_>, item: &mut String) {
        let since_1970 = || facts.now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let mut number = |number: u128| write!(item, "{number}").expect("a String takes every text");
        match place {
            Place::Id => escaped(facts.id, item),
            Place::Subscription => escaped(facts.subscription, item),
            Place::Tenant => escaped(facts.tenant, item),
            Place::User => escaped(facts.user, item),
            Place::ClientState => escaped(facts.client_state.unwrap_or_default(), item),
            Place::Change => escaped(facts.change, item),
            Place::Now => item.push_str(&written(facts.now)),
            Place::Expires => item.push_str(&written(facts.now + LIFETIME)),
            Place::Ticks => number(TICKS_1970 + since_1970().as_nanos() / 100),
            Place::Millis => number(since_1970().as_millis()),
            Place::ResourceId => {
                item.push_str("AAMkAGI");
                BASE64_URL_SAFE_NO_PAD.encode_string(&self.0[..12], item);
                item.push_str("AAA=");
            }
            Place::ResourceGuid => {
                item.push_str(&uuid::Builder::from_random_bytes(self.0).into_uuid().to_string())
            }
            Place::Etag => {
                item.push_str("CQAAABYA");
                BASE64_URL_SAFE_NO_PAD.encode_string(&self.0[..15], item);
            }
            Place::Number => number(facts.number.into()),
        }
    }
}

/// The body of a POST with these items; validation tokens only if there are any, or `null` as Graph sends it when an app's
/// role setting is wrong.
pub fn collection(items: &[String], tokens: Tokens<'_>) -> String {
    let items = items.join(",");
    match tokens {
        Tokens::None => format!(r#"{{"value":[{items}]}}"#),
        Tokens::Null => format!(r#"{{"value":[{items}],"validationTokens":null}}"#),
        Tokens::These(tokens) => {
            let tokens: Vec<String> = tokens.iter().map(|token| quoted(token)).collect();
            format!(r#"{{"value":[{items}],"validationTokens":[{}]}}"#, tokens.join(","))
        }
    }
}

/// `validationTokens`
#[derive(Clone, Copy, Debug)]
pub enum Tokens<'a> {
    /// No such member.
    None,
    /// `null`
    Null,
    /// An array.
    These(&'a [String]),
}

/// An id for a notification.
pub fn fresh_id() -> String {
    Uuid::now_v7().to_string()
}

fn escaped(text: &str, item: &mut String) {
    // All of it, and not up to the first that is odd: so it is done for many bytes at once.
    let is_odd = |byte: u8| byte < b' ' || byte == b'"' || byte == b'\\';
    if !text.bytes().fold(false, |odd, byte| odd | is_odd(byte)) {
        item.push_str(text);
    } else {
        let quoted = quoted(text);
        item.push_str(&quoted[1..quoted.len() - 1]);
    }
}

/// As most services write it: seven digits of a fraction.
fn written(moment: SystemTime) -> String {
    let micros = humantime::format_rfc3339_micros(moment).to_string();
    micros.replace('Z', "0Z")
}

/// Without the white space between its tokens.
fn compact(text: &str) -> String {
    let (mut is_string, mut is_escaped) = (false, false);
    text.chars()
        .filter(|&character| {
            let is_kept = is_string || !matches!(character, ' ' | '\n' | '\r' | '\t');
            if is_escaped {
                is_escaped = false;
            } else if is_string && character == '\\' {
                is_escaped = true;
            } else if character == '"' {
                is_string = !is_string;
            }
            is_kept
        })
        .collect()
}

/// What is spoken of when nobody says otherwise.
pub const SUBSCRIPTION: &str = "00000001-0000-4000-8000-000000000001";
/// A tenant.
pub const TENANT: &str = "8afd02d6-ebdd-4270-a515-c749898ea5c5";
/// Another tenant.
pub const OTHER_TENANT: &str = "9f4ebab6-520d-49c0-85cc-7b25c78d4a93";
/// A user of theirs.
pub const USER: &str = "aaaaaaa1-1111-4222-8333-444444444444";

/// Something to try a template with.
pub(super) const SAMPLE: Facts<'_> = Facts {
    id: "1",
    subscription: SUBSCRIPTION,
    tenant: TENANT,
    user: USER,
    client_state: Some("s"),
    change: "created",
    now: SystemTime::UNIX_EPOCH,
    number: 1,
};

const PLACES: [(&str, Place); 14] = [
    ("id", Place::Id),
    ("subscription_id", Place::Subscription),
    ("tenant_id", Place::Tenant),
    ("user_id", Place::User),
    ("client_state", Place::ClientState),
    ("change", Place::Change),
    ("now", Place::Now),
    ("expires", Place::Expires),
    ("ticks", Place::Ticks),
    ("millis", Place::Millis),
    ("resource_id", Place::ResourceId),
    ("resource_guid", Place::ResourceGuid),
    ("etag", Place::Etag),
    ("number", Place::Number),
];

macro_rules! built_in {
    ($($name:literal),+ $(,)?) => {
        [$(($name, include_str!(concat!("templates/", $name, ".json")))),+]
    };
}

const BUILT_IN: [(&str, &str); 16] = built_in![
    "message",
    "event",
    "contact",
    "user",
    "group",
    "driveItem",
    "driveItem-eventGrid",
    "list",
    "presence",
    "callRecord",
    "chatMessage",
    "alert",
    "future",
    "lifecycle",
    "lifecycle-documented",
    "lifecycle-tokens",
];

/// Three days: what a subscription to mail has left on average.
const LIFETIME: Duration = Duration::from_secs(3 * 24 * 60 * 60);
/// Tenths of a microsecond from the year 1 to 1970: .NET counts so, and so does the directory.
const TICKS_1970: u128 = 621_355_968_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_built_in_ones_are_items() {
        for name in Template::names() {
            let template = Template::read(Template::text(name).expect(name)).expect(name);
            let filled = template.fill(&Facts { client_state: Some("a\"b"), ..SAMPLE });
            let item: serde_json::Value = serde_json::from_str(&filled).expect(name);
            assert_eq!(item["clientState"], "a\"b", "{name}");
            assert_eq!(item["subscriptionId"], SUBSCRIPTION, "{name}");
            assert_eq!(item["id"], "1", "{name}");
            assert!(!filled.contains("{{") && !filled.contains('\n'), "{name}: {filled}");
            let without = template.fill(&Facts { client_state: None, ..SAMPLE });
            assert!(!without.contains("clientState"), "{name}: {without}");
        }
    }

    #[test]
    fn every_id_is_new_and_numbers_are_exact() {
        let template = Template::named("user").expect("a template");
        let now = SystemTime::UNIX_EPOCH + Duration::new(1_670_620_367, 696_131_700);
        let [one, other] = ["1", "2"].map(|id| template.fill(&Facts { id, now, ..SAMPLE }));
        assert_ne!(one.replace("\"id\":\"1\"", ""), other.replace("\"id\":\"2\"", ""));
        assert!(one.contains("\"sequenceNumber\":638062171676961317"), "{one}");
        assert!(one.contains("\"eventTime\":\"2022-12-09T21:12:47.6961310Z\""), "{one}");
    }

    #[test]
    fn own_texts_are_read_or_refused() {
        let read = |text: &str| Template::read(text).map(|template| template.fill(&SAMPLE));
        assert_eq!(read("{ \"a b\": \" \\\" {{ id }} \" }").as_deref(), Ok(r#"{"a b":" \" 1 "}"#));
        assert_eq!(read(r#"{"a":[{"b":{}}],"n":{{number}}}"#).as_deref(), Ok(r#"{"a":[{"b":{}}],"n":1}"#));
        assert_eq!(read("{{\"a\":1}}").err(), Some(TemplateError::NoObject));
        assert_eq!(read(r#"{"a":"{{secret}}"}"#).err(), Some(TemplateError::Unknown("secret".to_owned())));
        for other in ["", "[]", r#"{"a":{{id"#, r#"{"a":1"#] {
            assert_eq!(read(other).err(), Some(TemplateError::NoObject), "{other}");
        }
        assert!(
            TemplateError::Unknown("x".to_owned())
                .to_string()
                .starts_with("{{x}} is no placeholder; known are id, ")
        );
    }

    #[test]
    fn tokens_stand_behind_the_items() {
        let (items, tokens) = (["{}".to_owned(), "1".to_owned()], ["t".to_owned()]);
        assert_eq!(collection(&items, Tokens::None), r#"{"value":[{},1]}"#);
        assert_eq!(collection(&[], Tokens::Null), r#"{"value":[],"validationTokens":null}"#);
        assert_eq!(collection(&[], Tokens::These(&tokens)), r#"{"value":[],"validationTokens":["t"]}"#);
    }
}

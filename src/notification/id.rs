//! Names of things, one type each, so that none is taken for another.

use std::{
    borrow::{Borrow, Cow},
    fmt,
    ops::Deref,
    time::{Duration, SystemTime},
};

use uuid::{Builder, Uuid};

use crate::random;

/// Graph's id of a subscription. Opaque text, compared exactly; usually a GUID.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct SubscriptionId<'a>(Cow<'a, str>);

/// Graph's id of a tenant. Opaque text, compared exactly; usually a GUID.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct TenantId<'a>(Cow<'a, str>);

macro_rules! text_id {
    ($id:ident) => {
        impl<'a> $id<'a> {
            pub(super) fn new(id: Cow<'a, str>) -> Self {
                Self(id)
            }
        }

        impl Deref for $id<'_> {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl From<String> for $id<'static> {
            fn from(id: String) -> Self {
                Self(Cow::Owned(id))
            }
        }

        impl Borrow<str> for $id<'_> {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

text_id!(SubscriptionId);
text_id!(TenantId);

impl SubscriptionId<'_> {
    /// Whether it may become part of a path at Graph: an id may come from anywhere, and must not lead elsewhere.
    pub fn is_safe_in_path(&self) -> bool {
        (1..=128).contains(&self.len())
            && self.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    }
}

/// The `message_id` of an AMQP message: 1 to 255 bytes, no control characters.
///
/// Fixed when the notification arrives; every repetition of ours keeps it.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct MessageId(String);

impl MessageId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// An id that Graph gave, if AMQP can carry it.
    pub fn given(id: &str) -> Option<Self> {
        let fits = (1..=255).contains(&id.len()) && !id.chars().any(char::is_control);
        fits.then(|| Self(id.to_owned()))
    }

    /// An id made from content: the same content gives the same id.
    pub fn digested(digest: &[u8; 16]) -> Self {
        let mut id = String::with_capacity("sha256:".len() + 2 * digest.len());
        id.push_str("sha256:");
        push_hexadecimal(&mut id, digest);
        Self(id)
    }

    /// An id that no other message has.
    pub fn fresh(now: SystemTime) -> Self {
        Self(uuid_v7(now).to_string())
    }
}

/// Names one request in the log, in the problem body and in the headers of its messages.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RequestId(Uuid);

impl RequestId {
    /// An id for a request that arrives now.
    pub fn fresh(now: SystemTime) -> Self {
        Self(uuid_v7(now))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Two lower-case digits for each byte.
pub(crate) fn push_hexadecimal(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        for digit in [byte >> 4, byte & 0xf] {
            text.push(char::from(if digit < 10 { b'0' + digit } else { b'a' + digit - 10 }));
        }
    }
}

fn uuid_v7(now: SystemTime) -> Uuid {
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let random = random::bytes().expect("the system has random numbers");
    Builder::from_unix_timestamp_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX), &random)
        .into_uuid()
}

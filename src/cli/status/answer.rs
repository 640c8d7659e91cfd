//! What `/status` says, as far as the screen shows it. A daemon of another version may say less, or more.

use std::time::SystemTime;

use anyhow::Context;
use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Status {
    pub(super) version: String,
    pub(super) started_at: Option<Moment>,
    pub(super) ready: bool,
    pub(super) readiness: Option<String>,
    pub(super) listeners: Vec<String>,
    pub(super) admin_listener: Option<String>,
    pub(super) acme_listener: Option<String>,
    pub(super) config: Config,
    pub(super) broker: Broker,
    pub(super) spool: Spool,
    pub(super) notifications: Books,
    pub(super) graph: Option<Graph>,
    pub(super) certificates: Vec<Certificate>,
    pub(super) acme: Vec<Domain>,
    pub(super) subscriptions: Option<Subscriptions>,
    pub(super) management: Option<Management>,
    pub(super) rich: Option<Rich>,
    pub(super) last_reload: Option<Reload>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Config {
    pub(super) hash: String,
    pub(super) warnings: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Broker {
    pub(super) state: String,
    pub(super) since: Option<Moment>,
    pub(super) url: Option<String>,
    pub(super) last_error: Option<Event>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Event {
    pub(super) at: Moment,
    pub(super) message: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Spool {
    pub(super) state: String,
    pub(super) items: u64,
    pub(super) parked_items: u64,
    pub(super) set_aside_items: u64,
    pub(super) bytes: u64,
    pub(super) max_bytes: u64,
    pub(super) oldest_item_at: Option<Moment>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Books {
    pub(super) received: u64,
    pub(super) published: u64,
    pub(super) spooled: u64,
    pub(super) refused: u64,
    pub(super) unavailable: u64,
    pub(super) in_flight: u64,
    pub(super) conservation_error: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Graph {
    pub(super) slow_ratio: f64,
    pub(super) drop_ratio: f64,
    pub(super) predicted: String,
    pub(super) answers: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Certificate {
    pub(super) hosts: Vec<String>,
    pub(super) not_after: Option<Moment>,
    pub(super) refused: Option<String>,
}

/// A domain whose certificate the daemon obtains itself.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Domain {
    pub(super) domain: String,
    pub(super) state: String,
    pub(super) last_error: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Subscriptions {
    pub(super) seen: u64,
    pub(super) silent: u64,
    pub(super) ending: u64,
    pub(super) ended: u64,
    /// Those of these three states, each once. Older daemons do not say it.
    pub(super) troubled: u64,
    pub(super) list: Vec<Subscription>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Subscription {
    pub(super) id: String,
    pub(super) client_state: Option<String>,
    pub(super) last_at: Option<Moment>,
    pub(super) expires_at: Option<Moment>,
    pub(super) silent: bool,
    pub(super) ending: bool,
    pub(super) ended: bool,
}

/// Of the subscriptions that are wanted.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Management {
    pub(super) manager: String,
    /// 0 where there never was any.
    pub(super) revision: u64,
    /// Why Graph could not be asked.
    pub(super) trouble: Option<String>,
    pub(super) wanted: u64,
    pub(super) live: u64,
    pub(super) failing: u64,
    pub(super) next_at: Option<Moment>,
    pub(super) list: Vec<Managed>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Managed {
    pub(super) name: String,
    pub(super) live: bool,
    pub(super) expires_at: Option<Moment>,
    pub(super) trouble: Option<String>,
    pub(super) again_at: Option<Moment>,
}

/// What becomes of resource data.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Rich {
    pub(super) deliver: String,
    pub(super) decryption_keys: Vec<DecryptionKey>,
    pub(super) signing_keys: SigningKeys,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct DecryptionKey {
    pub(super) id: String,
    pub(super) not_after: Option<Moment>,
    pub(super) last_used_at: Option<Moment>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct SigningKeys {
    pub(super) known: u64,
    pub(super) fetched_at: Option<Moment>,
    pub(super) failing: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct Reload {
    pub(super) at: Moment,
    pub(super) ok: bool,
    pub(super) message: String,
}

/// RFC 3339.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd)]
#[serde(try_from = "String")]
pub(super) struct Moment(pub(super) SystemTime);

impl TryFrom<String> for Moment {
    type Error = humantime::TimestampError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        humantime::parse_rfc3339(&text).map(Self)
    }
}

impl Status {
    pub(super) fn read(text: &str) -> anyhow::Result<Self> {
        serde_json::from_str(text).context("this answer is not of a graphhook, or of one that is too new")
    }
}

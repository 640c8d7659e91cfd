//! What a case is: what is sent, what must come back, and who says so.

use futures_util::future::BoxFuture;
use serde::Serialize;

use super::{
    judge::Judge,
    shot::{Reply, Shot},
    stage::Stage,
};

/// One thing that a receiver must or should do.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Group and name: `handshake/plus-is-a-space`. It does not change from one version to the next.
    pub name: &'static str,
    /// How much depends on it.
    pub level: Level,
    /// What it is about, in a sentence.
    pub about: &'static str,
    /// Who says so.
    pub source: Source,
    /// What it cannot do without.
    pub needs: Need,
    /// What is sent.
    pub play: Play,
    /// What is demanded of the answers; all of it.
    pub expect: &'static [Judge],
}

/// How much depends on a case.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Else Graph makes no subscription, or something is lost or comes twice.
    Must,
    /// Advice: security, and what Graph is not known to do.
    Should,
}

/// A page that anybody can read.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Source {
    /// Its title, and perhaps the section.
    pub title: &'static str,
    /// Where it is.
    pub url: &'static str,
}

/// What a case cannot do without.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Need {
    /// Nothing but the receiver.
    Nothing,
    /// An `https://` URL.
    Tls,
    /// The receiver's clientState.
    ClientState,
    /// A second URL, for lifecycle events.
    LifecycleUrl,
    /// One URL for notifications and lifecycle events.
    OneUrl,
    /// Keys for resource data.
    Rich,
}

/// How a case is played.
#[derive(Clone, Copy, Debug)]
pub enum Play {
    /// One after another, each on a connection of its own, until one gets no answer.
    Each(fn(&Stage) -> Vec<Shot>),
    /// One after another on one connection, until one gets no answer.
    Line(fn(&Stage) -> Vec<Shot>),
    /// All at once, each on a connection of its own.
    Together(fn(&Stage) -> Vec<Shot>),
    /// In a way of its own.
    Own(Own),
}

/// Something that is more than a list of requests.
pub type Own = for<'a> fn(&'a Stage) -> BoxFuture<'a, Vec<Reply>>;

/// A case on which a subscription or a notification depends.
pub const fn must(
    name: &'static str,
    about: &'static str,
    source: Source,
    play: Play,
    expect: &'static [Judge],
) -> Case {
    Case { name, level: Level::Must, about, source, needs: Need::Nothing, play, expect }
}

/// A case that is advice.
pub const fn should(
    name: &'static str,
    about: &'static str,
    source: Source,
    play: Play,
    expect: &'static [Judge],
) -> Case {
    Case { level: Level::Should, ..must(name, about, source, play, expect) }
}

impl Case {
    /// The same, skipped without this.
    #[must_use]
    pub const fn needing(self, needs: Need) -> Self {
        Self { needs, ..self }
    }

    /// What stands before the slash.
    pub fn group(&self) -> &'static str {
        self.name.split_once('/').map_or(self.name, |(group, _)| group)
    }

    /// All that is demanded, in words.
    pub fn expected(&self) -> String {
        self.expect.iter().map(Judge::words).collect::<Vec<_>>().join("; ")
    }
}

impl Level {
    /// As reports have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Must => "must",
            Self::Should => "should",
        }
    }
}

impl Need {
    /// Why a case without it is skipped.
    pub fn words(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Tls => "the URL has no TLS",
            Self::ClientState => "no clientState is known",
            Self::Rich => "there are no keys for resource data",
            Self::LifecycleUrl => "there is no second URL for lifecycle events",
            Self::OneUrl => "lifecycle events have a URL of their own",
        }
    }
}

/// Pages that are cited more than once.
pub mod sources {
    use super::Source;

    /// Microsoft's page on delivery by webhook; its parts are named.
    const fn webhooks(title: &'static str) -> Source {
        Source { title, url: "https://learn.microsoft.com/graph/change-notifications-delivery-webhooks" }
    }

    /// The handshake.
    pub const VALIDATION: Source = webhooks("Receive change notifications through webhooks: validation");
    /// Notifications and their answers.
    pub const PROCESSING: Source = webhooks("Receive change notifications through webhooks: processing");
    /// Deadlines, repetition, slow and drop.
    pub const THROTTLING: Source = webhooks("Receive change notifications through webhooks: throttling");
    /// The same by another way, which has a validation of its own.
    pub const EVENT_HUBS: Source = Source {
        title: "Receive change notifications through Azure Event Hubs",
        url: "https://learn.microsoft.com/graph/change-notifications-delivery-event-hubs",
    };
    /// The members of an item.
    pub const ITEM: Source = Source {
        title: "changeNotification resource type",
        url: "https://learn.microsoft.com/graph/api/resources/changenotification",
    };
    /// The members of a body.
    pub const COLLECTION: Source = Source {
        title: "changeNotificationCollection resource type",
        url: "https://learn.microsoft.com/graph/api/resources/changenotificationcollection",
    };
    /// What a resource's change looks like.
    pub const RESOURCE_DATA: Source = Source {
        title: "resourceData resource type",
        url: "https://learn.microsoft.com/graph/api/resources/resourcedata",
    };
    /// Subscriptions, their URLs and limits.
    pub const SUBSCRIPTION: Source = Source {
        title: "subscription resource type",
        url: "https://learn.microsoft.com/graph/api/resources/subscription",
    };
    /// Lifecycle events.
    pub const LIFECYCLE: Source = Source {
        title: "Reduce missing subscriptions and change notifications",
        url: "https://learn.microsoft.com/graph/change-notifications-lifecycle-events",
    };
    /// Notifications with resource data.
    pub const RICH: Source = Source {
        title: "Set up change notifications that include resource data",
        url: "https://learn.microsoft.com/graph/change-notifications-with-resource-data",
    };
    /// Lifecycle items as they really come.
    pub const IN_THE_WILD: Source = Source {
        title: "msgraph-sdk-dotnet issue 3103: lifecycle notifications without tenantId",
        url: "https://github.com/microsoftgraph/msgraph-sdk-dotnet/issues/3103",
    };
    /// Tokens that had to be decoded and were not.
    pub const DECODING: Source = Source {
        title: "microsoft-graph-docs issue 3321: the token has to be decoded",
        url: "https://github.com/microsoftgraph/microsoft-graph-docs/issues/3321",
    };
    /// Media types of notifications.
    pub const MEDIA: Source = Source {
        title: "microsoft-graph-docs issue 232: method and content type",
        url: "https://github.com/microsoftgraph/microsoft-graph-docs/issues/232",
    };
    /// JSON.
    pub const JSON: Source =
        Source { title: "RFC 8259: JSON", url: "https://www.rfc-editor.org/rfc/rfc8259" };
    /// HTTP.
    pub const HTTP: Source =
        Source { title: "RFC 9110: HTTP semantics", url: "https://www.rfc-editor.org/rfc/rfc9110" };
    /// HTTP/1.1 on the wire.
    pub const HTTP_1: Source =
        Source { title: "RFC 9112: HTTP/1.1", url: "https://www.rfc-editor.org/rfc/rfc9112" };
    /// Forms.
    pub const FORMS: Source = Source {
        title: "URL standard: application/x-www-form-urlencoded",
        url: "https://url.spec.whatwg.org/#urlencoded-parsing",
    };
    /// A receiver that must have TLS 1.2.
    pub const TLS: Source = Source {
        title: "Microsoft Q&A 5761692: no subscription for a URL with TLS 1.3 alone",
        url: "https://learn.microsoft.com/answers/questions/5761692",
    };
}

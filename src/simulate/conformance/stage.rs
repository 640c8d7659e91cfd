//! What cases are played against, and what they are made of.

use std::time::SystemTime;

use bytes::Bytes;
use hyper::Method;

use super::{
    case::Need,
    shot::{Kind, Place, Reply, Shot, Wire},
};
use crate::{
    secret::Secret,
    simulate::{
        handshake_token,
        issuer::Issuer,
        members::Members,
        receiver::{HANDSHAKE, NOTIFICATION, Receiver},
        rich::Recipient,
        template::{Facts, Template, Tokens, USER, collection, fresh_id},
        trust::Trust,
    },
};

/// The receiver, and what it is told.
#[derive(Debug)]
pub struct Stage {
    /// The URL that takes notifications.
    pub receiver: Receiver,
    /// The one that takes lifecycle events, if it is another.
    pub lifecycle: Option<Receiver>,
    /// Who is believed on the way there.
    pub trust: Trust,
    /// What genuine items carry.
    pub client_state: Option<Secret>,
    /// Whose items they are.
    pub tenant: String,
    /// The subscription that they come from.
    pub subscription: String,
    /// What resource data is sealed and vouched for with.
    pub rich: Option<Rich>,
}

/// Who seals resource data and vouches for it.
#[derive(Debug)]
pub struct Rich {
    /// Whom it is sealed for.
    pub recipient: Recipient,
    /// Who signs tokens.
    pub issuer: Issuer,
    /// The app that has subscribed.
    pub app: String,
}

impl Stage {
    /// Whether what a case needs is there.
    pub fn has(&self, need: Need) -> bool {
        match need {
            Need::Nothing => true,
            Need::Tls => self.receiver.url().scheme() == "https",
            Need::ClientState => self.client_state.is_some(),
            Need::LifecycleUrl => self.lifecycle.is_some(),
            Need::OneUrl => self.lifecycle.as_ref().is_none_or(|second| second.url() == self.receiver.url()),
            Need::Rich => self.rich.is_some(),
        }
    }

    /// Whom something is for.
    pub fn receiver(&self, place: Place) -> &Receiver {
        match place {
            Place::Notifications => &self.receiver,
            Place::Lifecycle => self.lifecycle.as_ref().unwrap_or(&self.receiver),
        }
    }

    /// The text without the clientState, should a receiver have said it.
    pub fn hide(&self, text: &str) -> String {
        match &self.client_state {
            Some(secret) => text.replace(secret.expose(), "[secret]"),
            None => text.to_owned(),
        }
    }

    /// Takes the clientState out of an answer before anything of it is shown, whole or in part.
    pub fn scrub(&self, reply: &mut Reply) {
        let (Some(secret), Ok(answer)) = (&self.client_state, &mut reply.answer) else { return };
        let secret = secret.expose().as_bytes();
        if answer.body.windows(secret.len()).any(|part| part == secret) {
            answer.body = self.hide(&String::from_utf8_lossy(&answer.body)).into();
        }
    }

    /// A handshake as Graph makes it today.
    pub fn today(&self) -> Shot {
        let (token, encoded) = handshake_token(&fresh_id());
        self.handshake(&token, &encoded)
    }

    /// A handshake with this token, and how it is written in the query.
    pub fn handshake(&self, token: &str, encoded: &str) -> Shot {
        self.question(Place::Notifications, token, &format!("validationToken={encoded}"))
    }

    /// A handshake with this query, behind the URL's own.
    pub fn query(&self, token: &str, query: &str) -> Shot {
        self.question(Place::Notifications, token, query)
    }

    /// A handshake of the second URL.
    pub fn lifecycle_handshake(&self) -> Shot {
        let (token, encoded) = handshake_token(&fresh_id());
        self.question(Place::Lifecycle, &token, &format!("validationToken={encoded}"))
    }

    fn question(&self, place: Place, token: &str, query: &str) -> Shot {
        Shot {
            kind: Kind::Handshake(token.to_owned()),
            words: format!("?{}", cut(query, SHOWN_MAX)),
            method: Method::POST,
            target: self.target(place, query),
            media_type: Some(HANDSHAKE),
            header: None,
            body: Bytes::new(),
            wire: Wire::Whole,
            place,
        }
    }

    /// The URL's path and own query with something behind them.
    fn target(&self, place: Place, query: &str) -> String {
        let own = self.receiver(place).target();
        let joint = match own.split_once('?') {
            None => "?",
            Some((_, "")) => "",
            Some((_, _)) => "&",
        };
        format!("{own}{joint}{query}")
    }

    /// A genuine item of this template, and of this change.
    pub fn item(&self, template: &str, change: &str) -> String {
        self.item_of(template, change, &self.subscription, &self.tenant)
    }

    /// A genuine item of any subscription and tenant.
    pub fn item_of(&self, template: &str, change: &str, subscription: &str, tenant: &str) -> String {
        let template = Template::named(template).expect("cases name templates that are there");
        template.fill(&Facts { subscription, tenant, change, ..self.facts(&fresh_id()) })
    }

    /// What a genuine item with this id tells.
    pub fn facts<'a>(&'a self, id: &'a str) -> Facts<'a> {
        Facts {
            id,
            subscription: &self.subscription,
            tenant: &self.tenant,
            user: USER,
            client_state: self.client_state.as_ref().map(Secret::expose),
            change: "created",
            now: SystemTime::now(),
            number: 1,
        }
    }

    /// News of a message, as most items are.
    pub fn message(&self) -> String {
        self.item("message", "created")
    }

    /// News of a message with something changed about its item.
    pub fn changed(&self, change: impl FnOnce(&mut Members)) -> String {
        self.item_with("message", "created", change)
    }

    /// A genuine item with something changed about it.
    pub fn item_with(&self, template: &str, event: &str, change: impl FnOnce(&mut Members)) -> String {
        let mut members = Members::read(&self.item(template, event)).expect("a template is an object");
        change(&mut members);
        members.write()
    }

    /// A POST with one genuine item.
    pub fn good(&self) -> Shot {
        self.post(&[self.message()])
    }

    /// A POST with these items.
    pub fn post(&self, items: &[String]) -> Shot {
        self.body(&number(items), collection(items, Tokens::None))
    }

    /// A POST with this body.
    pub fn body(&self, words: &str, body: impl Into<Bytes>) -> Shot {
        self.body_for(Place::Notifications, words, body.into())
    }

    /// A POST with these items to the URL that takes lifecycle events.
    pub fn lifecycle_post(&self, items: &[String]) -> Shot {
        self.lifecycle_body(&number(items), collection(items, Tokens::None))
    }

    /// A POST with this body to the URL that takes lifecycle events.
    pub fn lifecycle_body(&self, words: &str, body: impl Into<Bytes>) -> Shot {
        self.body_for(Place::Lifecycle, words, body.into())
    }

    /// The same with something behind the URL's own query.
    pub fn with_query(&self, shot: Shot, query: &str) -> Shot {
        Shot { target: self.target(shot.place, query), ..shot }
    }

    fn body_for(&self, place: Place, words: &str, body: Bytes) -> Shot {
        Shot {
            kind: Kind::Notification,
            words: words.to_owned(),
            method: Method::POST,
            target: self.receiver(place).target(),
            media_type: Some(NOTIFICATION),
            header: None,
            body,
            wire: Wire::Whole,
            place,
        }
    }
}

fn number(items: &[String]) -> String {
    let many = items.len();
    format!("{many} item{}", if many == 1 { "" } else { "s" })
}

/// The beginning of a text.
pub fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// How much is shown of a query.
const SHOWN_MAX: usize = 100;

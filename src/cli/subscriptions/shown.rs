//! A subscription as it is shown: in a table, line by line, or in JSON. It has no place for a clientState.

use std::{
    io::{self, Write},
    time::SystemTime,
};

use serde::{Serialize, Serializer};

use super::{session::Session, whose::Whose};
use crate::{
    cli::{
        table::{Cell, Table, Tone},
        words,
    },
    config::Wanted,
    graph::subscription::Subscription,
    moment::rfc3339,
    subscriptions::state::{Form, Kept},
};

/// What is told of a subscription.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    /// Null while Graph does not have it.
    pub(super) id: Option<String>,
    /// Null for those that are not ours.
    pub(super) name: Option<String>,
    pub(super) whose: Whose,
    /// Whether Graph has it.
    pub(super) at_graph: bool,
    pub(super) resource: String,
    pub(super) change_types: Vec<String>,
    pub(super) notification_url: String,
    pub(super) lifecycle_url: Option<String>,
    #[serde(serialize_with = "moment")]
    pub(super) expires_at: Option<SystemTime>,
    pub(super) ended: bool,
    pub(super) resource_data: bool,
    pub(super) encryption_key: Option<String>,
    /// Name of the entry of the table of secrets that admits its notifications.
    pub(super) client_state: Option<String>,
    pub(super) app_id: Option<String>,
}

fn moment<S: Serializer>(moment: &Option<SystemTime>, serializer: S) -> Result<S::Ok, S::Error> {
    moment.map(rfc3339).serialize(serializer)
}

impl Shown {
    /// One that Graph shows.
    pub(super) fn of(subscription: &Subscription, session: &Session) -> Self {
        let kept = session.state.with_id(&subscription.id);
        let former = session.state.former.iter().find(|former| former.id == subscription.id);
        let name = kept.map(|kept| &kept.name).or(former.map(|former| &former.name));
        Self {
            id: Some(subscription.id.to_string()),
            name: name.cloned(),
            whose: Whose::of(subscription, session),
            at_graph: true,
            resource: subscription.resource.clone(),
            change_types: subscription.change_types(),
            notification_url: subscription.notification_url.clone(),
            lifecycle_url: subscription.lifecycle_notification_url.clone(),
            expires_at: Some(subscription.expiration_date_time),
            ended: subscription.expiration_date_time <= session.now,
            resource_data: subscription.include_resource_data.unwrap_or_default(),
            encryption_key: subscription.encryption_certificate_id.clone().filter(|id| !id.is_empty()),
            client_state: kept.map(|kept| kept.entry().to_owned()),
            app_id: subscription.application_id.clone(),
        }
    }

    /// One that we keep, and Graph does not show.
    pub(super) fn kept(kept: &Kept, session: &Session) -> Self {
        let live = kept.live();
        Self {
            id: live.map(|live| live.id.to_string()),
            client_state: Some(kept.entry().to_owned()),
            expires_at: live.map(|live| live.expires_at),
            ended: live.is_some_and(|live| live.expires_at <= session.now),
            ..Self::form(&kept.name, &kept.form, Whose::of_kept(kept, session))
        }
    }

    /// One that is wanted, and of which nothing is known yet.
    pub(super) fn wanted(wanted: &Wanted) -> Self {
        Self::form(&wanted.name, &Form::of(wanted), Whose::Wanted)
    }

    fn form(name: &str, form: &Form, whose: Whose) -> Self {
        Self {
            id: None,
            name: Some(name.to_owned()),
            whose,
            at_graph: false,
            resource: form.resource.clone(),
            change_types: form.change_types.iter().map(|change| change.as_str().to_owned()).collect(),
            notification_url: form.notification_url.clone(),
            lifecycle_url: Some(form.lifecycle_url.clone()),
            expires_at: None,
            ended: false,
            resource_data: form.encryption.is_some(),
            encryption_key: form.encryption.clone(),
            client_state: form.entry.clone(),
            app_id: None,
        }
    }

    fn end(&self, now: SystemTime) -> Cell {
        match (self.at_graph, self.expires_at) {
            (false, _) => Cell::new("not at Graph", Tone::Bad),
            (true, None) => "".into(),
            (true, Some(end)) => {
                Cell::new(&words::end(end, now), if self.ended { Tone::Bad } else { Tone::Plain })
            }
        }
    }

    fn whose(&self) -> Cell {
        let tone = match self.whose {
            Whose::Wanted | Whose::ByHand => Tone::Good,
            Whose::LeftOver | Whose::Unknown => Tone::Odd,
            Whose::Stranger => Tone::Plain,
        };
        Cell::new(self.whose.as_str(), tone)
    }

    /// Everything, a line for each thing.
    pub(super) fn print(&self, out: &mut impl Write, now: SystemTime) -> io::Result<()> {
        let none = || "-".to_owned();
        let data = match (self.resource_data, &self.encryption_key) {
            (false, _) => "no".to_owned(),
            (true, None) => "yes".to_owned(),
            (true, Some(key)) => format!("yes, encrypted for {key}"),
        };
        let end = match (self.at_graph, self.expires_at) {
            (true, Some(end)) => format!("{}, {}", words::end(end, now), words::time(end)),
            (true, None) | (false, _) => "not at Graph".to_owned(),
        };
        for (label, value) in [
            ("name", self.name.clone().unwrap_or_else(none)),
            ("id", self.id.clone().unwrap_or_else(none)),
            ("whose", self.whose.as_str().to_owned()),
            ("resource", self.resource.clone()),
            ("changes", self.change_types.join(", ")),
            ("ends", end),
            ("notifications", self.notification_url.clone()),
            ("lifecycle", self.lifecycle_url.clone().unwrap_or_else(none)),
            ("resource data", data),
            ("clientState", self.client_state.clone().unwrap_or_else(none)),
            ("app", self.app_id.clone().unwrap_or_else(none)),
        ] {
            writeln!(out, "{label:<LABEL$}{}", words::plain(&value))?;
        }
        Ok(())
    }
}

/// A table of subscriptions.
pub(super) fn table(shown: &[Shown], session: &Session) -> String {
    let mut table = Table::new(["NAME", "ID", "RESOURCE", "CHANGES", "ENDS", "WHOSE", "DATA"]);
    for one in shown {
        let text = |text: &Option<String>| Cell::from(text.as_deref().unwrap_or("-"));
        table.row([
            text(&one.name),
            text(&one.id),
            Cell::from(one.resource.as_str()),
            Cell::from(one.change_types.join(",")),
            one.end(session.now),
            one.whose(),
            Cell::from(if one.resource_data { "rich" } else { "" }),
        ]);
    }
    table.text(session.style)
}

const LABEL: usize = 15;

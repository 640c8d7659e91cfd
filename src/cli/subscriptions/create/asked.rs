//! Which subscription is to be made: a wanted one, or one that the command line describes.

use std::time::{Duration, SystemTime};

use anyhow::Context;
use clap::Args;

use super::super::session::Session;
use crate::{
    config::{ByHand, ChangeType, Wanted},
    graph::resources::kind_of,
    subscriptions::state::MadeBy,
};

#[derive(Args, Debug)]
pub(super) struct Asked {
    /// One that the configuration wants, by its name.
    #[arg(value_name = "NAME", required_unless_present = "resource", conflicts_with_all = ["resource", "name"])]
    wanted: Option<String>,
    /// Path of what is to be watched, as Graph is told: see `graphhook subscriptions resources`.
    #[arg(long, value_name = "PATH", requires = "change_types")]
    resource: Option<String>,
    /// Of created, updated, deleted.
    #[arg(long, value_name = "TYPES", value_delimiter = ',', value_parser = change_type, requires = "resource")]
    change_types: Vec<ChangeType>,
    /// Where Graph is to send notifications [default: server.public_url].
    #[arg(long, value_name = "URL", requires = "resource")]
    notification_url: Option<String>,
    /// Where Graph is to send lifecycle notifications [default: the same].
    #[arg(long, value_name = "URL", requires = "resource")]
    lifecycle_url: Option<String>,
    /// How long it should live [default: what its type of resource allows, less a margin].
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, requires = "resource")]
    lifetime: Option<Duration>,
    /// Stands for it, and for its clientState [default: the type of resource and the time].
    #[arg(long, value_name = "NAME", requires = "resource")]
    name: Option<String>,
    /// Use this entry of client_states instead of a new clientState.
    #[arg(long, value_name = "ENTRY", requires = "resource")]
    client_state: Option<String>,
    /// With resource data, encrypted for this one of rich.keys.
    #[arg(long, value_name = "ID", requires = "resource")]
    encryption_key: Option<String>,
}

fn change_type(text: &str) -> Result<ChangeType, String> {
    [ChangeType::Created, ChangeType::Updated, ChangeType::Deleted]
        .into_iter()
        .find(|change| change.as_str() == text)
        .ok_or_else(|| "expected created, updated or deleted".to_owned())
}

impl Asked {
    /// What is wanted, and by whom.
    pub(super) fn resolve(self, session: &Session) -> anyhow::Result<(Wanted, MadeBy)> {
        let wanted = &session.workshop.settings.subscriptions;
        if let Some(name) = &self.wanted {
            let one = wanted.iter().find(|wanted| wanted.name == *name);
            let one = one.with_context(|| format!("no entry of [[subscriptions]] is named {name:?}"))?;
            return Ok((one.clone(), MadeBy::Wanted));
        }
        let resource = self.resource.unwrap_or_default();
        let asked = ByHand {
            name: self.name.unwrap_or_else(|| default_name(&resource, session.now)),
            resource,
            change_types: self.change_types,
            notification_url: self.notification_url,
            lifecycle_url: self.lifecycle_url,
            lifetime: self.lifetime,
            client_state: self.client_state,
            encryption_key: self.encryption_key,
            ..ByHand::default()
        };
        Ok((asked.resolve(&session.config)?, MadeBy::Hand))
    }
}

/// `message-20261122-143500`: in UTC.
fn default_name(resource: &str, now: SystemTime) -> String {
    let kind = kind_of(resource).map_or("subscription", |kind| kind.name);
    let time: String =
        crate::moment::rfc3339(now).chars().filter(|c| c.is_ascii_digit() || *c == 'T').collect();
    format!("{kind}-{}", time.replace('T', "-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_what_and_when() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        for (resource, name) in [
            ("/users/a@example.com/messages", "message-20231114-221320"),
            ("/nobody/knows", "subscription-20231114-221320"),
        ] {
            assert_eq!(default_name(resource, now), name);
        }
    }

    #[test]
    fn change_types_are_graphs_words() {
        assert_eq!(change_type("updated"), Ok(ChangeType::Updated));
        assert!(change_type("Updated").is_err() && change_type("").is_err());
    }
}

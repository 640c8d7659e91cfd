//! Types of resources that can be watched, as data: what Graph allows for each changes from year to year, and the
//! configuration can say otherwise (`graph.lifetimes`).

mod path;
mod table;

use std::{collections::BTreeMap, time::Duration};

pub use self::table::KINDS;
use crate::config::ChangeType;

/// A type of resource, and what Graph allows for it.
#[derive(Debug)]
pub struct ResourceKind {
    /// Its name: Graph's type, where it has one.
    pub name: &'static str,
    /// A path for people to recognize it by.
    pub example: &'static str,
    /// What it can tell; empty where Graph's pages do not say it.
    pub change_types: &'static [ChangeType],
    /// No subscription lives longer.
    pub lifetime_max: Duration,
    /// Whether notifications can carry resource data.
    pub rich: Rich,
    /// No subscription with resource data lives longer, where that is less.
    pub rich_lifetime_max: Option<Duration>,
    /// A subscription that lives longer than this needs a lifecycle URL.
    pub lifecycle_above: Option<Duration>,
    /// Whether only a user can watch it, not an app.
    pub delegated_only: bool,
    /// The least that an app needs.
    pub application_permission: Option<&'static str>,
    /// The least that it needs from a user.
    pub delegated_permission: Option<&'static str>,
    /// How many subscriptions there may be, in words; empty where no number is published.
    pub quota: &'static str,
    /// Whether it is absent from the national clouds.
    pub global_only: bool,
}

/// Whether notifications can carry resource data.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Rich {
    /// They cannot, or it is not documented.
    No,
    /// They can.
    Yes,
    /// They can, and the resource must say with `$select` what they carry.
    NeedsSelect,
}

impl ResourceKind {
    /// No subscription lives longer.
    pub fn longest(&self, is_rich: bool) -> Duration {
        self.rich_lifetime_max.filter(|_| is_rich).unwrap_or(self.lifetime_max)
    }
}

/// The type of the resource with this path: in any case of letters, with or without a slash before it, with ids in any
/// of their forms, whatever it selects.
pub fn kind_of(resource: &str) -> Option<&'static ResourceKind> {
    let name = path::kind(resource)?;
    KINDS.iter().find(|kind| kind.name == name)
}

/// Whether Graph takes one path for the other: in any case of letters, with or without a slash before it.
pub fn is_same_path(one: &str, other: &str) -> bool {
    one.trim_start_matches('/').eq_ignore_ascii_case(other.trim_start_matches('/'))
}

/// Whether two URLs are one, however they are written.
pub fn is_same_url(one: &str, other: &str) -> bool {
    let url = |text: &str| url::Url::parse(text).map_or_else(|_| text.to_owned(), String::from);
    url(one) == url(other)
}

/// The lifetime to ask for: a little less than the longest that is allowed, because more is refused, and clocks differ.
///
/// The margin is 5 %, but no more than 80 minutes: of the 10,080 minutes that are documented for Outlook only 10,070 are
/// granted. `overrides` has lifetimes by name of the type; they are taken as they are. Of what nobody knows, an hour is
/// asked for, which every resource allows, and none needs a lifecycle URL for.
pub fn lifetime(resource: &str, is_rich: bool, overrides: &BTreeMap<String, Duration>) -> Duration {
    let Some(kind) = kind_of(resource) else { return UNKNOWN };
    let given = overrides.iter().find(|(name, _)| name.eq_ignore_ascii_case(kind.name));
    if let Some((_, lifetime)) = given {
        return *lifetime;
    }
    let longest = kind.longest(is_rich);
    let margin = (longest / 20).min(MARGIN_MAX);
    Duration::from_secs((longest - margin).as_secs() / 60 * 60)
}

const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes * 60)
}

const UNKNOWN: Duration = minutes(60);
const MARGIN_MAX: Duration = minutes(80);

#[cfg(test)]
mod tests;

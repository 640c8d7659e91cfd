//! The subscriptions that are wanted, each as Graph will be told.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use super::{
    super::super::{
        ByHand, Config, Encryption, Environment, Problem, Problems, PublicUrl, Rich, Wanted,
        layers::Layers,
        raw::{RawSubscription, Time},
    },
    Defaults, Resolver,
};

/// Checks what somebody asks for at a terminal as if it stood in the file of this configuration.
pub(in crate::config) fn by_hand(asked: ByHand, config: &Config) -> Result<Wanted, Problems> {
    let mut resolver = Resolver {
        layers: &Layers(Vec::new()),
        // No secret is fetched for it.
        environment: &Environment::default(),
        problems: Vec::new(),
        warnings: Vec::new(),
        files: Vec::new(),
        holds_secret: false,
    };
    let others = config.graph.iter().flat_map(|graph| &graph.subscriptions);
    let mut names = others.map(|wanted| wanted.name.clone()).collect();
    let defaults =
        Defaults { server: &config.server, client_states: &config.client_states, rich: config.rich.as_ref() };
    let wanted = resolver.one_wanted("", asked.raw(), &defaults, &mut names);
    let told = |problem: Problem| Problem {
        key: problem.key.trim_start_matches('.').to_owned(),
        origin: "command line".to_owned(),
        ..problem
    };
    match wanted {
        Some(wanted) if resolver.problems.is_empty() => Ok(wanted),
        Some(_) | None => Err(Problems(resolver.problems.into_iter().map(told).collect())),
    }
}

impl ByHand {
    fn raw(self) -> RawSubscription {
        RawSubscription {
            name: Some(self.name),
            resource: Some(self.resource),
            change_types: self.change_types,
            notification_url: self.notification_url,
            lifecycle_url: self.lifecycle_url,
            lifetime: self.lifetime.map(Time),
            client_state: self.client_state,
            encryption_key: self.encryption_key,
            app_id: self.app_id,
            query_options: self.query_options,
            prefer: self.prefer,
        }
    }
}

impl Resolver<'_> {
    pub(super) fn lifetimes(&mut self, raw: &BTreeMap<String, Time>) -> BTreeMap<String, Duration> {
        let lifetime = |(kind, time): (&String, &Time)| {
            (kind.clone(), self.lifetime(&format!("graph.lifetimes.{kind}"), *time))
        };
        raw.iter().map(lifetime).collect()
    }

    /// Graph makes 45 minutes of what is shorter. Today nothing lives longer than 30 days; one day something may.
    fn lifetime(&mut self, key: &str, Time(time): Time) -> Duration {
        if !(LIFETIME_MIN..=LIFETIME_MAX).contains(&time) {
            self.problem(key, "expected 45 minutes to 60 days");
        }
        time
    }

    pub(super) fn wanted(&mut self, raw: Vec<RawSubscription>, defaults: &Defaults<'_>) -> Vec<Wanted> {
        let (mut wanted, mut names) = (Vec::<Wanted>::new(), HashSet::new());
        for (index, raw) in raw.into_iter().enumerate() {
            let key = format!("subscriptions.{index}");
            let Some(one) = self.one_wanted(&key, raw, defaults, &mut names) else { continue };
            let is_twin = |other: &&Wanted| {
                (&other.resource, &other.change_types) == (&one.resource, &one.change_types)
            };
            if let Some(twin) = wanted.iter().find(is_twin) {
                let message = format!("{:?} wants the same: Graph allows one", twin.name);
                self.problem(&format!("{key}.resource"), message);
            }
            wanted.push(one);
        }
        wanted
    }

    fn one_wanted(
        &mut self,
        key: &str,
        raw: RawSubscription,
        defaults: &Defaults<'_>,
        names: &mut HashSet<String>,
    ) -> Option<Wanted> {
        let name = self.name(key, raw.name.unwrap_or_default(), names);
        let at = |part: &str| format!("{key}.{part}");
        let resource = raw.resource.unwrap_or_default();
        if resource.is_empty() || resource.chars().any(char::is_control) || resource.contains("://") {
            self.problem(
                &at("resource"),
                "expected a path such as \"/users/{id}/messages\", without the host",
            );
        }
        let mut change_types = raw.change_types;
        change_types.sort_unstable();
        change_types.dedup();
        if change_types.is_empty() {
            self.problem(&at("change_types"), "name at least one of created, updated, deleted");
        }
        let notification_url = self.callback(&at("notification_url"), raw.notification_url, || {
            defaults.server.public_url.as_ref().map(PublicUrl::to_string)
        });
        let lifecycle_url =
            self.callback(&at("lifecycle_url"), raw.lifecycle_url, || notification_url.clone());
        let names_entry = |name: &str| defaults.client_states.iter().any(|entry| entry.name == name);
        match &raw.client_state {
            Some(entry) if !names_entry(entry) => {
                self.problem(&at("client_state"), format!("no entry of client_states is named {entry:?}"));
            }
            None if names_entry(&name) => {
                self.problem(
                    &at("name"),
                    "an entry of client_states has this name: name it in client_state, too",
                );
            }
            Some(_) | None => {}
        }
        let encryption =
            raw.encryption_key.and_then(|id| self.encryption(&at("encryption_key"), &id, defaults.rich));
        for preference in &raw.prefer {
            if hyper::header::HeaderValue::from_str(preference).is_err() {
                self.problem(&at("prefer"), "expected values of a header");
            }
        }
        Some(Wanted {
            name,
            resource,
            change_types,
            notification_url: notification_url?,
            lifecycle_url: lifecycle_url?,
            lifetime: raw.lifetime.map(|time| self.lifetime(&at("lifetime"), time)),
            client_state: raw.client_state,
            encryption,
            app_id: raw.app_id.map(|id| self.guid(&at("app_id"), &id)),
            query_options: raw.query_options,
            prefer: raw.prefer,
        })
    }

    /// What Graph is to call. A query is its owner's, and kept.
    fn callback(
        &mut self,
        key: &str,
        given: Option<String>,
        default: impl FnOnce() -> Option<String>,
    ) -> Option<String> {
        let Some(text) = given else {
            let default = default();
            // Where it is missing for both, one word will do.
            if default.is_none() && key.ends_with(".notification_url") {
                self.problem(key, "missing, and so is server.public_url");
            }
            return default;
        };
        let is_good = url::Url::parse(&text).is_ok_and(|url| {
            url.scheme() == "https" && url.username().is_empty() && url.fragment().is_none()
        });
        if !is_good {
            self.problem(key, "expected an https:// URL that Graph can call");
        }
        Some(text)
    }

    fn encryption(&mut self, key: &str, id: &str, rich: Option<&Rich>) -> Option<Encryption> {
        let Some(found) = rich.and_then(|rich| rich.keys.iter().find(|key| key.id == id)) else {
            self.problem(key, format!("no entry of rich.keys has the id {id:?}"));
            return None;
        };
        let Some(certificate) = &found.certificate else {
            self.problem(key, format!("the entry {id:?} of rich.keys names no certificate"));
            return None;
        };
        Some(Encryption { id: id.to_owned(), certificate: certificate.encoded() })
    }
}

const LIFETIME_MIN: Duration = Duration::from_secs(45 * 60);
const LIFETIME_MAX: Duration = Duration::from_secs(60 * 24 * 60 * 60);

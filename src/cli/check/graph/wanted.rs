//! The wanted subscriptions, against what is known of resources, of our own URLs, and of our keys. It needs no network.

use std::time::Duration;

use super::super::report::{Check, Finding};
use crate::{
    cli::words,
    config::{ChangeType, Config, Graph, TlsSource, Wanted},
    graph::resources::{ResourceKind, Rich, kind_of, lifetime},
};

/// Every wanted subscription.
pub(super) fn wanted(graph: &Graph, config: &Config) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    for wanted in &graph.subscriptions {
        findings.extend(of_urls(wanted, config));
        match kind_of(&wanted.resource) {
            Some(kind) => findings.extend(of_kind(wanted, kind, graph)),
            None => {
                let words = format!("{}: {} is of no type that is known here", wanted.name, wanted.resource);
                let advice = "Graph may know it: set its lifetime, and see graphhook subscriptions resources";
                findings.push(Finding::warning(CHECK, words, advice));
            }
        }
    }
    let known: Vec<&str> = crate::graph::resources::KINDS.iter().map(|kind| kind.name).collect();
    for name in
        graph.lifetimes.keys().filter(|name| !known.iter().any(|kind| kind.eq_ignore_ascii_case(name)))
    {
        let words = format!("graph.lifetimes.{name}: no type of resource has this name");
        findings.push(Finding::warning(CHECK, words, "graphhook subscriptions resources lists them"));
    }
    if graph.manage && !graph.subscriptions.iter().all(|wanted| wanted.client_state.is_some()) {
        let words = "clientStates are made here, and other daemons on this broker do not know them";
        findings.push(Finding::ok(CHECK, format!("{words}: with several, name client_state")));
    }
    let many = words::number(graph.subscriptions.len() as u64, "subscription");
    let manager = if graph.manage { "the daemon keeps" } else { "apply makes" };
    findings.push(Finding::ok(CHECK, format!("{many} wanted, which {manager}")));
    findings
}

/// A proxy may change paths; without one, Graph gets 404.
fn of_urls(wanted: &Wanted, config: &Config) -> Vec<Finding> {
    let is_direct = matches!(config.server.tls.source, TlsSource::Files(_) | TlsSource::Acme(_));
    let urls = [("notification_url", &wanted.notification_url), ("lifecycle_url", &wanted.lifecycle_url)];
    let foreign = urls.iter().filter_map(|(key, url)| {
        let path = url::Url::parse(url).ok()?.path().to_owned();
        let is_served = config.server.paths.contains(&path);
        (!is_served).then_some((key, path))
    });
    let found = foreign.map(|(key, path)| {
        let words = format!("{}: the path {path} of its {key} is none of server.paths", wanted.name);
        match is_direct {
            true => Finding::failed(CHECK, words, "Graph's handshake gets 404: add it, or name another URL"),
            false => Finding::warning(CHECK, words, "right if a proxy changes it, else Graph gets 404"),
        }
    });
    found.collect()
}

fn of_kind(wanted: &Wanted, kind: &ResourceKind, graph: &Graph) -> Vec<Finding> {
    let (name, is_rich) = (&wanted.name, wanted.encryption.is_some());
    let mut findings = Vec::new();
    let unknown = |change: &&ChangeType| !kind.change_types.is_empty() && !kind.change_types.contains(change);
    for change in wanted.change_types.iter().filter(unknown) {
        let words = format!("{name}: a {} is not known to tell of {}", kind.name, change.as_str());
        findings.push(Finding::warning(CHECK, words, "Graph may refuse it, or never tell"));
    }
    let asked = wanted.lifetime.unwrap_or_else(|| lifetime(&wanted.resource, is_rich, &graph.lifetimes));
    findings.extend(too_long(name, asked, kind.longest(is_rich)));
    let has_select = wanted.resource.to_ascii_lowercase().contains("$select=");
    let advice = match (is_rich, kind.rich) {
        (true, Rich::No) => Some(("is not known to carry resource data", "leave encryption_key out")),
        (true, Rich::NeedsSelect) if !has_select => Some((
            "carries only the resource data that the resource selects",
            "add ?$select=… to its resource",
        )),
        (true, Rich::NeedsSelect | Rich::Yes) | (false, Rich::No | Rich::NeedsSelect | Rich::Yes) => None,
    };
    findings.extend(
        advice.map(|(words, advice)| {
            Finding::warning(CHECK, format!("{name}: a {} {words}", kind.name), advice)
        }),
    );
    findings
}

fn too_long(name: &str, asked: Duration, longest: Duration) -> Option<Finding> {
    (asked > longest).then(|| {
        let (asked, longest) = (words::brief(asked), words::brief(longest));
        let words = format!("{name}: a lifetime of {asked}, and Graph is known to allow {longest}");
        Finding::warning(CHECK, words, "ask for less, or leave it out")
    })
}

const CHECK: Check = Check::Subscriptions;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, load_text};

    #[track_caller]
    fn check(more: &str, expected: &[&str]) {
        let text = format!(
            "[server]\npublic_url = \"https://hooks.example.com/graph/notifications\"\n[server.tls]\nmode = \"off\"\n\
             [graph]\nsign_in = \"command\"\ncommand = [\"/bin/token\"]\n{more}"
        );
        let loaded = load_text("test", &text, &Environment::default()).expect("a configuration");
        let graph = loaded.config.graph.as_ref().expect("a sign-in");
        let said: Vec<String> = wanted(graph, &loaded.config)
            .iter()
            .map(|finding| serde_json::to_string(finding).expect("JSON"))
            .filter(|line| !line.contains("\"verdict\":\"ok\""))
            .collect();
        assert_eq!(said.len(), expected.len(), "{said:#?}");
        for (said, expected) in said.iter().zip(expected) {
            assert!(said.contains(expected), "{said}");
        }
    }

    fn one(resource: &str, more: &str) -> String {
        format!(
            "[[subscriptions]]\nname = \"one\"\nresource = \"{resource}\"\nchange_types = [\"updated\"]\n{more}\n"
        )
    }

    #[test]
    fn what_graph_would_refuse_is_seen_before() {
        check(&one("/users", ""), &[]);
        check(&one("/cats", ""), &["is of no type that is known here"]);
        check(
            &one("/users", "lifetime = \"30days\""),
            &["a lifetime of 30 d, and Graph is known to allow 29 d"],
        );
        check(
            &one("/communications/callRecords", "change_types = [\"deleted\"]").replacen(
                "change_types = [\"updated\"]\n",
                "",
                1,
            ),
            &["a callRecord is not known to tell of deleted"],
        );
        check(
            &one("/users", "lifecycle_url = \"https://hooks.example.com/elsewhere\""),
            &["the path /elsewhere of its lifecycle_url is none of server.paths"],
        );
        check("lifetimes = { cats = \"2h\" }", &["graph.lifetimes.cats: no type of resource has this name"]);
    }
}

//! The template of routing keys, tried on notifications such as Graph sends.

use super::report::{Check, Finding};
use crate::{
    config::ClientState,
    envelope::routing::{RoutingKey, Template, Values},
    notification::Batch,
};

pub(super) fn routing(template: &Template, table: &[ClientState]) -> Vec<Finding> {
    let longest =
        table.iter().map(|entry| entry.name.as_str()).max_by_key(|name| name.len()).unwrap_or_default();
    let keys = SAMPLES.map(|sample| key(template, sample, longest));
    let [change, lifecycle, odd] = &keys;
    let mut findings = Vec::new();
    if keys.iter().any(|key| key.as_str().len() >= BYTES_MAX) {
        let words = "a key of the template has more than 255 bytes, and is cut there";
        findings.push(Finding::warning(
            Check::Routing,
            words,
            "shorten broker.routing_key or the entry's name",
        ));
    }
    if change.as_str().contains(['#', '*']) {
        let words = "\"#\" and \"*\" in a key are no patterns: those are for the bindings of consumers";
        findings.push(Finding::warning(Check::Routing, words, "take them out of broker.routing_key"));
    }
    if keys.iter().any(|key| key.as_str().split('.').any(str::is_empty)) {
        let words = format!("a word of the key is empty: {:?}", change.as_str());
        findings.push(Finding::warning(Check::Routing, words, "\"*\" matches it, but few expect that"));
    }
    findings.push(Finding::ok(Check::Routing, format!("a change is sent as {}", shown(change))));
    findings.push(Finding::ok(Check::Routing, format!("a lifecycle event as {}", shown(lifecycle))));
    findings.push(Finding::ok(Check::Routing, format!("odd characters become \"_\": {}", shown(odd))));
    findings
}

fn key(template: &Template, sample: &str, client_state: &str) -> RoutingKey {
    let batch = Batch::parse(sample.as_bytes(), 1).expect("the samples are right");
    template.key(&Values::of(&batch.notifications[0], client_state))
}

/// A long key would fill the screen.
fn shown(key: &RoutingKey) -> String {
    let key = key.as_str();
    match key.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &key[..end]),
        None => key.to_owned(),
    }
}

/// A change, a lifecycle event, and a change with characters that no key may hold.
const SAMPLES: [&str; 3] = [
    r##"{"value":[{"subscriptionId":"7f105c7d-2dc5-4530-97cd-4e7ae6534c07","clientState":"","changeType":"created",
        "tenantId":"84bd8158-6d4d-4958-8b9f-9d6445542f95","resource":"me/messages",
        "resourceData":{"@odata.type":"#Microsoft.Graph.Message"}}]}"##,
    r#"{"value":[{"subscriptionId":"7f105c7d-2dc5-4530-97cd-4e7ae6534c07","clientState":"","lifecycleEvent":"missed",
        "tenantId":"84bd8158-6d4d-4958-8b9f-9d6445542f95","resource":"me/messages"}]}"#,
    r##"{"value":[{"subscriptionId":"a.b","clientState":"","changeType":"créé#1","tenantId":"c*d",
        "resource":"x","resourceData":{"@odata.type":"#Microsoft.Graph.Message"}}]}"##,
];
/// AMQP 0-9-1, `shortstr`.
const BYTES_MAX: usize = 255;
const SHOWN: usize = 100;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::secret::Secret;

    #[track_caller]
    fn check(template: &str, name: &str, words: &[&str]) {
        let entry = ClientState {
            silent_after: None,
            name: name.to_owned(),
            secret: Secret::new("x".to_owned()),
            subscriptions: HashSet::new(),
            tenants: HashSet::new(),
        };
        let findings = routing(&Template::parse(template).expect(template), &[entry]);
        let said = format!("{findings:?}");
        assert!(words.iter().all(|words| said.contains(words)), "{template}: {said}");
        let warned = said.matches("Warning").count();
        let expected =
            words.iter().filter(|words| !words.contains(" as ") && !words.contains("\"_\"")).count();
        assert_eq!(warned, expected, "{said}");
    }

    #[test]
    fn keys_are_shown_and_odd_templates_told_of() {
        let default = "{kind}.{resource_type}.{change}";
        check(
            default,
            "mail",
            &["sent as notification.message.created", "event as lifecycle.subscription.missed"],
        );
        check("{client_state}.{change}", &"n".repeat(255), &["more than 255 bytes"]);
        check("#.{change}", "mail", &["are no patterns"]);
        check("{kind}..{change}", "mail", &["a word of the key is empty"]);
        check("{change}.", "mail", &["a word of the key is empty"]);
    }

    #[test]
    fn odd_characters_are_shown_as_they_are_sent() {
        let findings = format!(
            "{:?}",
            routing(&Template::parse("{subscription_id}.{change}.{tenant_id}").expect("right"), &[])
        );
        assert!(findings.contains("a_b.cr___1.c_d"), "{findings}");
    }
}

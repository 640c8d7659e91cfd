//! What is fed to the hot paths: the same bytes in every run.

use std::fmt::Write;

use bytes::Bytes;
use graphhook::{config::ClientState, notification::id::SubscriptionId, secret::Secret};

pub(crate) const SECRET: &str = "a-secret-of-forty-characters-0123456789-";
const OTHER_SECRET: &str = "another-one-of-forty-characters-01234567";

/// A POST with so many items, as Graph sends them about mail; each is of another message.
pub(crate) fn genuine(items: usize) -> Bytes {
    post(items, SECRET)
}

/// The same with a secret that nobody knows.
pub(crate) fn forged(items: usize) -> Bytes {
    post(items, OTHER_SECRET)
}

fn post(items: usize, secret: &str) -> Bytes {
    let mut text = String::from(r#"{"value":["#);
    for number in 0..items {
        let comma = if number == 0 { "" } else { "," };
        write!(text, "{comma}{}", item(number, secret)).expect("a String takes every text");
    }
    text.push_str("]}");
    Bytes::from(text)
}

fn item(number: usize, secret: &str) -> String {
    let message = format!(
        "AAMkAGUwNjQ4ZjIxLTQ3Y2YtNDViMi1iZjc4LTMyNDBiZTI1Y2E3ZgBGAAAAAAC3Iq3X{number:08}AAAAAAEMAAA="
    );
    let resource = format!("Users/87d349ed-44d7-43e1-9a83-5f2406dee5bd/Messages/{message}");
    format!(
        concat!(
            r##"{{"id":"5fc0e6a1-9fd0-4f1c-9b6e-{:012}","subscriptionId":"{}","subscriptionExpirationDateTime":"2026-10-01T11:00:00.0000000Z","##,
            r##""changeType":"created","resource":"{}","##,
            r##""resourceData":{{"@odata.type":"#Microsoft.Graph.Message","@odata.id":"{}","##,
            r##""@odata.etag":"W/\"CQAAABYAAAC4ofQHEIqCSbQPot83AFcbAAAn{:08}\"","id":"{}"}},"##,
            r##""clientState":"{}","tenantId":"84bd8158-6d4d-4958-8b9f-9d6445542f95"}}"##
        ),
        number,
        subscription(0),
        resource,
        resource,
        number,
        message,
        secret
    )
}

/// A table of so many entries, each for a subscription of its own; the first admits the items of [`genuine`].
pub(crate) fn table(entries: usize) -> Vec<ClientState> {
    let entry = |number| ClientState {
        name: format!("entry-{number}"),
        secret: Secret::new(if number == 0 { SECRET.to_owned() } else { format!("{OTHER_SECRET}{number}") }),
        subscriptions: [SubscriptionId::from(subscription(number))].into(),
        tenants: Default::default(),
        silent_after: None,
    };
    (0..entries).map(entry).collect()
}

fn subscription(number: usize) -> String {
    format!("7f105c7d-2dc5-4530-97cd-{number:012}")
}

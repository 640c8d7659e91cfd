//! Graph's side of a POST: items and collections as it sends them.

use super::daemon::SECRET;
use super::https::{Client, Reply};

/// Path that takes notifications.
pub const PATH: &str = "/graph/notifications";

/// A change of a mail message, with the tests' secret.
pub fn created(id: &str) -> String {
    changed(id, "created", SECRET)
}

/// A change of a mail message.
pub fn changed(id: &str, change: &str, secret: &str) -> String {
    let secret = serde_json::to_string(secret).expect("a string is JSON");
    format!(
        r##"{{"id":"{id}","subscriptionId":"00000001-0000-4000-8000-000000000001","changeType":"{change}","resource":"Users/u/Messages/{id}","resourceData":{{"@odata.type":"#Microsoft.Graph.Message","id":"{id}"}},"clientState":{secret},"tenantId":"8afd02d6-ebdd-4270-a515-c749898ea5c5"}}"##
    )
}

/// A collection of items.
pub fn collection<I: AsRef<str>>(items: impl IntoIterator<Item = I>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.as_ref().to_owned()).collect();
    format!(r#"{{"value":[{}]}}"#, items.join(","))
}

/// POSTs items as Graph does.
pub async fn post<I: AsRef<str>>(client: &Client, items: impl IntoIterator<Item = I>) -> Reply {
    client.post(PATH, &[("content-type", "application/json; charset=utf-8")], collection(items)).await
}

//! A template for routing keys, filled in from an item.

use super::json::Members;
use crate::{
    envelope::routing::{RoutingKey, Template, Values},
    notification::{Batch, Notification},
};

/// The first line is the template, the rest an item. A template is taken if its braces are the placeholders we know; the
/// key is the template with their values in place, each made safe, and ends where AMQP's names do.
pub fn routing(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (text, item) = text.split_once('\n').unwrap_or((text, "{}"));
    let template = Template::parse(text);
    let parts = parts(text);
    assert_eq!(template.is_ok(), parts.is_some(), "{text:?}");
    let body = format!(r#"{{"value":[{item}]}}"#);
    let batch = Batch::parse(body.as_bytes(), 1);
    let (Ok(template), Some(parts), Ok(batch)) = (template, parts, batch) else { return };
    for item in &batch.notifications {
        check_key(&template.key(&Values::of(item, CLIENT_STATE)), &parts, item);
    }
}

/// The text from placeholder to placeholder, each with the one before it.
fn parts(template: &str) -> Option<Vec<(Option<usize>, &str)>> {
    let mut pieces = template.split('{');
    let first = (None, pieces.next()?);
    let named = pieces.map(|piece| {
        let (name, text) = piece.split_once('}')?;
        Some((Some(PLACEHOLDERS.iter().position(|known| *known == name)?), text))
    });
    let parts: Vec<_> = [Some(first)].into_iter().chain(named).collect::<Option<_>>()?;
    parts.iter().all(|(_, text)| !text.contains('}')).then_some(parts)
}

fn check_key(key: &RoutingKey, parts: &[(Option<usize>, &str)], item: &Notification<'_>) {
    let values = values(item);
    assert!(values.iter().all(|value| value.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))));
    let value = |index: &Option<usize>| index.map(|index| &*values[index]).unwrap_or_default();
    let whole: String = parts.iter().flat_map(|(index, text)| [value(index), *text]).collect();
    let end = (0..=whole.len().min(255)).rev().find(|end| whole.is_char_boundary(*end)).unwrap_or_default();
    assert_eq!(key.as_str(), &whole[..end]);
    assert_eq!(RoutingKey::stored(key.as_str()).as_ref(), Some(key));
}

/// What stands for each placeholder.
fn values(item: &Notification<'_>) -> [String; 6] {
    let members = Members::of(item.raw).unwrap_or(Members(Vec::new()));
    let event = members.string("lifecycleEvent");
    let change = members.words("lifecycleEvent").or_else(|| members.words("changeType"));
    let kind = if event.is_some() { "lifecycle" } else { "notification" };
    let odata_type = item.resource_type.as_deref().unwrap_or_default().trim_start_matches('#');
    let last = odata_type.rsplit_once('.').map_or(odata_type, |(_, last)| last);
    let resource = if event.is_some() { "subscription" } else { last };
    [
        kind.to_owned(),
        safe(Some(resource)).to_ascii_lowercase(),
        safe(change.as_deref()),
        safe(item.tenant_id.as_deref()),
        safe(members.string("subscriptionId").as_deref()),
        safe(Some(CLIENT_STATE)),
    ]
}

fn safe(value: Option<&str>) -> String {
    let value = value.filter(|value| !value.is_empty()).unwrap_or("unknown");
    value.replace(|c: char| !matches!(c, 'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '_'), "_")
}

const PLACEHOLDERS: [&str; 6] =
    ["kind", "resource_type", "change", "tenant_id", "subscription_id", "client_state"];
const CLIENT_STATE: &str = "ma.il";

//! The permissions that a token has, against those that the wanted subscriptions need.

use std::collections::BTreeSet;

use super::super::report::{Check, Finding};
use crate::{
    config::Wanted,
    graph::{
        TokenClaims,
        resources::{ResourceKind, kind_of},
    },
};

/// One line for each permission that is missing, and one for those that nobody needs.
pub(super) fn permissions(claims: &TokenClaims, wanted: &[Wanted]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = wanted.iter().filter_map(|wanted| missing(claims, wanted)).collect();
    let needed: BTreeSet<&str> =
        wanted.iter().flat_map(|wanted| needs(wanted, claims.is_delegated())).collect();
    if findings.is_empty() && !needed.is_empty() {
        let held: Vec<&str> = needed.iter().copied().filter(|need| claims.permits(need)).collect();
        findings.push(Finding::ok(CHECK, format!("permissions: {}", held.join(", "))));
    }
    if !wanted.is_empty() {
        findings.extend(excess(claims, &needed));
    }
    findings
}

fn missing(claims: &TokenClaims, wanted: &Wanted) -> Option<Finding> {
    let kind = kind_of(&wanted.resource)?;
    let name = &wanted.name;
    if kind.delegated_only && !claims.is_delegated() {
        let words = format!("{name}: only a user can watch a {}, and an app signs in", kind.name);
        return Some(Finding::failed(CHECK, words, "graph.sign_in = \"device_code\""));
    }
    if app_only(kind) && claims.is_delegated() {
        let words = format!("{name}: only an app can watch a {}, and a user signs in", kind.name);
        return Some(Finding::failed(CHECK, words, "sign in as an app, by its secret or certificate"));
    }
    let needs = needs(wanted, claims.is_delegated());
    if needs.is_empty() || needs.iter().any(|need| claims.permits(need)) {
        return None;
    }
    let words = format!("{name}: the token has no {}", needs.join(" or "));
    if may_be_consented(&wanted.resource) && !claims.is_delegated() {
        let advice = "right if the team or chat has consented for itself (RSC), else add it to the app";
        return Some(Finding::warning(CHECK, words, advice));
    }
    let advice = match claims.is_delegated() {
        true => "add it to graph.scopes and to the app, and sign in again",
        false => "add it to the app, as an application permission, and have an administrator consent",
    };
    // The page on creating subscriptions says it: a permission to write is none to read here.
    let wider = needs.iter().find_map(|need| wider(claims, need));
    let words =
        wider.map_or(words.clone(), |wider| format!("{words}; {wider} does not count for subscriptions"));
    Some(Finding::failed(CHECK, words, advice))
}

/// Each of these alone would do; empty where nobody has published what is needed.
fn needs(wanted: &Wanted, is_delegated: bool) -> Vec<&'static str> {
    let Some(kind) = kind_of(&wanted.resource) else { return Vec::new() };
    let is_in_chat = wanted.resource.to_ascii_lowercase().contains("chats");
    match (kind.name, is_delegated, is_in_chat) {
        // Messages in chats and in channels are of one type, but not of one permission.
        ("chatMessage", true, true) => vec!["Chat.Read"],
        ("chatMessage", false, true) => vec!["Chat.Read.All"],
        ("message", true, _) => vec!["Mail.ReadBasic", "Mail.Read"],
        (_, true, _) => kind.delegated_permission.into_iter().collect(),
        (_, false, _) => kind.application_permission.into_iter().collect(),
    }
}

fn app_only(kind: &ResourceKind) -> bool {
    kind.application_permission.is_some() && kind.delegated_permission.is_none()
}

/// Resource-specific consent stands in no token.
fn may_be_consented(resource: &str) -> bool {
    let path = resource.trim_start_matches('/').to_ascii_lowercase();
    let of_one = ["teams/", "teams(", "chats/", "chats("].iter().any(|begin| path.starts_with(begin));
    of_one && !path.contains("getall")
}

/// The permission to write of the same name, if the token has it.
fn wider(claims: &TokenClaims, need: &str) -> Option<String> {
    let wider = need.replace(".ReadBasic", ".ReadWrite").replace(".Read", ".ReadWrite");
    let wider = wider.replace("ReadWriteWrite", "ReadWrite");
    (wider != need && claims.permits(&wider)).then_some(wider)
}

fn excess(claims: &TokenClaims, needed: &BTreeSet<&str>) -> Option<Finding> {
    let is_needed = |held: &str| needed.iter().any(|need| need.eq_ignore_ascii_case(held));
    let held = claims.roles.iter().chain(&claims.scopes).map(String::as_str);
    let excess: Vec<&str> = held.filter(|held| !is_needed(held) && !is_harmless(held)).collect();
    if excess.is_empty() {
        return None;
    }
    let shown = excess.iter().take(SHOWN_MAX).copied().collect::<Vec<_>>().join(", ");
    let more = match excess.len().saturating_sub(SHOWN_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let words = format!("the token may do what no wanted subscription needs: {shown}{more}");
    Some(Finding::warning(CHECK, words, "take it from the app, or use an app of its own"))
}

/// What a sign-in of a user brings with it.
fn is_harmless(permission: &str) -> bool {
    ["openid", "profile", "email", "offline_access", "User.Read"]
        .iter()
        .any(|harmless| harmless.eq_ignore_ascii_case(permission))
}

const CHECK: Check = Check::Graph;
const SHOWN_MAX: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ChangeType;

    fn wanted(resource: &str) -> Wanted {
        Wanted {
            name: "one".to_owned(),
            resource: resource.to_owned(),
            change_types: vec![ChangeType::Updated],
            notification_url: "https://hooks.example.com/graph/notifications".to_owned(),
            lifecycle_url: "https://hooks.example.com/graph/notifications".to_owned(),
            lifetime: None,
            client_state: None,
            encryption: None,
            app_id: None,
            query_options: None,
            prefer: Vec::new(),
        }
    }

    #[track_caller]
    fn check(roles: &[&str], scopes: &[&str], resource: &str, expected: &[&str]) {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let claims = TokenClaims { roles: texts(roles), scopes: texts(scopes), ..TokenClaims::default() };
        let said: Vec<String> = permissions(&claims, &[wanted(resource)])
            .iter()
            .map(|finding| serde_json::to_string(finding).expect("a finding is JSON"))
            .collect();
        assert_eq!(said.len(), expected.len(), "{said:#?}");
        for (said, expected) in said.iter().zip(expected) {
            let (verdict, words) = expected.split_once(": ").expect("a verdict and words");
            assert!(said.contains(&format!("\"verdict\":\"{verdict}\"")) && said.contains(words), "{said}");
        }
    }

    #[test]
    fn an_app_has_roles() {
        let mail = "/users/{id}/messages";
        check(&["Mail.Read"], &[], mail, &["ok: permissions: Mail.Read"]);
        check(&["mail.read"], &[], mail, &["ok: permissions: Mail.Read"]);
        check(&[], &[], mail, &["failed: one: the token has no Mail.Read"]);
        check(
            &["Mail.ReadWrite"],
            &[],
            mail,
            &[
                "failed: Mail.ReadWrite does not count",
                "warning: no wanted subscription needs: Mail.ReadWrite",
            ],
        );
        check(
            &["Mail.Read", "Mail.Send"],
            &[],
            mail,
            &["ok: permissions: Mail.Read", "warning: needs: Mail.Send"],
        );
        check(
            &["Presence.Read.All"],
            &[],
            "/communications/presences/1",
            &["failed: only a user", "warning: P"],
        );
        check(&["Chat.Read.All"], &[], "/chats/getAllMessages", &["ok: permissions: Chat.Read.All"]);
        check(&[], &[], "/teams/1/channels/2/messages", &["warning: has no ChannelMessage.Read.All"]);
        check(&[], &[], "/teams/getAllMessages", &["failed: has no ChannelMessage.Read.All"]);
        check(&[], &[], "/nobody/knows", &[]);
    }

    #[test]
    fn a_user_gives_scopes() {
        check(
            &[],
            &["Mail.ReadBasic", "openid", "User.Read"],
            "/me/messages",
            &["ok: permissions: Mail.ReadBasic"],
        );
        check(&[], &["User.Read"], "/me/messages", &["failed: no Mail.ReadBasic or Mail.Read"]);
        check(&[], &["User.Read"], "/communications/callRecords", &["failed: only an app"]);
        check(
            &[],
            &["Presence.Read.All"],
            "/communications/presences/1",
            &["ok: permissions: Presence.Read.All"],
        );
    }
}

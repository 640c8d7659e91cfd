//! Tables: entries, items, verdicts.

use super::*;
use crate::secret::Secret;

fn entry(name: &str, secret: &str, subscriptions: &[&str], tenants: &[&str]) -> ClientState {
    ClientState {
        name: name.to_owned(),
        secret: Secret::new(secret.to_owned()),
        subscriptions: subscriptions.iter().map(|id| SubscriptionId::from((*id).to_owned())).collect(),
        tenants: tenants.iter().map(|id| TenantId::from((*id).to_owned())).collect(),
        silent_after: None,
    }
}

#[track_caller]
fn check(table: &[ClientState], item: &str, expected: Result<&str, Reason>) {
    let body = format!(r#"{{"value":[{item}]}}"#);
    let batch = Batch::parse(body.as_bytes(), 10).expect(item);
    let verified = Verifier::new(table).verify(batch);
    assert_eq!(verified.len(), 1);
    let verdict = match (verified.authentic().first(), verified.refused().first()) {
        (Some(item), _) => Ok(&*item.client_state),
        (None, Some(item)) => Err(item.reason),
        (None, None) => panic!("no verdict"),
    };
    assert_eq!(verdict, expected, "{item}");
}

#[test]
fn a_secret_admits_what_equals_it() {
    let table = [entry("old", "secret-1", &[], &[]), entry("new", "secret-2", &[], &[])];
    for (client_state, expected) in [
        (r#""secret-1""#, Ok("old")),
        (r#""secret-2""#, Ok("new")),
        (r#""\u0073ecret-1""#, Ok("old")),
        (r#""secret-""#, Err(Reason::Mismatch)),
        (r#""secret-11""#, Err(Reason::Mismatch)),
        (r#""Secret-1""#, Err(Reason::Mismatch)),
        (r#"" secret-1""#, Err(Reason::Mismatch)),
        (r#""""#, Err(Reason::Mismatch)),
        (r#""\ud800""#, Err(Reason::Mismatch)),
        ("null", Err(Reason::Missing)),
        ("1", Err(Reason::Malformed)),
        (r#"["secret-1"]"#, Err(Reason::Malformed)),
    ] {
        check(&table, &format!(r#"{{"subscriptionId":"s","clientState":{client_state}}}"#), expected);
    }
    check(&table, r#"{"subscriptionId":"s"}"#, Err(Reason::Missing));
    check(&table, r#"{"clientState":"secret-1"}"#, Err(Reason::Malformed));
    check(&table, r#"["secret-1"]"#, Err(Reason::Malformed));
}

#[test]
fn the_first_of_two_equal_entries_is_named() {
    let table = [entry("a", "same", &[], &[]), entry("b", "same", &[], &[]), entry("c", "other", &[], &[])];
    check(&table, r#"{"subscriptionId":"s","clientState":"same"}"#, Ok("a"));
    check(&table, r#"{"subscriptionId":"s","clientState":"other"}"#, Ok("c"));
}

#[test]
fn the_first_is_named_whether_or_not_it_lists_subscriptions() {
    let item = r#"{"subscriptionId":"s","clientState":"same"}"#;
    let [listing, open, other] = [("listing", &["s", "t"][..]), ("open", &[]), ("other", &["t"])]
        .map(|(name, ids)| entry(name, "same", ids, &[]));
    check(&[open.clone(), listing.clone()], item, Ok("open"));
    check(&[other.clone(), listing.clone(), open.clone()], item, Ok("listing"));
    check(&[other.clone(), open, listing], item, Ok("open"));
    check(&[other], item, Err(Reason::UnknownSubscription));
}

#[test]
fn every_item_of_a_post_is_judged_by_what_it_presents_itself() {
    let table = [entry("one", "secret-1", &[], &[]), entry("two", "secret-2", &[], &[])];
    let presented = ["secret-1", "secret-1", "secret-2", "wrong", "secret-1", "wrong", "wrong"];
    let items = presented.map(|secret| format!(r#"{{"subscriptionId":"s","clientState":"{secret}"}}"#));
    let body = format!(r#"{{"value":[{}]}}"#, items.join(","));
    let verified = Verifier::new(&table).verify(Batch::parse(body.as_bytes(), 10).expect("a batch"));
    let names: Vec<&str> = verified.authentic().iter().map(|item| &*item.client_state).collect();
    assert_eq!(names, ["one", "one", "two", "one"]);
    assert_eq!(verified.refused().len(), 3);
}

#[test]
fn an_entry_speaks_for_its_subscriptions_and_tenants() {
    let table = [entry("both", "x", &["s1", "s2"], &["t1"]), entry("tenant", "y", &[], &["t2"])];
    for (subscription, tenant, secret, expected) in [
        ("s1", Some("t1"), "x", Ok("both")),
        ("s1", None, "x", Ok("both")),
        ("s1", Some("t1"), "y", Err(Reason::Mismatch)),
        ("s1", Some("t2"), "x", Err(Reason::Mismatch)),
        ("s1", Some("t2"), "y", Ok("tenant")),
        ("s3", Some("t1"), "x", Err(Reason::UnknownSubscription)),
        ("S1", Some("t1"), "x", Err(Reason::UnknownSubscription)),
        ("s3", Some("t2"), "y", Ok("tenant")),
        ("s3", None, "y", Err(Reason::UnknownSubscription)),
        ("s1", Some("t3"), "x", Err(Reason::UnknownSubscription)),
    ] {
        let tenant = tenant.map_or(String::new(), |tenant| format!(r#","organizationId":"{tenant}""#));
        check(
            &table,
            &format!(r#"{{"subscriptionId":"{subscription}","clientState":"{secret}"{tenant}}}"#),
            expected,
        );
    }
}

#[test]
fn a_missing_secret_is_missing_whoever_sends_it() {
    check(&[entry("a", "x", &["s1"], &[])], r#"{"subscriptionId":"other"}"#, Err(Reason::Missing));
}

#[test]
fn each_item_has_its_own_verdict_and_order_is_kept() {
    let body = r#"{"value":[{"subscriptionId":"1","clientState":"x"},7,{"subscriptionId":"2","clientState":"z"},{"subscriptionId":"3","clientState":"x"}]}"#;
    let verified =
        Verifier::new(&[entry("a", "x", &[], &[])]).verify(Batch::parse(body.as_bytes(), 10).expect("JSON"));
    let ids =
        |item: &Notification<'_>| item.subscription_id.as_ref().map_or("-".to_owned(), |id| id.to_string());
    assert_eq!(
        verified.authentic().iter().map(|item| ids(&item.notification)).collect::<Vec<_>>(),
        ["1", "3"]
    );
    assert_eq!(verified.refused().iter().map(|item| ids(&item.notification)).collect::<Vec<_>>(), ["-", "2"]);
}

#[test]
fn nothing_prints_a_secret() {
    let body = r#"{"value":[{"subscriptionId":"1","clientState":"hunter2"}]}"#;
    let batch = Batch::parse(body.as_bytes(), 10).expect("JSON");
    let claim = format!("{:?}", batch.notifications[0].client_state);
    let verifier = format!("{:?}", Verifier::new(&[entry("a", "hunter2", &[], &[])]));
    assert!(!claim.contains("hunter2") && !verifier.contains("hunter2"), "{claim} {verifier}");
}

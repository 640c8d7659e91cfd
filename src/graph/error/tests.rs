//! What each status means for each operation, and what can be done about it.

use super::*;

fn refusal(status: u16, message: &str, retry_after: Option<u64>) -> Refusal {
    let envelope = ErrorEnvelope { message: message.to_owned(), ..ErrorEnvelope::default() };
    let ids = RequestIds { ours: "ours".to_owned(), graph: Some("graphs".to_owned()) };
    Refusal { status, envelope, ids, retry_after: retry_after.map(Duration::from_secs) }
}

#[test]
fn a_status_means_what_can_be_done() {
    use Operation::{Create, Delete, Get, List, Reauthorize, Update};
    for (status, operation, name, may_retry) in [
        (400, Create, "Refused", false),
        (401, Get, "Unauthorized", false),
        (403, Create, "Forbidden", false),
        (404, Get, "Gone", false),
        (404, Update, "Gone", false),
        (404, Reauthorize, "Gone", false),
        (404, Delete, "Gone", false),
        // Of a resource, and of an address that is none of Graph's.
        (404, Create, "Refused", false),
        (404, List, "Refused", false),
        (408, List, "Unavailable", true),
        (409, Create, "Conflict", false),
        (410, Update, "Refused", false),
        (429, List, "Throttled", true),
        (500, List, "Unavailable", true),
        (503, List, "Unavailable", true),
        (504, List, "Unavailable", true),
        (302, List, "Refused", false),
    ] {
        let error = refusal(status, "", None).judged(operation);
        assert!(format!("{error:?}").starts_with(name), "{status} of {operation:?}: {error:?}");
        assert_eq!(error.is_worth_a_retry(), may_retry, "{status}");
        let ids = error.request_ids().expect("it was answered");
        assert_eq!((ids.ours.as_str(), ids.graph.as_deref()), ("ours", Some("graphs")));
        let shown = error.to_string();
        assert!(shown.contains(&format!("{status} (request-id graphs, client-request-id ours)")), "{shown}");
    }
    let full = refusal(403, "Maximum number of subscriptions has been reached", None).judged(Create);
    assert!(matches!(full, GraphError::Quota(_)), "{full:?}");
}

#[test]
fn who_says_when_to_come_again_has_done_nothing() {
    for (status, retry_after, expected) in [
        (503, Some(5), false),
        (504, Some(5), false),
        (503, None, true),
        (504, None, true),
        (500, Some(5), true),
        (502, None, true),
        (408, None, true),
        (429, None, false),
        (400, None, false),
        (409, None, false),
    ] {
        assert_eq!(refusal(status, "", retry_after).is_uncertain(), expected, "{status} {retry_after:?}");
    }
}

#[test]
fn what_was_said_is_passed_on() {
    let told = refusal(429, "slow down", Some(7)).judged(Operation::List);
    assert_eq!(told.retry_after(), Some(Duration::from_secs(7)));
    let uncertain = GraphError::Uncertain { source: Arc::new(told) };
    assert_eq!(uncertain.request_ids().map(|ids| ids.ours.as_str()), Some("ours"));
    assert!(uncertain.is_worth_a_retry());
    let crowded = GraphError::Crowded { wait: Duration::from_secs(50) };
    assert_eq!((crowded.retry_after(), crowded.request_ids()), (Some(Duration::from_secs(50)), None));
}

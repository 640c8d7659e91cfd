//! What an error of Graph's means for whoever typed the command.

use crate::{
    error::Chain,
    graph::{GraphError, Refusal},
};

/// An error on one line, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("{}", said(.0))]
pub(super) struct Explained(GraphError);

/// The error as it is told.
pub(super) fn explained(error: GraphError) -> anyhow::Error {
    Explained(error).into()
}

fn said(error: &GraphError) -> String {
    let words = Chain(error).to_string();
    match advice(error) {
        Some(advice) => format!("{words}; {advice}"),
        None => words,
    }
}

/// What to do. What Graph's messages say changes without notice: they are hints.
pub(in crate::cli) fn advice(error: &GraphError) -> Option<String> {
    let words = match error {
        GraphError::Conflict { id: Some(id), .. } => {
            let id = &**id;
            return Some(format!(
                "{id} is in the way: look at it with `graphhook subscriptions get {id}`, and delete it if nobody needs it"
            ));
        }
        GraphError::Conflict { id: None, .. } => {
            "one for the same resource and change types is in the way: see `graphhook subscriptions list`"
        }
        GraphError::Refused(refusal) => return refused(refusal).map(str::to_owned),
        GraphError::Setup(_) => "look at graph.ca_file",
        GraphError::SignIn(_) => "`graphhook check` looks at the sign-in",
        GraphError::Unauthorized(_) => {
            "is the app of this tenant and of this cloud? See graph.tenant and graph.cloud"
        }
        GraphError::Forbidden(_) => "a permission is missing: `graphhook check` says which",
        GraphError::Quota(_) => {
            "delete what nobody needs: `graphhook subscriptions resources` has the quotas, and other apps use them up, too"
        }
        GraphError::Throttled(_) | GraphError::Unavailable(_) => "try again later",
        GraphError::Unreached(_) => "is there a way out to Graph, through firewalls? No proxy is used",
        GraphError::Unanswered { .. } | GraphError::Uncertain { .. } => {
            "it may have been done nevertheless: see `graphhook subscriptions list` before you try again"
        }
        GraphError::Gone(_) | GraphError::Crowded { .. } | GraphError::Answer { .. } => return None,
        GraphError::Opaque | GraphError::NoId => return None,
    };
    Some(words.to_owned())
}

fn refused(refusal: &Refusal) -> Option<&'static str> {
    let message = refusal.envelope.message.to_ascii_lowercase();
    HINTS.iter().find(|(words, _)| words.iter().any(|word| message.contains(word))).map(|(_, advice)| *advice)
}

/// The first that fits counts.
const HINTS: [(&[&str], &str); 8] = [
    (
        &["lifecyclenotificationurl is a required", "lifecyclenotificationurl is required"],
        "name a lifecycle URL, or ask for an hour at most",
    ),
    (
        &["timed out"],
        "Graph gives both URLs 10 s for the handshake: does a firewall keep it out, or server.sources? `graphhook check` \
         tries server.public_url",
    ),
    (
        &["ssl/tls", "underlying connection was closed"],
        "Graph could not agree on TLS with the host of these URLs: is the chain of certificates whole, and TLS 1.2 offered? \
         `graphhook check` looks",
    ),
    (
        &["certificate validation"],
        "the certificate of this entry of rich.keys is none that Graph takes: `graphhook check` looks at it",
    ),
    (
        &["validation request", "notification endpoint", "httprequestexception"],
        "Graph calls both URLs before it answers, and did not get its token back: does a daemon serve them, under a path of \
         server.paths, with a certificate that everybody trusts, and does no proxy ask for a login? `graphhook check` tries \
         server.public_url",
    ),
    (
        &["in the future", "beyond allowed max"],
        "ask for less: `graphhook subscriptions resources` has the longest lifetimes, and graph.lifetimes overrides them",
    ),
    (&["rich notifications"], "this resource carries no data: leave encryption_key out"),
    (&["not supported"], "`graphhook subscriptions resources` shows what can be watched, and by which paths"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{ErrorEnvelope, RequestIds};

    fn refusal(message: &str) -> Box<Refusal> {
        let envelope = ErrorEnvelope { message: message.to_owned(), ..ErrorEnvelope::default() };
        let ids = RequestIds::default();
        Box::new(Refusal { status: 400, envelope, ids, retry_after: None })
    }

    #[test]
    fn what_graph_says_has_an_answer() {
        for (message, expected) in [
            ("Subscription validation request timed out.", "10 s for the handshake"),
            (
                "Subscription validation request failed. HTTP status code is 'NotFound'. Notification endpoint must respond \
                 with 200 OK to validation request.",
                "did not get its token back",
            ),
            ("HttpRequestException: Could not create SSL/TLS secure channel.", "agree on TLS"),
            ("Subscription expiration can only be 10070 minutes in the future.", "ask for less"),
            (
                "Operation: Create; Exception: [Status Code: BadRequest; Reason: Expiration time '…' is beyond allowed max \
                 '3.00:00:00'.]",
                "ask for less",
            ),
            (
                "lifecycleNotificationUrl is a required property for subscription creation on this resource when the \
                 expirationDateTime value is set to greater than 1 hour.",
                "name a lifecycle URL",
            ),
            ("Certificate validation error: Cannot find the requested object.", "none that Graph takes"),
            ("The workload is not enabled for rich notifications.", "carries no data"),
            ("resource 'cats' is not supported.", "what can be watched"),
        ] {
            let advice = advice(&GraphError::Refused(refusal(message))).unwrap_or_default();
            assert!(advice.contains(expected), "{message:?}: {advice:?}");
        }
        assert_eq!(advice(&GraphError::Refused(refusal("Bad request."))), None);
    }

    #[test]
    fn a_conflict_names_what_is_in_the_way() {
        let error = GraphError::Conflict { id: Some("abc".to_owned().into()), refusal: refusal("exists") };
        assert!(explained(error).to_string().contains("`graphhook subscriptions get abc`"));
    }
}

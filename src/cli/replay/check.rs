//! Through the check: one POST for each message, as Graph sends them.

use std::time::Duration;

use anyhow::anyhow;
use hyper::StatusCode;

use super::{
    Goal,
    item::{Told, is_refused, put_back, told},
    tally::{Sent, Skip},
};
use crate::{
    backoff::Backoff,
    cli::capture::Item,
    envelope::properties::MessageKind,
    error::Chain,
    notification::id::MessageId,
    secret::Secret,
    simulate::{
        members::{Members, quoted},
        receiver::{PATIENT, Receiver, Unreached},
        talk::Talk,
    },
};

/// A receiver, and what stands in place of secrets that were taken out.
pub(super) struct Check {
    talk: Talk,
    client_state: Option<Secret>,
}

/// What is posted.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Ready {
    body: String,
    is_sealed: bool,
}

impl Check {
    pub(super) fn new(receiver: Receiver, client_state: Option<Secret>) -> Self {
        Self { talk: Talk::new(receiver), client_state }
    }
}

impl Goal for Check {
    type Ready = Ready;

    fn prepare(&self, item: &Item) -> Result<Ready, Skip> {
        ready(item, self.client_state.as_ref())
    }

    fn would_be(&self, ready: &Ready) -> Sent {
        if ready.is_sealed { Sent::Sealed } else { Sent::Done }
    }

    /// Again and again while it may help; Graph would go on for four hours.
    async fn send(&mut self, ready: Ready) -> anyhow::Result<Sent> {
        let mut backoff = Backoff::new(PAUSE_FIRST, PAUSE_LONGEST);
        for attempt in 1.. {
            let failed = match self.talk.notify(ready.body.clone().into(), PATIENT).await {
                Ok(answer) if answer.status.is_success() => break,
                Ok(answer) if !may_pass(answer.status) => {
                    return Err(anyhow!("the receiver answered {}", answer.status));
                }
                Ok(answer) => format!("the receiver answered {}", answer.status),
                Err(error @ (Unreached::Tls(_) | Unreached::Url)) => return Err(error.into()),
                Err(
                    error @ (Unreached::Late(_)
                    | Unreached::Connect(_)
                    | Unreached::Http(_)
                    | Unreached::Answer),
                ) => Chain(&error).to_string(),
            };
            if attempt == TRIES {
                return Err(anyhow!("{failed}, {TRIES} times"));
            }
            backoff.pause().await;
        }
        Ok(self.would_be(&ready))
    }

    async fn close(self) {}
}

/// Whether the same may be taken a little later.
fn may_pass(status: StatusCode) -> bool {
    let is_passing = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS];
    status.is_server_error() || is_passing.contains(&status)
}

/// The collection that Graph would send.
fn ready(item: &Item, client_state: Option<&Secret>) -> Result<Ready, Skip> {
    if item.kind.as_deref() == Some(MessageKind::Gap.as_str()) {
        return Err(Skip::Gap);
    }
    let body = item.body().ok_or(Skip::Bodyless)?;
    let text = std::str::from_utf8(&body).map_err(|_| Skip::NoItem)?;
    let mut members = Members::read(text).ok_or(Skip::NoItem)?;
    if members.get("decryptedContent").is_some() && !is_refused(item) {
        return Err(Skip::Opened);
    }
    let is_sealed = members.get("encryptedContent").is_some_and(|content| content != "null");
    let mut is_changed = false;
    // A refused item is judged as it came: no clientState in it is as telling as a wrong one.
    if told(&members) == Told::Masked || (told(&members) == Told::Null && !is_refused(item)) {
        put_back(item, &mut members, client_state)?;
        is_changed = true;
    }
    if let Some(id) = lost_id(item, &members) {
        members.set("id", quoted(id));
        is_changed = true;
    }
    let text = if is_changed { members.write() } else { text.to_owned() };
    Ok(Ready { body: format!("{{\"value\":[{text}]}}"), is_sealed })
}

/// The `message_id` that the receiver could not find out again.
fn lost_id<'a>(item: &'a Item, members: &Members) -> Option<&'a str> {
    let id = item.message_id.as_deref().filter(|id| MessageId::given(id).is_some())?;
    let own = members.get("id").and_then(|id| serde_json::from_str::<String>(id).ok());
    let is_known = own.is_some_and(|own| MessageId::given(&own).is_some()) || id.starts_with("sha256:");
    (!is_known).then_some(id)
}

const TRIES: u32 = 5;
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_LONGEST: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::super::item::tests::item;
    use super::*;

    #[track_caller]
    fn check(item: &Item, expected: Result<&str, Skip>) {
        let secret = Secret::new("hunter\"2".to_owned());
        let body = ready(item, Some(&secret)).map(|ready| ready.body);
        assert_eq!(body, expected.map(|text| format!("{{\"value\":[{text}]}}")));
    }

    #[test]
    fn an_item_goes_as_it_came() {
        let text = r#"{ "id": "m1", "clientState" : "s", "n":638059995676961317 }"#;
        check(&item(text, "m1"), Ok(text));
        check(&item(text, "another"), Ok(text));
        let anonymous = r#"{ "clientState":"s" }"#;
        check(&item(anonymous, "sha256:0f343b0931126a20f133d67c2b018a3b"), Ok(anonymous));
    }

    #[test]
    fn an_id_of_ours_is_kept() {
        check(&item(r#"{ "clientState":"s" }"#, "0193"), Ok(r#"{"clientState":"s","id":"0193"}"#));
        check(&item(r#"{"id":null,"clientState":"s"}"#, "0193"), Ok(r#"{"id":"0193","clientState":"s"}"#));
        check(&item(r#"{"id":7,"clientState":"s"}"#, "a\"b"), Ok(r#"{"id":"a\"b","clientState":"s"}"#));
    }

    #[test]
    fn a_secret_that_was_taken_out_is_put_back() {
        for taken in ["null", "\"[secret]\""] {
            let item = item(&format!(r#"{{"id":"m1","clientState":{taken}}}"#), "m1");
            check(&item, Ok(r#"{"id":"m1","clientState":"hunter\"2"}"#));
            assert_eq!(ready(&item, None), Err(Skip::Masked));
        }
    }

    #[test]
    fn what_was_refused_stays_as_it_was() {
        let refused = |text: &str| {
            let mut item = item(text, "m1");
            item.headers.insert("graphhook-reason".to_owned(), "mismatch".to_owned());
            item
        };
        check(&refused(r#"{"id":"m1","clientState":"[secret]"}"#), Err(Skip::MaskedRefused));
        for same in [
            r#"{"id":"m1","clientState":null}"#,
            r#"{"id":"m1","clientState":"wrong"}"#,
            r#"{"id":"m1"}"#,
            r#"{"id":"m1","clientState":"wrong","decryptedContent":1}"#,
        ] {
            check(&refused(same), Ok(same));
        }
    }

    #[test]
    fn what_graph_could_not_have_sent_is_left_out() {
        check(&item(r#"{"id":"m1","decryptedContent":{}}"#, "m1"), Err(Skip::Opened));
        check(&item("[]", "m1"), Err(Skip::NoItem));
        check(&item(r#"{}],"x":[{}"#, "m1"), Err(Skip::NoItem));
        check(&Item { kind: Some("gap".to_owned()), ..item("{}", "m1") }, Err(Skip::Gap));
        check(&Item::default(), Err(Skip::Bodyless));
        let sealed = item(r#"{"id":"m1","clientState":"s","encryptedContent":{}}"#, "m1");
        assert!(ready(&sealed, None).expect("ready").is_sealed);
    }

    #[test]
    fn only_what_may_change_is_tried_again() {
        for (status, again) in
            [(503, true), (500, true), (429, true), (408, true), (400, false), (404, false), (302, false)]
        {
            assert_eq!(may_pass(StatusCode::from_u16(status).expect("a status")), again, "{status}");
        }
    }
}

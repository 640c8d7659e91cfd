//! Turns, and what becomes of those that get none in time.

use super::*;

fn judge(turns: usize) -> Rich {
    let id = vectors()["cases"][0]["encryptedContent"]["encryptionCertificateId"].clone();
    super::judge(vec![key(id.as_str().expect("an id"))], turns)
}

/// A plain item and so many sealed ones, all of which present the right secret.
fn body(sealed: usize) -> Bytes {
    let content = &vectors()["cases"][0]["encryptedContent"];
    let item = format!(r#",{{"subscriptionId":"s","clientState":"secret","encryptedContent":{content}}}"#);
    let plain = r#"{"subscriptionId":"s","clientState":"secret"}"#;
    format!(r#"{{"value":[{plain}{}]}}"#, item.repeat(sealed)).into()
}

/// Nothing of it is believed or refused: Graph sends all of it again.
#[tokio::test(start_paused = true)]
async fn what_gets_no_turn_in_time_has_no_verdict() {
    let (judge, body) = (judge(0), body(3));
    let owed = Deadline::after(Duration::from_secs(2));
    let undecided = judge.open(verified(&body), &body, SystemTime::UNIX_EPOCH, owed).await;
    let Undecided { verified: items, reason } = undecided.expect_err("there are no turns");
    assert_eq!(reason, UndecidedReason::Late);
    assert_eq!((items.authentic().len(), items.refused().len()), (4, 0));
    assert!(items.authentic()[1..].iter().all(|item| matches!(item.resource, Resource::Sealed)));
    // What needs no turn waits for none.
    let body = self::body(0);
    let decided = judge.open(verified(&body), &body, SystemTime::UNIX_EPOCH, owed).await;
    assert_eq!(decided.expect("nothing to open").authentic().len(), 1);
}

/// One turn is enough for many, in whatever time; and all are given back.
#[tokio::test]
async fn turns_are_taken_one_after_the_other() {
    let (judge, body) = (judge(1), body(7));
    let owed = Deadline::after(Duration::from_secs(3600));
    let all = (0..3).map(|_| judge.open(verified(&body), &body, SystemTime::UNIX_EPOCH, owed));
    for opened in futures_util::future::join_all(all).await {
        let opened = opened.expect("there is time");
        let count = |opened: &Verified<'_>| {
            opened.authentic().iter().filter(|item| matches!(item.resource, Resource::Opened(_))).count()
        };
        assert_eq!((count(&opened), opened.authentic().len(), opened.refused().len()), (7, 8, 0));
    }
    assert_eq!(judge.turns.free.available_permits(), 1);
}

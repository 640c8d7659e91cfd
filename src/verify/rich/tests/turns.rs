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

/// A POST that finds others before it begins nothing; one that has nothing to open does not wait behind them.
#[tokio::test(start_paused = true)]
async fn posts_have_their_turn_in_order() {
    let (judge, body) = (judge(1), body(3));
    let owed = || Deadline::after(Duration::from_secs(2));
    let before = judge.turns.posts.acquire_many(2).await.expect("nobody closes it");
    assert_eq!(judge.turns.posts.available_permits(), 0);
    let undecided = judge.open(verified(&body), &body, SystemTime::UNIX_EPOCH, owed()).await;
    assert_eq!(undecided.expect_err("others are before it").reason, UndecidedReason::Late);
    assert_eq!(judge.uses[0].last(), 0);
    let nothing = self::body(0);
    let decided = judge.open(verified(&nothing), &nothing, SystemTime::UNIX_EPOCH, owed()).await;
    assert_eq!(decided.expect("nothing to open").authentic().len(), 1);
    drop(before);
    tokio::time::resume();
    let opened = judge.open(
        verified(&body),
        &body,
        SystemTime::UNIX_EPOCH,
        Deadline::after(Duration::from_secs(3600)),
    );
    assert_eq!(opened.await.expect("it is its turn").authentic().len(), 4);
}

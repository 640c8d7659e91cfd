//! Each operation, as it goes well, and what Graph may answer instead.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use graphhook::graph::subscription::Change;
use graphhook::graph::{Deleted, Graph, GraphError};
use graphhook::notification::id::SubscriptionId;
use graphhook::simulate::api::{Fault, Operation};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::{Request, Response};
use tokio::time::Instant;

use super::{Desk, STATE, nothing_known};
use crate::support::site::{Content, Site, answer};

#[tokio::test]
async fn a_subscription_goes_through_its_life() {
    let desk = Desk::open().await;
    let graph = desk.graph().await;
    let new = desk.new_of("a");
    let made = graph.create(&new, &nothing_known()).await.expect("it is created");
    assert_eq!(
        (made.resource.as_str(), &made.notification_url),
        ("/users/a/messages", &new.notification_url)
    );
    assert_eq!(made.client_state.as_ref().map(|state| state.expose()), Some(STATE));
    let got = graph.get(&made.id).await.expect("it is there");
    assert_eq!(got.id, made.id);
    let listed = graph.list().await.expect("a list");
    assert_eq!(listed.len(), 1);
    assert!(listed[0].client_state.is_none(), "lists do not tell it");

    let end = desk.in_minutes(600);
    let renewed = Change { expiration_date_time: Some(end), ..Change::default() };
    let renewed = graph.update(&made.id, &renewed).await.expect("it is renewed");
    assert!(renewed.expiration_date_time > made.expiration_date_time + Duration::from_secs(8 * 3600));
    graph.reauthorize(&made.id).await.expect("it goes on");
    assert_eq!(graph.delete(&made.id).await.expect("it is deleted"), Deleted::Now);
    assert_eq!(graph.delete(&made.id).await.expect("that is no error"), Deleted::WasGone);
    for gone in [graph.get(&made.id).await.map(drop), graph.reauthorize(&made.id).await] {
        assert!(matches!(gone, Err(GraphError::Gone(_))), "{gone:?}");
    }

    // Every call had an id of its own, and one token did for all.
    let calls = desk.stand.api.journal();
    let ours: HashSet<_> = calls.iter().filter_map(|call| call.client_request_id.clone()).collect();
    let asked = calls.iter().filter(|call| call.operation != Operation::Token).count();
    assert_eq!((ours.len(), asked, desk.calls(Operation::Token).len()), (9, 9, 1));
    assert!(ours.iter().all(|id| uuid::Uuid::try_parse(id).is_ok()), "{ours:?}");
    assert_eq!(desk.metric(r#"graphhook_graph_requests_total{operation="delete",result="ok"}"#), 1);
    assert_eq!(desk.metric(r#"graphhook_graph_requests_total{operation="delete",result="gone"}"#), 1);
    assert_eq!(desk.metric("graphhook_graph_request_duration_seconds_count"), 9);
}

#[tokio::test]
async fn an_error_has_the_ids_that_graph_knows_it_by() {
    let desk = Desk::open().await;
    let graph = desk.graph().await;
    let error = graph.get(&id("00000002-0000-4000-8000-000000000002")).await.expect_err("there is none");
    let ids = error.request_ids().expect("it was answered").clone();
    let call = desk.calls(Operation::Get).pop().expect("it came");
    assert_eq!(call.client_request_id.as_ref(), Some(&ids.ours));
    assert_eq!(Some(call.request_id), ids.graph);
    let shown = error.to_string();
    assert!(shown.contains("ResourceNotFound") && shown.contains(&ids.ours), "{shown}");
}

#[tokio::test]
async fn all_pages_are_read() {
    let desk = Desk::open().await;
    let graph = desk.graph().await;
    let mut made = HashSet::new();
    for user in ["a", "b", "c", "d", "e"] {
        made.insert(graph.create(&desk.new_of(user), &nothing_known()).await.expect("it is created").id);
    }
    desk.stand.api.set(|settings| settings.page_size = 2);
    let listed: HashSet<_> = graph.list().await.expect("a list").into_iter().map(|one| one.id).collect();
    assert_eq!(listed, made);
    assert_eq!(desk.calls(Operation::List).len(), 3);
}

/// Somebody who would like to have our token.
#[derive(Default)]
struct Collector(Mutex<Vec<String>>);

impl Content for Collector {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        self.0.lock().expect("nobody panics with it held").push(request.uri().to_string());
        answer(200, r#"{"value":[]}"#)
    }
}

#[tokio::test]
async fn a_link_to_another_host_is_not_followed_and_half_a_list_is_none() {
    let desk = Desk::open().await;
    let graph = desk.graph().await;
    for user in ["a", "b"] {
        graph.create(&desk.new_of(user), &nothing_known()).await.expect("it is created");
    }
    let collector = Arc::<Collector>::default();
    let elsewhere = Site::open(None, |_| Arc::clone(&collector)).await;
    desk.stand.api.set(|settings| {
        settings.page_size = 1;
        settings.next_link_origin = Some(elsewhere.origin.clone());
    });
    let error = graph.list().await.expect_err("half a list is none");
    assert!(matches!(error, GraphError::Answer { .. }) && error.to_string().contains("elsewhere"), "{error}");
    assert_eq!(collector.0.lock().expect("nobody panics with it held").as_slice(), &[] as &[String]);
    assert_eq!(desk.calls(Operation::List).len(), 1);
}

#[tokio::test]
async fn what_graph_does_not_want_is_told_by_what_can_be_done() {
    let desk = Desk::open().await;
    let graph = desk.graph().await;
    let first = graph.create(&desk.new_of("a"), &nothing_known()).await.expect("it is created");
    let twin = graph.create(&desk.new_of("a"), &nothing_known()).await;
    let Err(GraphError::Conflict { id, .. }) = &twin else { panic!("{twin:?}") };
    assert!(id.as_ref().is_none_or(|id| *id == first.id), "{id:?}");

    let mut long = desk.new_of("b");
    long.expiration_date_time = desk.in_minutes(20_000);
    let refused = graph.create(&long, &nothing_known()).await.expect_err("that is too long");
    assert!(
        matches!(refused, GraphError::Refused(_)) && refused.to_string().contains("minutes"),
        "{refused}"
    );

    let mut unheard = desk.new_of("b");
    unheard.notification_url = "https://127.0.0.1:1/".to_owned();
    let refused = graph.create(&unheard, &nothing_known()).await.expect_err("nobody is there");
    assert!(
        matches!(refused, GraphError::Refused(_)) && refused.to_string().contains("validation"),
        "{refused}"
    );

    desk.stand.api.set(|settings| settings.quota = 1);
    let full = graph.create(&desk.new_of("b"), &nothing_known()).await.expect_err("there is one");
    assert!(matches!(full, GraphError::Quota(_)), "{full}");
    // None of this was worth a second try, or a look.
    assert_eq!((desk.calls(Operation::Create).len(), desk.calls(Operation::List).len()), (5, 0));
    assert_eq!(desk.metric(r#"graphhook_graph_requests_total{operation="create",result="refused"}"#), 4);
}

#[tokio::test]
async fn what_is_no_id_is_not_sent() {
    let desk = Desk::open().await;
    let graph = desk.graph().await;
    for text in ["", "..", "a/b", "a?b", "a%2fb", "\u{e4}", &"x".repeat(129)] {
        let error = graph.delete(&id(text)).await.expect_err("that is no id");
        assert!(matches!(error, GraphError::NoId), "{text}: {error}");
    }
    assert!(desk.stand.api.journal().is_empty());
}

#[tokio::test]
async fn graph_says_when_to_come_again() {
    let desk = Desk::open().await;
    let graph = desk.graph().await;
    graph.list().await.expect("a list");
    for status in [429, 503, 504] {
        desk.stand.api.forget();
        desk.stand.api.fail(Fault::status_retry_after(Operation::List, status, 3));
        let begun = Instant::now();
        graph.list().await.expect("the second try is good");
        let took = begun.elapsed();
        assert!((3..8).contains(&took.as_secs()), "{status}: {took:?}");
        assert_eq!(desk.calls(Operation::List).len(), 2, "{status}");
    }
    for seconds in [3_600, u64::MAX] {
        desk.stand.api.forget();
        desk.stand.api.fail(Fault::status_retry_after(Operation::List, 429, seconds));
        let error = graph.list().await.expect_err("nobody waits for so long");
        assert!(matches!(error, GraphError::Throttled(_)), "{error}");
        assert_eq!(error.retry_after(), Some(Duration::from_secs(seconds)));
        assert_eq!(desk.calls(Operation::List).len(), 1);
    }
}

#[tokio::test]
async fn three_tries_are_enough() {
    let desk = Desk::open().await;
    let graph = desk.graph().await;
    desk.stand.api.fail(Fault::status(Operation::Get, 500).times(9));
    let error = graph.get(&id("a")).await.expect_err("it never works");
    assert!(matches!(error, GraphError::Unavailable(_)), "{error}");
    assert_eq!(desk.calls(Operation::Get).len(), 3);
    assert_eq!(desk.metric(r#"graphhook_graph_requests_total{operation="get",result="unavailable"}"#), 3);
}

#[tokio::test]
async fn the_clock_is_compared_with_graphs() {
    let desk = Desk::open().await;
    let graph = desk.graph().await;
    assert_eq!(graph.clock_offset(), None);
    graph.list().await.expect("a list");
    assert_eq!(graph.clock_offset().expect("an answer came").seconds(), 0);
    desk.stand.api.advance(Duration::from_secs(600));
    graph.list().await.expect("a list");
    let ahead = graph.clock_offset().expect("an answer came").seconds();
    assert!((590..=600).contains(&ahead), "{ahead}");
    assert_eq!(desk.metric("graphhook_graph_clock_offset_seconds"), ahead);
}

#[tokio::test]
async fn who_cannot_be_believed_is_told_nothing() {
    let desk = Desk::open().await;
    let mut settings = desk.settings(super::by_secret());
    // Another authority than the stand-in's.
    settings.ca_file = Some(desk.directory.path().join("ca.pem"));
    let graph = desk.graph_by(&settings).await;
    let error = graph.list().await.expect_err("it is not believed");
    assert!(matches!(error, GraphError::SignIn(_)), "{error}");
    assert!(desk.stand.api.journal().is_empty());
    settings.ca_file = Some(desk.directory.path().join("none.pem"));
    let none = Graph::new(&settings, Arc::clone(&desk.metrics)).await.expect_err("there is no such file");
    assert!(matches!(none, GraphError::Setup(_)), "{none}");
}

fn id(text: &str) -> SubscriptionId<'static> {
    text.to_owned().into()
}

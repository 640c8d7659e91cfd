//! `dev --simulate`: Graph's part played against the server, each scene judged.

use std::{net::SocketAddr, sync::PoisonError, time::Duration};

use anyhow::{Context, bail};
use hyper::StatusCode;
use rustls::pki_types::CertificateDer;

use super::{Delivered, say};
use crate::{
    backoff::Backoff,
    deadline::Deadline,
    metrics::{Books, Metrics},
    secret::Secret,
    simulate::{Event, Graph, Item, collection, handshake_token},
    verify::Reason,
};

/// Everything the play needs.
pub(super) struct Rehearsal<'a> {
    pub(super) address: SocketAddr,
    pub(super) certificate: CertificateDer<'static>,
    pub(super) secret: &'a Secret,
    pub(super) delivered: &'a Delivered,
    pub(super) metrics: &'a Metrics,
}

/// A scene: what Graph sends, and what must come of it.
struct Scene<'a> {
    name: &'a str,
    items: Vec<Item<'a>>,
    /// Routing key and message id of what must come out of the queue, in order.
    delivered: Vec<(&'a str, &'a str)>,
    /// Reasons of what must be refused.
    refused: Vec<Reason>,
}

impl Rehearsal<'_> {
    /// Plays all scenes. An error when one of them came out wrong.
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let mut graph = Graph::connect(self.address, self.certificate.clone()).await?;
        let mut right = self.handshake(&mut graph).await?;
        for scene in scenes(self.secret.expose()) {
            right &= self.play(&mut graph, &scene).await?;
        }
        right &= self.balance();
        if !right {
            bail!("not everything came out right");
        }
        say("everything came out right");
        Ok(())
    }

    async fn handshake(&self, graph: &mut Graph) -> anyhow::Result<bool> {
        let (token, encoded) = handshake_token("25460109-0e8b-4521-8090-dd691b407ed8");
        let target = format!("{NOTIFICATIONS}?validationToken={encoded}");
        let answer = graph.post(&target, "text/plain; charset=utf-8", String::new()).await?;
        let right = answer.status == StatusCode::OK
            && answer.body == token
            && answer.content_type.as_deref() == Some("text/plain; charset=utf-8");
        report(
            right,
            "handshake",
            &format!("{}, the token came back decoded: {right}", answer.status.as_u16()),
        );
        Ok(right)
    }

    async fn play(&self, graph: &mut Graph, scene: &Scene<'_>) -> anyhow::Result<bool> {
        let before = Reason::ALL.map(|reason| self.metrics.refused.get(reason));
        self.delivered.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let answer =
            graph.post(NOTIFICATIONS, "application/json; charset=utf-8", collection(&scene.items)).await;
        let status = answer.context("no answer")?.status;

        let delivered = self.delivered(scene.delivered.len()).await;
        let mut refused = Vec::new();
        for (reason, before) in Reason::ALL.into_iter().zip(before) {
            refused.extend((before..self.metrics.refused.get(reason)).map(|_| reason));
        }
        let expected = scene.delivered.iter().map(|(key, id)| ((*key).to_owned(), (*id).to_owned()));
        let right = status == StatusCode::ACCEPTED
            && expected.eq(delivered.iter().cloned())
            && refused == scene.refused;
        let mut words = vec![status.as_u16().to_string()];
        words.extend(delivered.iter().map(|(key, id)| format!("accepted {id} as {key}")));
        words.extend(refused.iter().map(|reason| format!("refused one: {}", reason.as_str())));
        report(right, scene.name, &words.join(", "));
        Ok(right)
    }

    /// What came out of the spool, once as much as expected has, or nothing more comes.
    async fn delivered(&self, expected: usize) -> Vec<(String, String)> {
        let all = async {
            let mut pause = Backoff::new(LOOK_AFTER, LOOK_AFTER);
            while self.delivered.lock().unwrap_or_else(PoisonError::into_inner).len() < expected {
                pause.pause().await;
            }
        };
        // Whether it came out right is judged by what is there.
        Deadline::after(DELIVERED_WITHIN).limit(all).await.ok();
        self.delivered.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Every item sent has exactly one outcome.
    fn balance(&self) -> bool {
        let Books { received, spooled, refused, .. } = self.metrics.books();
        let right = received == spooled + refused && received > 0;
        report(right, "equation", &format!("{received} received = {spooled} spooled + {refused} refused"));
        right
    }
}

fn scenes(secret: &str) -> [Scene<'_>; 4] {
    let item = |id, subscription, tenant, client_state, event| Item {
        id,
        subscription,
        tenant,
        client_state,
        event,
    };
    let (ours, [mail, calendar, files], [contoso, fabrikam]) = (Some(secret), SUBSCRIPTIONS, TENANTS);
    [
        Scene {
            name: "one item",
            items: vec![item("one-1", mail, contoso, ours, Event::Message("created"))],
            delivered: vec![("notification.message.created", "one-1")],
            refused: vec![],
        },
        Scene {
            name: "batch",
            items: vec![
                item("batch-1", mail, contoso, ours, Event::Message("created")),
                item("batch-2", calendar, contoso, ours, Event::Message("updated")),
                item("batch-3", files, fabrikam, ours, Event::Message("deleted")),
                item("batch-4", mail, contoso, ours, Event::Message("updated")),
            ],
            delivered: vec![
                ("notification.message.created", "batch-1"),
                ("notification.message.updated", "batch-2"),
                ("notification.message.deleted", "batch-3"),
                ("notification.message.updated", "batch-4"),
            ],
            refused: vec![],
        },
        Scene {
            name: "forgery",
            items: vec![
                item("forged-1", mail, contoso, Some("a guess"), Event::Message("created")),
                item("genuine-1", mail, contoso, ours, Event::Message("created")),
                item("forged-2", mail, contoso, None, Event::Message("created")),
            ],
            delivered: vec![("notification.message.created", "genuine-1")],
            refused: vec![Reason::Missing, Reason::Mismatch],
        },
        Scene {
            name: "lifecycle",
            items: vec![item("life-1", mail, contoso, ours, Event::Lifecycle("reauthorizationRequired"))],
            delivered: vec![("lifecycle.subscription.reauthorizationRequired", "life-1")],
            refused: vec![],
        },
    ]
}

fn report(right: bool, scene: &str, words: &str) {
    say(&format!("{:<6} {scene:<10} {words}", if right { "ok" } else { "WRONG" }));
}

/// Time for the spool to hand out what it took.
const DELIVERED_WITHIN: Duration = Duration::from_secs(5);
const LOOK_AFTER: Duration = Duration::from_millis(5);
const NOTIFICATIONS: &str = "/graph/notifications";
const SUBSCRIPTIONS: [&str; 3] = [
    "00000001-0000-4000-8000-000000000001",
    "00000002-0000-4000-8000-000000000002",
    "00000003-0000-4000-8000-000000000003",
];
const TENANTS: [&str; 2] = ["8afd02d6-ebdd-4270-a515-c749898ea5c5", "9f4ebab6-520d-49c0-85cc-7b25c78d4a93"];

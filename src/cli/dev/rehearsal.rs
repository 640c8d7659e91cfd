//! `dev --simulate`: Graph's part played against the server, each scene judged.

use std::{
    net::SocketAddr,
    sync::{Arc, PoisonError},
    time::Duration,
};

use anyhow::{Context, bail};
use hyper::StatusCode;
use rustls::{RootCertStore, pki_types::CertificateDer};

use super::{Delivered, item, say};
use crate::{
    backoff::Backoff,
    client::tls,
    deadline::Deadline,
    metrics::{Books, Metrics},
    secret::Secret,
    simulate::{
        handshake_token,
        receiver::{Line, PROMPT, Receiver},
        template::{OTHER_TENANT, TENANT, Tokens, collection},
    },
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
    items: Vec<String>,
    /// Routing key and message id of what must come out of the queue, in order.
    delivered: Vec<(&'a str, &'a str)>,
    /// Reasons of what must be refused.
    refused: Vec<Reason>,
}

impl Rehearsal<'_> {
    /// Plays all scenes. An error when one of them came out wrong.
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let graph = self.receiver()?;
        let mut line = graph.open().await?;
        let mut right = handshake(&graph, &mut line).await?;
        for scene in scenes(self.secret.expose()) {
            right &= self.play(&graph, &mut line, &scene).await?;
        }
        right &= self.balance();
        if !right {
            bail!("not everything came out right");
        }
        say("everything came out right");
        Ok(())
    }

    fn receiver(&self) -> anyhow::Result<Receiver> {
        let mut trusted = RootCertStore::empty();
        trusted.add(self.certificate.clone())?;
        let url = format!("https://{}{NOTIFICATIONS}", self.address).parse()?;
        Ok(Receiver::new(url, Arc::new(tls(trusted)), None))
    }

    async fn play(&self, graph: &Receiver, line: &mut Line, scene: &Scene<'_>) -> anyhow::Result<bool> {
        let before = Reason::ALL.map(|reason| self.metrics.refused.get(reason));
        self.delivered.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let post = graph.notification(collection(&scene.items, Tokens::None).into());
        let status = line.post(&post, PROMPT).await.context("no answer")?.status;

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

async fn handshake(graph: &Receiver, line: &mut Line) -> anyhow::Result<bool> {
    let (token, encoded) = handshake_token("25460109-0e8b-4521-8090-dd691b407ed8");
    let answer = line.post(&graph.handshake(&encoded), PROMPT).await?;
    let right = answer.status == StatusCode::OK
        && answer.body == token.as_bytes()
        && answer.content_type() == Some("text/plain; charset=utf-8");
    report(right, "handshake", &format!("{}, the token came back decoded: {right}", answer.status.as_u16()));
    Ok(right)
}

fn scenes(secret: &str) -> [Scene<'_>; 4] {
    let message = |id, subscription, tenant, client_state, change| {
        item("message", change, id, client_state, subscription, tenant)
    };
    let (ours, [mail, calendar, files]) = (Some(secret), SUBSCRIPTIONS);
    [
        Scene {
            name: "one item",
            items: vec![message("one-1", mail, TENANT, ours, "created")],
            delivered: vec![("notification.message.created", "one-1")],
            refused: vec![],
        },
        Scene {
            name: "batch",
            items: vec![
                message("batch-1", mail, TENANT, ours, "created"),
                message("batch-2", calendar, TENANT, ours, "updated"),
                message("batch-3", files, OTHER_TENANT, ours, "deleted"),
                message("batch-4", mail, TENANT, ours, "updated"),
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
                message("forged-1", mail, TENANT, Some("a guess"), "created"),
                message("genuine-1", mail, TENANT, ours, "created"),
                message("forged-2", mail, TENANT, None, "created"),
            ],
            delivered: vec![("notification.message.created", "genuine-1")],
            refused: vec![Reason::Missing, Reason::Mismatch],
        },
        Scene {
            name: "lifecycle",
            items: vec![item("lifecycle", "reauthorizationRequired", "life-1", ours, mail, TENANT)],
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

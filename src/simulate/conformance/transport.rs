//! TLS and HTTP: what Graph speaks, and what may stand between it and the receiver.

use futures_util::{FutureExt, future::BoxFuture};
use rustls::{
    SupportedProtocolVersion,
    version::{TLS12, TLS13},
};

use super::{
    case::{
        Case, Need, Play, must, should,
        sources::{HTTP, HTTP_1, PROCESSING, SUBSCRIPTION, TLS},
    },
    judge::{DELIVERED, Judge},
    shot::{Reply, Shot, Wire},
    stage::Stage,
    wire,
};
use crate::simulate::receiver::Unreached;

pub(super) const CASES: &[Case] = &[
    must(
        "transport/tls-1.2",
        "TLS 1.2 is offered: Graph has failed where there was 1.3 alone",
        TLS,
        Play::Own(tls_12),
        &[Judge::TokenOrTwoXx],
    )
    .needing(Need::Tls),
    should(
        "transport/tls-1.3",
        "TLS 1.3 is offered as well",
        SUBSCRIPTION,
        Play::Own(tls_13),
        &[Judge::TokenOrTwoXx],
    )
    .needing(Need::Tls),
    should(
        "transport/keep-alive",
        "the connection stays open for the next POST",
        HTTP_1,
        Play::Line(|stage| vec![stage.good(), stage.good(), stage.good()]),
        &[Judge::TwoXx, Judge::KeepsLine],
    ),
    should(
        "transport/handshake-and-post",
        "a handshake and a POST on one connection",
        HTTP_1,
        Play::Line(|stage| vec![stage.today(), stage.good(), stage.today()]),
        &[Judge::TokenOrTwoXx],
    ),
    should(
        "transport/chunked",
        "a body in chunks, without its length",
        HTTP_1,
        Play::Each(|stage| vec![stage.good().over(Wire::Chunked)]),
        DELIVERED,
    ),
    should(
        "transport/slow-body",
        "a body that takes almost a second to arrive",
        HTTP,
        Play::Each(|stage| vec![stage.good().over(Wire::Slow)]),
        DELIVERED,
    ),
    should(
        "transport/expect-continue",
        "Expect: 100-continue before the body",
        HTTP,
        Play::Each(|stage| vec![stage.good().over(Wire::Expecting)]),
        DELIVERED,
    ),
    must(
        "transport/names-of-fields",
        "Content-Type or content-type: names of fields have no case",
        HTTP,
        Play::Each(|stage| vec![stage.good(), stage.good().over(Wire::TitleCase)]),
        DELIVERED,
    ),
    should(
        "transport/own-query",
        "a query that the URL has already comes with each POST",
        PROCESSING,
        Play::Each(own_query),
        DELIVERED,
    ),
    should(
        "transport/trace-context",
        "fields that proxies add do no harm",
        HTTP,
        Play::Each(|stage| {
            vec![Shot {
                header: Some(("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")),
                ..stage.good()
            }]
        }),
        DELIVERED,
    ),
];

fn own_query(stage: &Stage) -> Vec<Shot> {
    vec![stage.with_query(stage.good(), "team=a%20b&empty=")]
}

fn tls_12(stage: &Stage) -> BoxFuture<'_, Vec<Reply>> {
    over(stage, &TLS12).boxed()
}

fn tls_13(stage: &Stage) -> BoxFuture<'_, Vec<Reply>> {
    over(stage, &TLS13).boxed()
}

/// A handshake and a notification over this version alone.
async fn over(stage: &Stage, version: &'static SupportedProtocolVersion) -> Vec<Reply> {
    let shot = stage.today();
    let config = match stage.trust.config_for(&[version]) {
        Ok(config) => config,
        Err(error) => return vec![shot.reply(Err(Unreached::Tls(std::io::Error::other(error))), false)],
    };
    let receiver = stage.receiver.with_tls(config);
    vec![wire::fire_at(&receiver, &shot).await, wire::fire_at(&receiver, &stage.good()).await]
}

//! Items whose clientState is not the one that was agreed on.
//!
//! They are not valid, and still the answer is a 2xx: a 401 or 403 makes Graph repeat the whole POST, its genuine items
//! included, and tells a forger when a guess was right.

use super::{
    case::{
        Case, Need, Play, must, should,
        sources::{ITEM, PROCESSING},
    },
    judge::{DELIVERED, Judge},
    shot::Shot,
    stage::Stage,
};
use crate::{
    secret::Secret,
    simulate::{forgery::Forgery, members::quoted, template::fresh_id},
};

pub(super) const CASES: &[Case] = &[
    must(
        "client-state/genuine",
        "an item with the clientState that was agreed on",
        PROCESSING,
        Play::Each(|stage| vec![stage.good()]),
        DELIVERED,
    )
    .needing(Need::ClientState),
    must(
        "client-state/wrong",
        "another text",
        PROCESSING,
        Play::Each(|stage| forged(stage, Forgery::Wrong)),
        DELIVERED,
    ),
    must(
        "client-state/missing",
        "no clientState: it is optional",
        ITEM,
        Play::Each(|stage| forged(stage, Forgery::Missing)),
        DELIVERED,
    ),
    must("client-state/null", "null", ITEM, Play::Each(|stage| forged(stage, Forgery::Null)), DELIVERED),
    must(
        "client-state/empty",
        "an empty text",
        PROCESSING,
        Play::Each(|stage| forged(stage, Forgery::Empty)),
        DELIVERED,
    ),
    should(
        "client-state/number",
        "a number",
        ITEM,
        Play::Each(|stage| forged(stage, Forgery::Number)),
        DELIVERED,
    ),
    should(
        "client-state/boolean",
        "true",
        ITEM,
        Play::Each(|stage| forged(stage, Forgery::Boolean)),
        DELIVERED,
    ),
    should(
        "client-state/array",
        "an array, with the right one in it",
        ITEM,
        Play::Each(|stage| forged(stage, Forgery::Array)),
        DELIVERED,
    ),
    should(
        "client-state/object",
        "an object, with the right one in it",
        ITEM,
        Play::Each(|stage| forged(stage, Forgery::Object)),
        DELIVERED,
    ),
    must(
        "client-state/case",
        "the right letters in another case",
        PROCESSING,
        Play::Each(|stage| forged(stage, Forgery::Case)),
        DELIVERED,
    )
    .needing(Need::ClientState),
    must(
        "client-state/prefix",
        "the right one without its last letter",
        PROCESSING,
        Play::Each(|stage| forged(stage, Forgery::Prefix)),
        DELIVERED,
    )
    .needing(Need::ClientState),
    must(
        "client-state/longer",
        "the right one with a letter behind it",
        PROCESSING,
        Play::Each(|stage| forged(stage, Forgery::Longer)),
        DELIVERED,
    )
    .needing(Need::ClientState),
    must(
        "client-state/space",
        "the right one with a space behind it",
        PROCESSING,
        Play::Each(|stage| forged(stage, Forgery::Space)),
        DELIVERED,
    )
    .needing(Need::ClientState),
    should(
        "client-state/nul",
        "the right one with U+0000 behind it",
        PROCESSING,
        Play::Each(|stage| forged(stage, Forgery::Nul)),
        DELIVERED,
    )
    .needing(Need::ClientState),
    must(
        "client-state/longest",
        "255 characters, the most that an item can have",
        ITEM,
        Play::Each(|stage| with(stage, "255 characters", &"x".repeat(255))),
        DELIVERED,
    ),
    should(
        "client-state/letters-of-the-world",
        "letters that are not ASCII: a comparison of bytes must not stumble",
        ITEM,
        Play::Each(|stage| with(stage, "not ASCII", "é名🙂é名🙂")),
        DELIVERED,
    ),
    must(
        "client-state/mixed",
        "genuine and forged items in a POST: the genuine ones must not come again for the others' sake",
        PROCESSING,
        Play::Each(mixed),
        DELIVERED,
    ),
    must(
        "client-state/unknown-subscription",
        "the first item may come before the receiver knows the subscription's id",
        PROCESSING,
        Play::Each(|stage| vec![stranger(stage)]),
        DELIVERED,
    ),
    should(
        "client-state/tells-nothing",
        "status, header and body are the same for genuine items and for forged ones",
        PROCESSING,
        Play::Each(told),
        &[Judge::SameAsGenuine],
    )
    .needing(Need::ClientState),
    should(
        "client-state/subscriptions-stay-unknown",
        "and for subscriptions that are not there",
        PROCESSING,
        Play::Each(|stage| vec![genuine(stage), genuine(stage), stranger(stage)]),
        &[Judge::SameAsGenuine],
    )
    .needing(Need::ClientState),
];

fn forged(stage: &Stage, forgery: Forgery) -> Vec<Shot> {
    vec![shot(stage, forgery)]
}

fn shot(stage: &Stage, forgery: Forgery) -> Shot {
    stage.post(&[item(stage, forgery)]).called(&format!("clientState: {forgery}"))
}

fn item(stage: &Stage, forgery: Forgery) -> String {
    let secret = stage.client_state.as_ref().map(Secret::expose);
    forgery.forge(&stage.message(), secret).expect("a template is an object")
}

/// An item with this clientState, which is not the one that was agreed on.
fn with(stage: &Stage, words: &str, client_state: &str) -> Vec<Shot> {
    let item = stage.changed(|item| item.set("clientState", quoted(client_state)));
    vec![stage.post(&[item]).called(&format!("clientState: {words}"))]
}

fn mixed(stage: &Stage) -> Vec<Shot> {
    let mut items = vec![stage.message()];
    items.extend(Forgery::ALL.map(|forgery| item(stage, forgery)));
    items.push(stage.message());
    vec![stage.post(&items).called("genuine items and forged ones")]
}

fn stranger(stage: &Stage) -> Shot {
    stage
        .post(&[stage.item_of("message", "created", &fresh_id(), &stage.tenant)])
        .called("another subscription")
}

fn genuine(stage: &Stage) -> Shot {
    stage.good().called("genuine")
}

/// Two genuine ones, which show what is the same each time, and each forgery.
fn told(stage: &Stage) -> Vec<Shot> {
    let mut shots = vec![genuine(stage), genuine(stage)];
    shots.extend(Forgery::ALL.map(|forgery| shot(stage, forgery)));
    shots
}

//! The two calls that give a subscription a fresh token, which must not come within ten minutes of each other; and what is
//! written down of them, for the daemon, too.

use std::time::SystemTime;

use super::session::{Named, Session};
use crate::{
    cli::words,
    graph::subscription::Subscription,
    subscriptions::state::{Touch, TouchKind},
};

/// Refuses the call when the other one was made a short while ago.
pub(super) fn allow(named: &Named, kind: TouchKind, force: bool, now: SystemTime) -> anyhow::Result<()> {
    let touch = named.kept.as_ref().and_then(|kept| kept.touch);
    let Some(touch) = touch.filter(|touch| touch.forbids(kind, now) && !force) else {
        return Ok(());
    };
    let (ago, other) = (now.duration_since(touch.at).unwrap_or_default(), call(touch.kind));
    let wait = touch.ends().duration_since(now).unwrap_or_default();
    anyhow::bail!(
        "{} had a {other} {} ago, and a {} within ten minutes may leave it inconsistent: wait for {}, or say --force",
        named.called(),
        words::brief(ago),
        call(kind),
        words::brief(wait)
    )
}

fn call(kind: TouchKind) -> &'static str {
    match kind {
        TouchKind::Patch => "PATCH",
        TouchKind::Reauthorize => "reauthorize",
    }
}

impl Session {
    /// Writes down that the call is about to be made.
    pub(super) async fn begin(&self, named: &Named, kind: TouchKind) -> anyhow::Result<()> {
        let touch = Touch { kind, at: SystemTime::now(), is_done: false };
        self.touched(named, touch, None).await
    }

    /// Writes down that it was made, and what Graph said of the subscription.
    pub(super) async fn done(
        &self,
        named: &Named,
        kind: TouchKind,
        said: Option<&Subscription>,
    ) -> anyhow::Result<()> {
        let touch = Touch { kind, at: SystemTime::now(), is_done: true };
        self.touched(named, touch, said.cloned()).await
    }

    async fn touched(&self, named: &Named, touch: Touch, said: Option<Subscription>) -> anyhow::Result<()> {
        let Some(name) = named.kept.as_ref().map(|kept| kept.name.clone()) else { return Ok(()) };
        let id = named.id.clone();
        let change = move |state: &mut crate::subscriptions::state::State| {
            let kept = state.named_mut(&name);
            // A daemon may have put another one in its place meanwhile.
            let Some(kept) = kept.filter(|kept| kept.live().is_some_and(|live| live.id == id)) else {
                return;
            };
            kept.touch = Some(touch);
            if let Some(said) = &said {
                kept.is_now(said, touch.at);
            }
        };
        self.update(change).await.map(drop)
    }
}

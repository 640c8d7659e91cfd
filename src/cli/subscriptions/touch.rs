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
    match touch.filter(|touch| touch.forbids(kind, now) && !force) {
        Some(touch) => refuse(named, touch, kind, now),
        None => Ok(()),
    }
}

fn refuse(named: &Named, touch: Touch, kind: TouchKind, now: SystemTime) -> anyhow::Result<()> {
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
    /// Writes down that the call is about to be made, unless a daemon has made the other one since we looked.
    pub(super) async fn begin(&self, named: &Named, kind: TouchKind, force: bool) -> anyhow::Result<()> {
        let now = SystemTime::now();
        let touch = Touch { kind, at: now, is_done: false };
        let may = move |before: Touch| force || !before.forbids(kind, now);
        match self.touched(named, touch, None, may).await? {
            Some(other) => refuse(named, other, kind, now),
            None => Ok(()),
        }
    }

    /// Writes down that it was made, and what Graph said of the subscription.
    pub(super) async fn done(
        &self,
        named: &Named,
        kind: TouchKind,
        said: Option<&Subscription>,
    ) -> anyhow::Result<()> {
        let touch = Touch { kind, at: SystemTime::now(), is_done: true };
        self.touched(named, touch, said.cloned(), |_| true).await.map(drop)
    }

    /// Returns the call of before, if it stands in the way.
    async fn touched(
        &self,
        named: &Named,
        touch: Touch,
        said: Option<Subscription>,
        may_follow: impl Fn(Touch) -> bool + Send + 'static,
    ) -> anyhow::Result<Option<Touch>> {
        let Some(name) = named.kept.as_ref().map(|kept| kept.name.clone()) else { return Ok(None) };
        let id = named.id.clone();
        let change = move |state: &mut crate::subscriptions::state::State| {
            let kept = state.named_mut(&name);
            // A daemon may have put another one in its place meanwhile.
            let kept = kept.filter(|kept| kept.live().is_some_and(|live| live.id == id))?;
            if let Some(other) = kept.touch.filter(|before| !may_follow(*before)) {
                return Some(other);
            }
            kept.touch = Some(touch);
            if let Some(said) = &said {
                kept.is_now(said, touch.at);
            }
            None
        };
        self.update(change).await.map(|(other, _)| other)
    }
}

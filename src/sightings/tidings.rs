//! Telling the log what has changed with subscriptions: one line for each kind of news in ten seconds, and nothing lost
//! in between but names.

use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::book::{Change, What};

/// News that was not told yet.
#[derive(Debug, Default)]
pub(super) struct Tidings([Kind; 4]);

#[derive(Debug, Default)]
struct Kind {
    first: Option<Change>,
    others: usize,
    told_at: Option<Instant>,
}

impl Tidings {
    /// Takes news.
    pub(super) fn add(&mut self, changes: impl IntoIterator<Item = Change>) {
        for change in changes {
            let kind = &mut self.0[place(change.what)];
            match kind.first {
                None => kind.first = Some(change),
                Some(_) => kind.others += 1,
            }
        }
    }

    /// Logs what it is time for.
    pub(super) fn tell(&mut self, now: Instant) {
        for (change, others) in self.due(now) {
            say(&change, others);
        }
    }

    fn due(&mut self, now: Instant) -> Vec<(Change, usize)> {
        let mut due = Vec::new();
        for kind in &mut self.0 {
            if kind.told_at.is_some_and(|told| now.duration_since(told) < SPARSE) {
                continue;
            }
            if let Some(first) = kind.first.take() {
                due.push((first, std::mem::take(&mut kind.others)));
                kind.told_at = Some(now);
            }
        }
        due
    }
}

fn place(what: What) -> usize {
    match what {
        What::Silent => 0,
        What::Ending => 1,
        What::Ended => 2,
        What::Back => 3,
    }
}

fn say(Change { id, client_state, what }: &Change, others: usize) {
    let (subscription, client_state) = (&**id, &**client_state);
    match what {
        What::Silent => warn!(
            event = "subscription_silent",
            subscription, client_state, others, "a subscription is silent: quieter than it should be"
        ),
        What::Ending => warn!(
            event = "subscription_ending",
            subscription, client_state, others, "a subscription ends soon, and no renewal was seen"
        ),
        What::Ended => {
            warn!(
                event = "subscription_ended",
                subscription, client_state, others, "a subscription has ended"
            );
        }
        What::Back => info!(subscription, client_state, others, "a subscription is well again"),
    }
}

/// Time between two lines of one kind.
const SPARSE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn change(id: &str, what: What) -> Change {
        Change { id: id.into(), client_state: "mail".into(), what }
    }

    #[test]
    fn each_kind_is_told_at_once_and_then_after_a_while() {
        let (mut tidings, start) = (Tidings::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(tidings.due(at(0)), []);
        tidings.add(["a", "b", "c"].map(|id| change(id, What::Silent)));
        tidings.add([change("d", What::Ended)]);
        assert_eq!(tidings.due(at(1)), [(change("a", What::Silent), 2), (change("d", What::Ended), 0)]);
        tidings.add([change("e", What::Silent), change("f", What::Back), change("g", What::Silent)]);
        assert_eq!(tidings.due(at(2)), [(change("f", What::Back), 0)]);
        assert_eq!(tidings.due(at(10)), []);
        assert_eq!(tidings.due(at(11)), [(change("e", What::Silent), 1)]);
        assert_eq!(tidings.due(at(60)), []);
    }
}

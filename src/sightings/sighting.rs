//! One subscription, as its items show it. Pure.

use std::{sync::Arc, time::Duration};

use super::{Moment, end::End, rhythm::Rhythm};
use crate::moment;

/// What is known of a subscription.
#[derive(Clone, Debug)]
pub(super) struct Sighting {
    /// Name of the entry that admits it.
    pub(super) client_state: Arc<str>,
    /// The first genuine item, of either kind.
    pub(super) first_at: Moment,
    /// The last one.
    pub(super) last_at: Moment,
    pub(super) rhythm: Rhythm,
    pub(super) end: Option<End>,
    /// Graph has said that it removed it.
    pub(super) removed_at: Option<Moment>,
    /// Whose data it tells of.
    pub(super) tenant_id: Option<Arc<str>>,
    /// `@odata.type` of what it tells of.
    pub(super) resource_type: Option<Arc<str>>,
    /// What `end` was last read from: the same text is not read again.
    end_text: Arc<str>,
    /// What was last told of it.
    pub(super) told: Standing,
}

/// What an item says of its subscription.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sign<'a> {
    pub(super) kind: SignKind,
    /// `subscriptionExpirationDateTime`.
    pub(super) end: Option<&'a str>,
    pub(super) about: About<'a>,
}

/// What an item tells of.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct About<'a> {
    pub(super) tenant_id: Option<&'a str>,
    /// Only of a change: lifecycle items tell of the subscription itself.
    pub(super) resource_type: Option<&'a str>,
}

/// Lifecycle items are no sign of life: they come also when changes do not.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum SignKind {
    Change,
    Lifecycle,
    Removed,
}

/// How it stands with a subscription.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Standing {
    /// Quieter than it should be; not once it has ended.
    pub(super) silent: bool,
    /// Near its end, and not renewed.
    pub(super) ending: bool,
    /// Past its end, or removed.
    pub(super) ended: bool,
}

impl Standing {
    /// Whether somebody should look at it.
    pub(super) fn is_troubled(self) -> bool {
        self.silent || self.ending || self.ended
    }
}

impl Sighting {
    /// A subscription that is new to us.
    pub(super) fn new(client_state: &Arc<str>, now: Moment) -> Self {
        Self::known(Arc::clone(client_state), now, now, Rhythm::default(), None, None)
    }

    /// One that was known before.
    pub(super) fn known(
        client_state: Arc<str>,
        first_at: Moment,
        last_at: Moment,
        rhythm: Rhythm,
        end: Option<End>,
        removed_at: Option<Moment>,
    ) -> Self {
        Self {
            client_state,
            first_at,
            last_at,
            rhythm,
            end,
            removed_at,
            tenant_id: None,
            resource_type: None,
            end_text: "".into(),
            told: Standing::default(),
        }
    }

    /// An item comes.
    pub(super) fn note(&mut self, client_state: &Arc<str>, sign: Sign<'_>, now: Moment) {
        if self.client_state != *client_state {
            self.client_state = Arc::clone(client_state);
        }
        self.last_at = self.last_at.max(now);
        self.learn(sign.about);
        match sign.kind {
            SignKind::Change => {
                self.rhythm.hear(now);
                self.removed_at = None;
            }
            SignKind::Lifecycle => {}
            SignKind::Removed => self.removed_at = Some(now),
        }
        if let Some(text) = sign.end.filter(|text| **text != *self.end_text && text.len() <= END_TEXT_MAX) {
            self.end_text = text.into();
            // A repetition may name an end from before the last renewal. One that Graph would not allow must not keep the
            // true one from being told of.
            let is_later = |end: &Moment| self.end.as_ref().is_none_or(|known| known.at < *end);
            let is_possible = |end: &Moment| end.saturating_sub(now) <= LIFE_MOST;
            if let Some(at) = moment::read(text).filter(is_later).filter(is_possible) {
                self.end = Some(End { at, named_at: now });
            }
        }
    }

    /// Keeps what an item tells of.
    pub(super) fn learn(&mut self, about: About<'_>) {
        for (known, told) in
            [(&mut self.tenant_id, about.tenant_id), (&mut self.resource_type, about.resource_type)]
        {
            if let Some(told) =
                told.filter(|told| told.len() <= ABOUT_BYTES_MAX && known.as_deref() != Some(told))
            {
                *known = Some(told.into());
            }
        }
    }

    /// How it stands; `silent_after` is the configuration's word, which goes before the rhythm.
    pub(super) fn standing(&self, now: Moment, silent_after: Option<Duration>) -> Standing {
        if self.ended_at(now).is_some() {
            return Standing { ended: true, ..Standing::default() };
        }
        let patience = self.patience(silent_after);
        Standing {
            silent: patience.is_some_and(|patience| self.rhythm.quiet(self.first_at, now) > patience),
            ending: self.end.as_ref().is_some_and(|end| end.is_near(now)),
            ended: false,
        }
    }

    /// How long it may be quiet.
    pub(super) fn patience(&self, silent_after: Option<Duration>) -> Option<Duration> {
        silent_after.or_else(|| self.rhythm.patience())
    }

    /// Whether nobody can want to hear of it any more.
    pub(super) fn is_forgotten(&self, now: Moment) -> bool {
        let is_over = self.ended_at(now).is_some_and(|end| now.saturating_sub(end) > KEPT_AFTER_END);
        is_over || now.saturating_sub(self.last_at) > KEPT_AFTER_LAST
    }

    /// Whether it had ended by then.
    pub(super) fn has_ended(&self, now: Moment) -> bool {
        self.ended_at(now).is_some_and(|end| end <= now)
    }

    fn ended_at(&self, now: Moment) -> Option<Moment> {
        let past = self.end.as_ref().filter(|end| end.is_past(now)).map(|end| end.at);
        self.removed_at.into_iter().chain(past).min()
    }
}

/// The longest life that Microsoft grants a subscription is half a year; what is named beyond this is no end.
const LIFE_MOST: Duration = Duration::from_secs(366 * 24 * 60 * 60);
/// Longest text of a time; those that Graph sends have 33 bytes at most.
const END_TEXT_MAX: usize = 40;
/// Longest text that is kept of what it tells of; Graph's have some 40 bytes.
const ABOUT_BYTES_MAX: usize = 128;
/// A subscription that has ended and was not renewed is told of for a week.
const KEPT_AFTER_END: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// One that names no end is told of for 90 days after its last item.
const KEPT_AFTER_LAST: Duration = Duration::from_secs(90 * 24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3600;
    const NOTHING: About<'_> = About { tenant_id: None, resource_type: None };
    const CHANGE: Sign<'_> = Sign { kind: SignKind::Change, end: None, about: NOTHING };

    fn at(seconds: u64) -> Moment {
        Moment::from_secs(seconds)
    }

    fn seen(signs: &[(u64, Sign<'_>)]) -> Sighting {
        let state: Arc<str> = "mail".into();
        let mut sighting = Sighting::new(&state, at(signs.first().map_or(0, |(now, _)| *now)));
        for (now, sign) in signs {
            sighting.note(&state, *sign, at(*now));
        }
        sighting
    }

    #[track_caller]
    fn check(sighting: &Sighting, now: u64, silent_after: Option<u64>, expected: &str) {
        let Standing { silent, ending, ended } =
            sighting.standing(at(now), silent_after.map(Duration::from_secs));
        let words = [(silent, "silent"), (ending, "ending"), (ended, "ended")];
        let words: Vec<&str> = words.into_iter().filter(|(is, _)| *is).map(|(_, word)| word).collect();
        assert_eq!(words.join(" "), expected, "at {now} with {silent_after:?}");
    }

    #[test]
    fn the_configuration_goes_before_the_rhythm() {
        let one = seen(&[(0, CHANGE)]);
        check(&one, 1_000 * HOUR, None, "");
        check(&one, HOUR, Some(HOUR), "");
        check(&one, HOUR + 1, Some(HOUR), "silent");
        let steady: Vec<_> = (0..=200).map(|n| (n * HOUR, CHANGE)).collect();
        let steady = seen(&steady);
        check(&steady, 202 * HOUR, None, "");
        check(&steady, 202 * HOUR + 1, None, "silent");
        check(&steady, 202 * HOUR + 1, Some(3 * HOUR), "");
    }

    #[test]
    fn lifecycle_items_are_no_sign_of_life() {
        let lifecycle = Sign { kind: SignKind::Lifecycle, ..CHANGE };
        let sighting = seen(&[(0, CHANGE), (HOUR, lifecycle)]);
        assert_eq!(sighting.last_at, at(HOUR));
        check(&sighting, HOUR + 1, Some(HOUR), "silent");
        // Where nothing else ever came, the first one counts.
        check(&seen(&[(0, lifecycle)]), HOUR + 1, Some(HOUR), "silent");
    }

    #[test]
    fn an_end_comes_nearer_until_it_is_put_off() {
        let until = |end| Sign { end: Some(end), ..CHANGE };
        let (ten, twenty) = ("1970-01-01T10:00:00Z", "1970-01-01T20:00:00.0000000Z");
        let mut sighting = seen(&[(0, until(ten))]);
        check(&sighting, 8 * HOUR, None, "");
        check(&sighting, 8 * HOUR + 1, None, "ending");
        check(&sighting, 8 * HOUR + 1, Some(HOUR), "silent ending");
        check(&sighting, 10 * HOUR, Some(HOUR), "ended");
        let state: Arc<str> = "mail".into();
        sighting.note(&state, until(twenty), at(9 * HOUR));
        check(&sighting, 10 * HOUR, None, "");
        // The life that was seen is from the renewal on: 11 hours.
        check(&sighting, 17 * HOUR + 2_881, None, "ending");
        // A repetition from before the renewal takes nothing back, nor does a word that is no time.
        for old in [ten, "NA"] {
            sighting.note(&state, until(old), at(9 * HOUR));
            check(&sighting, 10 * HOUR, None, "");
        }
        check(&sighting, 20 * HOUR, None, "ended");
    }

    #[test]
    fn a_removal_is_an_end_until_something_comes() {
        let removed = Sign { kind: SignKind::Removed, end: Some("1970-01-01T10:00:00Z"), ..CHANGE };
        let mut sighting = seen(&[(0, CHANGE), (HOUR, removed)]);
        check(&sighting, HOUR, None, "ended");
        sighting.note(&"mail".into(), CHANGE, at(HOUR));
        check(&sighting, HOUR, None, "");
    }

    #[test]
    fn what_has_ended_is_forgotten_after_a_week() {
        let ended = seen(&[(0, Sign { end: Some("1970-01-01T01:00:00Z"), ..CHANGE })]);
        assert!(!ended.is_forgotten(at(HOUR + 7 * 24 * HOUR)));
        assert!(ended.is_forgotten(at(HOUR + 7 * 24 * HOUR + 1)));
        let endless = seen(&[(0, CHANGE)]);
        assert!(!endless.is_forgotten(at(90 * 24 * HOUR)));
        assert!(endless.is_forgotten(at(90 * 24 * HOUR + 1)));
    }
}

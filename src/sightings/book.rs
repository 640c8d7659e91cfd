//! All subscriptions that were seen, within a bound. Pure.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{
    Moment,
    sighting::{Sighting, Sign, Standing},
};
use crate::{metrics::Census, moment::at};

/// The subscriptions from which genuine items came.
#[derive(Debug, Default)]
pub(super) struct Book {
    /// By id.
    sightings: HashMap<Arc<str>, Sighting>,
    /// The table of secrets, as far as it matters here.
    entries: HashMap<Arc<str>, Entry>,
    /// Those in whose place there is another: what still comes of them says nothing.
    succeeded: HashSet<String>,
    /// Whether there is something that is not saved.
    pub(super) has_news: bool,
}

#[derive(Debug)]
struct Entry {
    silent_after: Option<Duration>,
    census: Census,
}

/// What has changed with a subscription.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Change {
    pub(super) id: Arc<str>,
    pub(super) client_state: Arc<str>,
    pub(super) what: What,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum What {
    /// It has fallen silent.
    Silent,
    /// It ends soon.
    Ending,
    /// It has ended.
    Ended,
    /// It speaks again, or was renewed.
    Back,
}

/// What people are shown of all of them.
#[derive(Debug)]
pub(super) struct Survey {
    pub(super) census: Census,
    /// Those that are silent, ending or ended, each once.
    pub(super) troubled: u64,
    /// The most urgent ones.
    pub(super) listed: Vec<Listed>,
}

/// A subscription in a list for people.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    pub(super) id: Arc<str>,
    pub(super) sighting: Sighting,
    pub(super) standing: Standing,
    pub(super) patience: Option<Duration>,
}

/// What is known of a subscription, for whoever tells of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Known {
    /// Its id.
    pub id: Arc<str>,
    /// Name of the entry that admits it.
    pub client_state: Arc<str>,
    /// Whose data it tells of.
    pub tenant_id: Option<Arc<str>>,
    /// `@odata.type` of what it tells of.
    pub resource_type: Option<Arc<str>>,
    /// When its last genuine item came.
    pub last_at: SystemTime,
}

/// A subscription that may come into the list.
struct Candidate<'a> {
    id: &'a Arc<str>,
    sighting: &'a Sighting,
    standing: Standing,
}

impl Book {
    /// A book that knows these already; too many are cut to the bound.
    pub(super) fn of(sightings: impl Iterator<Item = (Arc<str>, Sighting)>) -> Self {
        Self { sightings: sightings.take(SIGHTINGS_MAX).collect(), ..Self::default() }
    }

    /// These are the entries from now on. What none of them admits is not watched any more.
    pub(super) fn adopt<'a>(&mut self, entries: impl Iterator<Item = (&'a str, Option<Duration>)>) {
        let entry = |silent_after| Entry { silent_after, census: Census::default() };
        self.entries = entries.map(|(name, silent_after)| (name.into(), entry(silent_after))).collect();
        let before = self.sightings.len();
        self.sightings.retain(|_, sighting| self.entries.contains_key(&sighting.client_state));
        self.has_news |= self.sightings.len() < before;
    }

    /// In the place of these there are others: nobody waits for them, and their end is none.
    pub(super) fn succeed(&mut self, ids: HashSet<String>) {
        self.succeeded = ids;
    }

    /// Notes a genuine item. Returns how many subscriptions had to go for a new one.
    pub(super) fn note(&mut self, id: &str, client_state: &Arc<str>, sign: Sign<'_>, now: Moment) -> usize {
        self.has_news = true;
        if let Some(sighting) = self.sightings.get_mut(id) {
            sighting.note(client_state, sign, now);
            return 0;
        }
        if id.len() > ID_BYTES_MAX {
            return 0;
        }
        let dropped = if self.sightings.len() < SIGHTINGS_MAX { 0 } else { self.drop_oldest() };
        let mut sighting = Sighting::new(client_state, now);
        sighting.note(client_state, sign, now);
        self.sightings.insert(id.into(), sighting);
        dropped
    }

    /// When the last item of this one came.
    pub(super) fn last_at(&self, id: &str) -> Option<Moment> {
        self.sightings.get(id).map(|sighting| sighting.last_at)
    }

    /// Those that had not ended by then.
    pub(super) fn alive(&self, then: Moment) -> Vec<Known> {
        let alive = self.sightings.iter().filter(|(_, sighting)| !sighting.has_ended(then));
        alive.map(|(id, sighting)| Known::of(id, sighting)).collect()
    }

    /// This one.
    pub(super) fn known(&self, id: &str) -> Option<Known> {
        self.sightings.get_key_value(id).map(|(id, sighting)| Known::of(id, sighting))
    }

    /// Drops a sixty-fourth of all, those that were seen longest ago: at the bound, not every new one pays for a search.
    fn drop_oldest(&mut self) -> usize {
        let mut moments: Vec<Moment> = self.sightings.values().map(|sighting| sighting.last_at).collect();
        let many = (moments.len() / 64).max(1);
        let (_, newest, _) = moments.select_nth_unstable(many - 1);
        let (newest, mut left) = (*newest, many);
        self.sightings.retain(|_, sighting| {
            let goes = left > 0 && sighting.last_at <= newest;
            left -= usize::from(goes);
            !goes
        });
        many - left
    }

    /// Looks at all of them; returns what has changed since the last look.
    pub(super) fn look(&mut self, now: Moment) -> Vec<Change> {
        let mut changes = Vec::new();
        for entry in self.entries.values_mut() {
            entry.census = Census::default();
        }
        let before = self.sightings.len();
        // A request that began before a reload may bring what no entry admits any more.
        let (entries, succeeded) = (&self.entries, &self.succeeded);
        self.sightings.retain(|id, sighting| {
            let is_over = sighting.is_forgotten(now) || succeeded.contains(&**id);
            !is_over && entries.contains_key(&sighting.client_state)
        });
        self.has_news |= self.sightings.len() < before;
        for (id, sighting) in &mut self.sightings {
            let Some(entry) = self.entries.get_mut(&sighting.client_state) else { continue };
            let standing = sighting.standing(now, entry.silent_after);
            if standing != sighting.told {
                let told = std::mem::replace(&mut sighting.told, standing);
                let change = |what| Change {
                    id: Arc::clone(id),
                    client_state: Arc::clone(&sighting.client_state),
                    what,
                };
                changes.extend(what_changed(told, standing).map(change));
            }
            entry.census.count(sighting, standing);
        }
        changes
    }

    /// How it stands with each entry, as of the last look.
    pub(super) fn census(&self) -> impl Iterator<Item = (&str, Census)> {
        self.entries.iter().map(|(name, entry)| (&**name, entry.census))
    }

    /// Those that somebody should look at first, and the number of all in each state.
    pub(super) fn survey(&self, now: Moment, many: usize) -> Survey {
        let (mut census, mut troubled) = (Census::default(), 0);
        let mut candidates = Vec::with_capacity(self.sightings.len());
        for (id, sighting) in self.sightings.iter().filter(|(id, _)| !self.succeeded.contains(&***id)) {
            let standing = sighting.standing(now, self.silent_after(sighting));
            census.count(sighting, standing);
            troubled += u64::from(standing.is_troubled());
            candidates.push(Candidate { id, sighting, standing });
        }
        // Requests wait for the book meanwhile: of thousands, only the few that are shown are put in order.
        if many < candidates.len() {
            candidates.select_nth_unstable_by_key(many, Candidate::urgency);
            candidates.truncate(many);
        }
        candidates.sort_unstable_by_key(Candidate::urgency);
        let listed = candidates.iter().map(|candidate| self.listed(candidate)).collect();
        Survey { census, troubled, listed }
    }

    fn listed(&self, Candidate { id, sighting, standing }: &Candidate<'_>) -> Listed {
        let patience = sighting.patience(self.silent_after(sighting));
        let (id, sighting) = (Arc::clone(id), (*sighting).clone());
        Listed { id, sighting, standing: *standing, patience }
    }

    fn silent_after(&self, sighting: &Sighting) -> Option<Duration> {
        self.entries.get(&sighting.client_state).and_then(|entry| entry.silent_after)
    }

    /// All of them, to be saved.
    pub(super) fn all(&self) -> Vec<(Arc<str>, Sighting)> {
        self.sightings.iter().map(|(id, sighting)| (Arc::clone(id), sighting.clone())).collect()
    }
}

impl Known {
    fn of(id: &Arc<str>, sighting: &Sighting) -> Self {
        Self {
            id: Arc::clone(id),
            client_state: Arc::clone(&sighting.client_state),
            tenant_id: sighting.tenant_id.clone(),
            resource_type: sighting.resource_type.clone(),
            last_at: at(sighting.last_at),
        }
    }
}

impl<'a> Candidate<'a> {
    /// Less is more urgent: what can still be saved comes first.
    fn urgency(&self) -> (u8, Moment, &'a Arc<str>) {
        let rank = match self.standing {
            Standing { ending: true, .. } => 0,
            Standing { silent: true, .. } => 1,
            Standing { ended: true, .. } => 2,
            Standing { .. } => 3,
        };
        (rank, self.sighting.end.as_ref().map_or(Moment::MAX, |end| end.at), self.id)
    }
}

impl Census {
    fn count(&mut self, sighting: &Sighting, standing: Standing) {
        self.seen += 1;
        self.silent += u64::from(standing.silent);
        self.ending += u64::from(standing.ending);
        self.ended += u64::from(standing.ended);
        if let Some(end) = sighting.end.as_ref().filter(|_| !standing.ended) {
            let end = end.at.as_secs();
            self.expiry = if self.expiry == 0 { end } else { self.expiry.min(end) };
        }
    }
}

/// What to say of a change: of two news the graver one; and nothing of a silence that an end explains.
fn what_changed(told: Standing, now: Standing) -> Option<What> {
    let newly = |was: bool, is: bool| is && !was;
    if newly(told.ended, now.ended) {
        Some(What::Ended)
    } else if newly(told.silent, now.silent) {
        Some(What::Silent)
    } else if newly(told.ending, now.ending) {
        Some(What::Ending)
    } else {
        (!now.is_troubled()).then_some(What::Back)
    }
}

/// Subscriptions that are watched; a megabyte or two.
pub(super) const SIGHTINGS_MAX: usize = 10_000;
/// Longest id that is watched. Graph's have 36 bytes.
pub(super) const ID_BYTES_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use super::{
        super::sighting::{About, SignKind},
        *,
    };

    const NOTHING: About<'_> = About { tenant_id: None, resource_type: None };
    const CHANGE: Sign<'_> = Sign { kind: SignKind::Change, end: None, about: NOTHING };

    fn at(seconds: u64) -> Moment {
        Moment::from_secs(seconds)
    }

    fn book(entries: &[(&str, Option<u64>)]) -> Book {
        let mut book = Book::default();
        adopt(&mut book, entries);
        book
    }

    fn adopt(book: &mut Book, entries: &[(&str, Option<u64>)]) {
        book.adopt(entries.iter().map(|(name, seconds)| (*name, seconds.map(Duration::from_secs))));
    }

    fn words(changes: &[Change]) -> Vec<(&str, What)> {
        let mut words: Vec<_> = changes.iter().map(|change| (&*change.id, change.what)).collect();
        words.sort_unstable_by_key(|(id, _)| *id);
        words
    }

    #[test]
    fn nobody_waits_for_what_has_a_successor() {
        let (mut book, mail) = (book(&[("mail", Some(10))]), "mail".into());
        book.note("old", &mail, CHANGE, at(0));
        book.note("new", &mail, CHANGE, at(5));
        book.succeed(HashSet::from(["old".to_owned()]));
        assert_eq!(book.look(at(12)), []);
        // What Graph repeats of it changes nothing.
        book.note("old", &mail, Sign { kind: SignKind::Removed, ..CHANGE }, at(13));
        let survey = book.survey(at(14), 9);
        assert_eq!((survey.census.seen, survey.troubled, survey.listed.len()), (1, 0, 1));
        assert_eq!(book.look(at(14)), []);
        assert_eq!(book.known("old"), None);
        assert_eq!(words(&book.look(at(16))), [("new", What::Silent)]);
    }

    #[test]
    fn each_change_is_told_once() {
        let (mut book, mail) = (book(&[("mail", Some(10))]), "mail".into());
        let until = Sign { end: Some("1970-01-01T00:01:40Z"), ..CHANGE };
        book.note("a", &mail, until, at(0));
        book.note("b", &mail, CHANGE, at(5));
        assert_eq!(book.look(at(10)), []);
        assert_eq!(words(&book.look(at(11))), [("a", What::Silent)]);
        assert_eq!(words(&book.look(at(16))), [("b", What::Silent)]);
        assert_eq!(book.look(at(17)), []);
        book.note("b", &mail, CHANGE, at(18));
        assert_eq!(words(&book.look(at(19))), [("b", What::Back)]);
        assert_eq!(words(&book.look(at(81))), [("a", What::Ending), ("b", What::Silent)]);
        assert_eq!(words(&book.look(at(100))), [("a", What::Ended)]);
        assert_eq!(
            book.census().collect::<Vec<_>>(),
            [("mail", Census { seen: 2, silent: 1, ended: 1, ..Census::default() })]
        );
        // A week later nobody needs to hear of it.
        assert_eq!(book.look(at(101 + 7 * 24 * 3600)), []);
        assert_eq!(book.survey(at(101 + 7 * 24 * 3600), 9).listed.len(), 1);
    }

    #[test]
    fn the_earliest_end_to_come_is_counted_down_to() {
        let (mut book, mail) = (book(&[("mail", None), ("chat", None)]), "mail".into());
        // An end that cannot be true hides no true one.
        book.note("a", &mail, Sign { end: Some("9999-12-31T23:59:59Z"), ..CHANGE }, at(0));
        for (id, end) in
            [("a", "1970-01-01T00:00:20Z"), ("b", "1970-01-01T00:00:50Z"), ("c", "1970-01-01T00:00:30Z")]
        {
            book.note(id, &mail, Sign { end: Some(end), ..CHANGE }, at(0));
        }
        let expiry = |book: &Book, name| {
            book.census().find(|(other, _)| *other == name).map(|(_, census)| census.expiry)
        };
        for (now, expected) in [(0, 20), (20, 30), (49, 50), (50, 0)] {
            book.look(at(now));
            assert_eq!((expiry(&book, "mail"), expiry(&book, "chat")), (Some(expected), Some(0)), "{now}");
        }
    }

    #[test]
    fn a_reload_changes_the_patience_and_drops_what_nothing_admits() {
        let mut book = book(&[("mail", Some(10)), ("chat", Some(10))]);
        book.note("a", &"mail".into(), CHANGE, at(0));
        book.note("b", &"chat".into(), CHANGE, at(0));
        assert_eq!(book.look(at(11)).len(), 2);
        adopt(&mut book, &[("mail", Some(100))]);
        assert_eq!(words(&book.look(at(12))), [("a", What::Back)]);
        assert_eq!(book.census().map(|(name, _)| name).collect::<Vec<_>>(), ["mail"]);
        book.note("late", &"chat".into(), CHANGE, at(12));
        assert_eq!(book.look(at(13)), []);
        assert_eq!(book.survey(at(13), 9).census.seen, 1);
    }

    #[test]
    fn the_oldest_make_room_and_the_bound_holds() {
        let (mut book, mail) = (book(&[("mail", None)]), "mail".into());
        let mut dropped = 0;
        for n in 0..SIGHTINGS_MAX as u64 + 500 {
            dropped += book.note(&format!("{n}"), &mail, CHANGE, at(n));
            assert!(book.sightings.len() <= SIGHTINGS_MAX);
        }
        assert_eq!(book.sightings.len() + dropped, SIGHTINGS_MAX + 500);
        assert!((500..700).contains(&dropped), "{dropped}");
        assert!(!book.sightings.contains_key("0") && !book.sightings.contains_key("499"));
        assert!(book.sightings.contains_key(&*format!("{}", SIGHTINGS_MAX + 499)));
        // All of one moment: still no more than were asked for.
        for sighting in book.sightings.values_mut() {
            sighting.last_at = at(7);
        }
        let before = book.sightings.len();
        assert_eq!(book.drop_oldest(), before / 64);
        assert_eq!(book.sightings.len(), before - before / 64);
    }

    #[test]
    fn an_id_that_graph_cannot_have_made_is_not_watched() {
        let (mut book, mail) = (book(&[("mail", None)]), "mail".into());
        book.note(&"x".repeat(ID_BYTES_MAX + 1), &mail, CHANGE, at(0));
        book.note(&"x".repeat(ID_BYTES_MAX), &mail, CHANGE, at(0));
        assert_eq!(book.sightings.len(), 1);
    }

    #[test]
    fn the_list_begins_with_what_can_be_saved_and_ends_with_its_bound() {
        let (mut book, mail) = (book(&[("mail", Some(50))]), "mail".into());
        let until = |end| Sign { end: Some(end), ..CHANGE };
        book.note("fine", &mail, until("1970-01-01T01:00:00Z"), at(80));
        book.note("endless", &mail, CHANGE, at(80));
        book.note("silent", &mail, CHANGE, at(0));
        book.note("ending", &mail, until("1970-01-01T00:01:25Z"), at(41));
        book.note("ended", &mail, until("1970-01-01T00:01:00Z"), at(80));
        book.note("both", &mail, until("1970-01-01T00:01:23Z"), at(0));
        let order = ["both", "ending", "silent", "ended", "fine", "endless"];
        for many in 0..=order.len() + 1 {
            let Survey { census, troubled, listed } = book.survey(at(80), many);
            let ids: Vec<&str> = listed.iter().map(|listed| &*listed.id).collect();
            assert_eq!(ids, order[..many.min(order.len())]);
            assert_eq!((census.seen, census.silent, census.ending, census.ended), (6, 2, 2, 1));
            assert_eq!(troubled, 4);
        }
    }
}

//! Who may come in, who may stay, and who has to make room.
//!
//! Bounds are kept at the earliest moment at which the address is known: before a byte is read, or right after a proxy has
//! said whom it speaks for. Nobody waits behind strangers: a full house shows out who has been idle longest, and first who has
//! never brought a genuine notification; of these, after a while, even who is always in the middle of a request.

use std::{
    collections::{BTreeSet, HashMap},
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{sync::Notify, time};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{activity::Activity, socket::Peer};
use crate::{
    config::{ClientAddress, Config, Limits, Sources, SourcesMode},
    deadline::Deadline,
    metrics::{ConnectionFailure, Metrics},
    network::Networks,
    telemetry::Sparse,
};

/// The one door of the public listener.
#[derive(Debug)]
pub struct Door {
    terms: RwLock<Arc<Terms>>,
    /// As many connections as there are file descriptors for.
    files_max: usize,
    book: Mutex<Book>,
    someone_left: Notify,
    strangers: Sparse,
    metrics: Arc<Metrics>,
}

/// On which terms connections are taken. A connection keeps those it began with.
#[derive(Debug)]
pub(super) struct Terms {
    pub(super) limits: Limits,
    pub(super) client_address: ClientAddress,
    /// Who is believed about whom it speaks for.
    pub(super) trusted_proxies: Networks,
    sources: Sources,
}

/// A connection that has a place. It leaves when this is dropped.
pub(super) struct Guest {
    door: Arc<Door>,
    number: u64,
    pub(super) terms: Arc<Terms>,
    pub(super) activity: Activity,
    /// Cancelled when it has to make room.
    pub(super) shown_out: CancellationToken,
    /// Its requests whose answers have not been taken yet.
    pub(super) requests: AtomicUsize,
    is_known: AtomicBool,
}

/// A connection that is not taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct TurnedAway;

#[derive(Debug, Default)]
struct Book {
    guests: HashMap<u64, Entry>,
    next_number: u64,
    /// Guests that were asked to leave and have not left.
    leaving: usize,
    /// When some were asked last because the house was full.
    asked_at: Option<time::Instant>,
    /// Guests in their TLS handshake; smaller numbers came earlier.
    shaking: BTreeSet<u64>,
    /// How many guests count for an address.
    addresses: HashMap<IpAddr, usize>,
}

#[derive(Debug)]
struct Entry {
    came_at: time::Instant,
    activity: Activity,
    shown_out: CancellationToken,
    /// For which address it counts.
    address: Option<IpAddr>,
    /// It has brought a genuine notification.
    is_known: bool,
}

impl Door {
    /// A door on the terms of this configuration, for at most `files_max` connections.
    pub fn new(config: &Config, files_max: usize, metrics: Arc<Metrics>) -> Arc<Self> {
        if config.server.limits.connections_max > files_max {
            warn!(
                event = "too_few_files",
                connections = files_max,
                "fewer connections than server.limits.connections: too few file descriptors"
            );
        }
        Arc::new(Self {
            terms: RwLock::new(Arc::new(Terms::of(config))),
            files_max,
            book: Mutex::default(),
            someone_left: Notify::new(),
            strangers: Sparse::default(),
            metrics,
        })
    }

    /// Takes connections on these terms from now on.
    pub fn adopt(&self, config: &Config) {
        *self.terms.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Terms::of(config));
    }

    /// Waits for a place. Nobody waits to be turned away.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the place in the queue, nothing else.
    pub(super) async fn enter(self: Arc<Self>, peer: Peer) -> Result<Guest, TurnedAway> {
        let terms = self.terms();
        let address = terms.told_by_connection(peer);
        loop {
            let someone_left = self.someone_left.notified();
            if let Some(guest) = self.try_enter(&terms, address)? {
                return Ok(guest);
            }
            // A guest that becomes idle leaves nobody a word: look again soon.
            let (Ok(()) | Err(_)) = Deadline::after(LOOK_AGAIN).limit(someone_left).await;
        }
    }

    fn try_enter(
        self: &Arc<Self>,
        terms: &Arc<Terms>,
        address: Option<IpAddr>,
    ) -> Result<Option<Guest>, TurnedAway> {
        if let Some(address) = address {
            self.judge(terms, address)?;
        }
        let mut book = self.book();
        let counted = self.check_count(&book, terms, address).map_err(|failure| self.turn_away(failure))?;
        if book.guests.len() >= terms.limits.connections_max.min(self.files_max) {
            let shown_out = book.make_room();
            drop(book);
            self.metrics.connections_evicted.inc_by(shown_out as u64);
            return Ok(None);
        }
        let number = book.next_number;
        book.next_number += 1;
        let entry = Entry {
            came_at: time::Instant::now(),
            activity: Activity::new(),
            shown_out: CancellationToken::new(),
            address: None,
            is_known: false,
        };
        let (activity, shown_out) = (entry.activity.clone(), entry.shown_out.clone());
        book.guests.insert(number, entry);
        book.count_for(number, counted);
        drop(book);
        self.metrics.connections.inc();
        let (requests, is_known) = (AtomicUsize::new(0), AtomicBool::new(false));
        let (door, terms) = (Arc::clone(self), Arc::clone(terms));
        Ok(Some(Guest { door, number, terms, activity, shown_out, requests, is_known }))
    }

    /// Whether the list of sources lets it in.
    fn judge(&self, terms: &Terms, address: IpAddr) -> Result<(), TurnedAway> {
        match self.admits(terms, Some(address)) {
            true => Ok(()),
            false => Err(self.turn_away(ConnectionFailure::Source)),
        }
    }

    /// Whether the list of sources lets this client in; counts strangers. A client of whom nothing is known is one.
    pub(super) fn admits(&self, terms: &Terms, client: Option<IpAddr>) -> bool {
        let Sources { mode, networks } = &terms.sources;
        if *mode == SourcesMode::Off || client.is_some_and(|client| networks.contain(client)) {
            return true;
        }
        self.metrics.strangers.inc();
        if let Some(others) = self.strangers.pass(Instant::now()) {
            warn!(
                event = "source_not_listed",
                client = client.map(display),
                others,
                "not one of server.sources"
            );
        }
        *mode == SourcesMode::Log
    }

    /// For whom one more connection would count, if there may be one more.
    fn check_count(
        &self,
        book: &Book,
        terms: &Terms,
        address: Option<IpAddr>,
    ) -> Result<Option<IpAddr>, ConnectionFailure> {
        let Some(counted) = address.filter(|address| !terms.is_exempt(*address)).map(counted_for) else {
            return Ok(None);
        };
        let open = book.addresses.get(&counted).copied().unwrap_or_default();
        if open < terms.limits.connections_per_address {
            Ok(Some(counted))
        } else {
            Err(ConnectionFailure::AddressLimit)
        }
    }

    fn turn_away(&self, failure: ConnectionFailure) -> TurnedAway {
        self.metrics.connections_failed.count(failure);
        debug!(?failure, "turned away");
        TurnedAway
    }

    fn terms(&self) -> Arc<Terms> {
        Arc::clone(&self.terms.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Terms {
    fn of(config: &Config) -> Self {
        let server = &config.server;
        Self {
            limits: server.limits,
            client_address: server.client_address,
            trusted_proxies: server.trusted_proxies.clone(),
            sources: server.sources.clone(),
        }
    }

    /// The client's address, if the connection itself tells it.
    pub(super) fn told_by_connection(&self, peer: Peer) -> Option<IpAddr> {
        match self.client_address {
            ClientAddress::Connection => peer.address(),
            ClientAddress::ProxyProtocol => None,
            ClientAddress::Forwarded | ClientAddress::XForwardedFor => {
                peer.address().filter(|_| !self.trusts(peer))
            }
        }
    }

    /// Whether this peer is believed about whom it speaks for.
    pub(super) fn trusts(&self, peer: Peer) -> bool {
        match peer {
            Peer::Address(address) => self.trusted_proxies.contain(address),
            // Whoever may open the socket's file.
            Peer::Unix => true,
        }
    }

    /// Clients on this machine are the operator's own, and a proxy is many clients.
    fn is_exempt(&self, address: IpAddr) -> bool {
        address.to_canonical().is_loopback() || self.trusted_proxies.contain(address)
    }
}

impl Book {
    /// Asks those to leave who have been idle longest, those first that have never brought anything genuine. A sixty-
    /// fourth at once, so that a flood does not pay for a search with every connection.
    fn make_room(&mut self) -> usize {
        // Who was asked gets a moment. One that stays all the same does not keep the house full.
        if self.leaving > 0 && self.asked_at.is_some_and(|asked_at| asked_at.elapsed() < PATIENCE) {
            return 0;
        }
        let spare = |(number, entry): (&u64, &Entry)| Some((entry.is_known, entry.spare_since()?, *number));
        let mut spare: Vec<_> = self.guests.iter().filter_map(spare).collect();
        let wanted = (self.guests.len() / 64).max(1).min(spare.len());
        if wanted < spare.len() {
            spare.select_nth_unstable(wanted);
        }
        for (.., number) in &spare[..wanted] {
            self.show_out(*number);
        }
        self.asked_at = Some(time::Instant::now());
        wanted
    }

    fn show_out(&mut self, number: u64) {
        if let Some(entry) = self.guests.get(&number)
            && !entry.shown_out.is_cancelled()
        {
            entry.shown_out.cancel();
            self.leaving += 1;
        }
    }

    fn count_for(&mut self, number: u64, address: Option<IpAddr>) {
        if let (Some(address), Some(entry)) = (address, self.guests.get_mut(&number)) {
            entry.address = Some(address);
            *self.addresses.entry(address).or_default() += 1;
        }
    }

    /// The guest does not count for its address any more.
    fn count_for_nobody(&mut self, number: u64) {
        let Some(address) = self.guests.get_mut(&number).and_then(|entry| entry.address.take()) else {
            return;
        };
        if let Some(open) = self.addresses.get_mut(&address) {
            *open -= 1;
            if *open == 0 {
                self.addresses.remove(&address);
            }
        }
    }
}

impl Entry {
    /// Since when it could have been asked to leave; `None` if it cannot be, or was.
    fn spare_since(&self) -> Option<time::Instant> {
        let since = self.activity.idle_since().or_else(|| self.overstays().then_some(self.came_at));
        since.filter(|_| !self.shown_out.is_cancelled())
    }

    /// Whether it has had its time to bring something genuine: then its requests do not protect it. Otherwise whoever always
    /// has one open, at little cost, would keep its place for ever.
    fn overstays(&self) -> bool {
        !self.is_known && self.came_at.elapsed() >= PROBATION
    }
}

impl Guest {
    /// Whether it is to leave at once, in the middle of its requests.
    pub(super) fn overstays(&self) -> bool {
        self.shown_out.is_cancelled()
            && self.door.book().guests.get(&self.number).is_some_and(Entry::overstays)
    }

    /// A proxy has said whom the connection is made for.
    pub(super) fn announce(&self, client: IpAddr) -> Result<(), TurnedAway> {
        self.door.judge(&self.terms, client)?;
        let mut book = self.door.book();
        let counted = self.door.check_count(&book, &self.terms, Some(client));
        let counted = counted.map_err(|failure| self.door.turn_away(failure))?;
        book.count_for(self.number, counted);
        Ok(())
    }

    /// Whether the list of sources lets a client in that a request's headers name.
    pub(super) fn admits(&self, client: Option<IpAddr>) -> bool {
        self.door.admits(&self.terms, client)
    }

    /// The TLS handshake begins; the oldest of too many has to go.
    pub(super) fn begins_handshake(&self) {
        let mut book = self.door.book();
        book.shaking.insert(self.number);
        if book.shaking.len() > self.terms.limits.handshakes_max
            && let Some(oldest) = book.shaking.pop_first()
        {
            book.show_out(oldest);
            self.door.metrics.connections_evicted.inc();
        }
    }

    /// The TLS handshake is over.
    pub(super) fn ends_handshake(&self) {
        self.door.book().shaking.remove(&self.number);
    }

    /// How many requests it may have open at once. Each costs some kilobytes, for as long as its answer is not taken: those
    /// of strangers share a bound.
    pub(super) fn requests_max(&self) -> usize {
        if self.is_known.load(Ordering::Relaxed) {
            return usize::MAX;
        }
        let connections = usize::try_from(self.door.metrics.connections.get()).unwrap_or_default();
        (REQUESTS_MAX / connections.max(1)).max(1)
    }

    /// It has brought a genuine notification: it does not count for its address any more, and makes room last.
    pub(super) fn becomes_known(&self) {
        if self.is_known.swap(true, Ordering::Relaxed) {
            return;
        }
        let mut book = self.door.book();
        book.count_for_nobody(self.number);
        if let Some(entry) = book.guests.get_mut(&self.number) {
            entry.is_known = true;
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut book = self.door.book();
        book.shaking.remove(&self.number);
        book.count_for_nobody(self.number);
        if let Some(entry) = book.guests.remove(&self.number)
            && entry.shown_out.is_cancelled()
        {
            book.leaving -= 1;
        }
        drop(book);
        self.door.metrics.connections.dec();
        self.door.someone_left.notify_waiters();
    }
}

/// Providers give each of their customers a /64 at least.
fn counted_for(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

/// Requests of all strangers together, more or less: 8,192 of some 7 KiB are 56 MiB.
const REQUESTS_MAX: usize = 8192;
/// Time between two looks for somebody idle in a full house.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Time for those to leave who were asked, before others are.
const PATIENCE: Duration = Duration::from_millis(250);
/// Time for a handshake and a first request that brings something genuine.
const PROBATION: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{config, secret::Secret};

    /// A door for `connections` of them, two of one address.
    fn door(connections: usize) -> Arc<Door> {
        let mut config = config::dev(&Secret::new("a secret for this test".to_owned()), Path::new("/spool"));
        let limits = &mut config.server.limits;
        (limits.connections_max, limits.connections_per_address, limits.handshakes_max) = (connections, 2, 2);
        Door::new(&config, usize::MAX, Metrics::new())
    }

    #[track_caller]
    fn enter(door: &Arc<Door>) -> Guest {
        let entered = door.try_enter(&door.terms(), None);
        entered.expect("nobody is turned away").expect("there is a place")
    }

    /// Who was shown out, by their places in `guests`.
    fn shown_out(guests: &[&Guest]) -> Vec<usize> {
        let is_out = |(at, guest): (usize, &&Guest)| guest.shown_out.is_cancelled().then_some(at);
        guests.iter().enumerate().filter_map(is_out).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn who_brings_nothing_makes_room_first() {
        let door = door(4);
        let mut guests = Vec::new();
        for _ in 0..4 {
            guests.push(enter(&door));
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        guests[0].becomes_known();
        let request = guests[1].activity.request();
        let full = |door: &Arc<Door>| door.try_enter(&door.terms(), None).is_ok_and(|guest| guest.is_none());
        let all = |guests: &[Guest]| shown_out(&guests.iter().collect::<Vec<_>>());
        assert!(full(&door));
        assert_eq!(all(&guests), [2], "idle longest of those that brought nothing");
        // One at a time: until it has left, nobody else has to.
        assert!(full(&door));
        assert_eq!(all(&guests), [2]);
        drop(guests.remove(2));
        let fourth = enter(&door);
        assert!(full(&door));
        assert_eq!(all(&guests), [2]);
        drop(guests.remove(2));
        drop(fourth);
        let [_third, _fourth] = [enter(&door), enter(&door)];
        drop(request);
        assert!(!guests[0].shown_out.is_cancelled(), "known");
        assert_eq!(door.metrics.connections.get(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn requests_do_not_protect_who_never_brings_anything() {
        let door = door(3);
        let guests = [enter(&door), enter(&door), enter(&door)];
        let full = || assert!(door.try_enter(&door.terms(), None).is_ok_and(|guest| guest.is_none()));
        let all = || shown_out(&guests.iter().collect::<Vec<_>>());
        guests[0].becomes_known();
        let _requests = [guests[1].activity.request(), guests[2].activity.request()];
        tokio::time::advance(PROBATION).await;
        full();
        assert_eq!(all(), [1], "before a known one that is idle");
        assert!(guests[1].overstays() && !guests[0].overstays() && !guests[2].overstays());
        full();
        assert_eq!(all(), [1], "it gets a moment");
        tokio::time::advance(PATIENCE).await;
        full();
        assert_eq!(all(), [1, 2], "but does not keep the house full");
        tokio::time::advance(PATIENCE).await;
        full();
        assert_eq!(all(), [0, 1, 2]);
        assert!(!guests[0].overstays(), "its requests are answered");
    }

    #[tokio::test(start_paused = true)]
    async fn requests_protect_who_has_just_come() {
        let door = door(2);
        let guests = [enter(&door), enter(&door)];
        guests[0].becomes_known();
        let _requests = [guests[0].activity.request(), guests[1].activity.request()];
        tokio::time::advance(PROBATION - Duration::from_millis(1)).await;
        assert!(door.try_enter(&door.terms(), None).is_ok_and(|guest| guest.is_none()));
        assert_eq!(shown_out(&[&guests[0], &guests[1]]), [0; 0]);
    }

    #[tokio::test]
    async fn the_oldest_of_too_many_handshakes_goes() {
        let door = door(100);
        let [first, second, third] = [enter(&door), enter(&door), enter(&door)];
        first.begins_handshake();
        second.begins_handshake();
        assert_eq!(shown_out(&[&first, &second, &third]), [0; 0]);
        third.begins_handshake();
        assert_eq!(shown_out(&[&first, &second, &third]), [0]);
        second.ends_handshake();
        enter(&door).begins_handshake();
        assert_eq!(shown_out(&[&first, &second, &third]), [0]);
    }

    #[tokio::test]
    async fn an_ipv6_client_is_its_network() {
        let door = door(100);
        let announce = |text: &str| {
            let guest = enter(&door);
            guest.announce(text.parse().expect("an address")).map(|()| guest)
        };
        let first = announce("2001:db8:1:2::1").expect("the first");
        let _second = announce("2001:db8:1:2:ffff::1").expect("the second of this network");
        assert!(announce("2001:db8:1:2::3").is_err());
        let _other = announce("2001:db8:1:3::1").expect("another network");
        let _four = [announce("192.0.2.1"), announce("::ffff:192.0.2.1")];
        assert!(announce("192.0.2.1").is_err());
        let _here =
            [announce("127.0.0.1"), announce("127.0.0.1"), announce("127.0.0.1").map_err(|_| panic!("here"))];
        first.becomes_known();
        let _again = announce("2001:db8:1:2::3").expect("a known one does not count");
        let book = door.book();
        assert_eq!(book.addresses.values().sum::<usize>(), 5);
    }
}

//! One domain: its certificate, when it is renewed, and what becomes of failures.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use instant_acme::CertificateIdentifier;
use tracing::{debug, error, info, warn};
use zeroize::Zeroizing;

use super::{
    AcmeError, Authority, Standing, State, account, cache,
    client::Client,
    held::{Held, NotHeld},
    order,
    schedule::{self, Life, Window},
    suggestion,
};
use crate::{
    backoff::{Backoff, chance},
    blocking::off_thread,
    deadline::Deadline,
    error::Chain,
    failpoint::{Point, reached},
    listener::tls::TlsError,
    metrics::Order,
    moment::rfc3339,
};

/// A domain and what is known of its certificate.
pub(super) struct Domain {
    authority: Arc<Authority>,
    /// Its place among the domains, and its certificate's among those that are served.
    place: usize,
    name: String,
    held: Option<Certificate>,
    /// A certificate that is served but not kept.
    unsaved: Option<Zeroizing<String>>,
    /// When to order.
    next: SystemTime,
    /// When to ask the authority what it suggests.
    ask: SystemTime,
    last_error: Option<String>,
    /// Between tries that the authority never heard of, and between those that it refused.
    unheard: Backoff,
    refused: Backoff,
}

/// The certificate that is served.
struct Certificate {
    life: Life,
    not_after: i64,
    name: Option<CertificateIdentifier<'static>>,
    /// What the authority has suggested last.
    window: Option<Window>,
}

/// A try that came to nothing, and the authority's word on when to try again.
struct Failure {
    error: AcmeError,
    told: Option<SystemTime>,
}

impl From<AcmeError> for Failure {
    fn from(error: AcmeError) -> Self {
        Self { error, told: None }
    }
}

impl Domain {
    /// Serves what the cache has for the domain. Without anything, an order is due at once.
    pub(super) fn open(authority: &Arc<Authority>, place: usize) -> Self {
        let now = SystemTime::now();
        let mut domain = Self {
            authority: Arc::clone(authority),
            place,
            name: authority.config.domains[place].clone(),
            held: None,
            unsaved: None,
            next: now,
            ask: now,
            last_error: None,
            unheard: Backoff::new(UNHEARD_FIRST, UNHEARD_LONGEST),
            refused: Backoff::new(REFUSED_FIRST, REFUSED_LONGEST),
        };
        match Held::load(&authority.cache, &domain.name) {
            Ok(held) => {
                domain.next = Life::of(&held.identity.facts).renewal(chance());
                domain.serve(held);
            }
            Err(NotHeld::Missing) => {
                info!(
                    domain = domain.name,
                    "no certificate yet; until there is one, TLS handshakes for it fail"
                );
            }
            Err(NotHeld::Damaged(error)) => {
                cache::set_aside(&authority.cache.certificate(&domain.name), &error);
            }
        }
        domain.tell();
        domain
    }

    /// Has a good certificate whenever that can be done, for ever.
    pub(super) async fn keep(mut self) {
        loop {
            let now = SystemTime::now();
            if now >= self.next {
                self.renew().await;
            } else if now >= self.ask {
                self.ask().await;
            } else {
                Deadline::after(schedule::nap(now, self.next.min(self.ask))).passed().await;
            }
        }
    }

    async fn renew(&mut self) {
        let authority = Arc::clone(&self.authority);
        let _turn = authority.turn.acquire().await.expect("this semaphore is never closed");
        let done = match self.unsaved.take() {
            None => self.order().await,
            Some(pem) => self.save(pem).await.map_err(Failure::from),
        };
        match done {
            Ok(()) => {
                self.unheard.reset();
                self.refused.reset();
                self.last_error = None;
                self.plan();
            }
            Err(failure) => self.fail(failure).await,
        }
        self.tell();
    }

    async fn order(&mut self) -> Result<(), Failure> {
        let obtained = self.attempt().await;
        let result = if obtained.is_ok() { Order::Issued } else { Order::Failed };
        self.authority.metrics.acme_orders.count(result);
        let (held, pem) = obtained?;
        // Served before it is saved: a disk that hangs is no reason to wait.
        let not_after = held.identity.facts.not_after;
        self.serve(held);
        info!(domain = self.name, not_after, "new certificate");
        self.save(pem).await.map_err(Failure::from)
    }

    async fn attempt(&self) -> Result<(Held, Zeroizing<String>), Failure> {
        let client = Client::new(self.authority.config.ca_file.clone()).await.map_err(AcmeError::from)?;
        let obtained = Deadline::after(ORDER_WITHIN).limit(self.obtain(&client)).await;
        obtained.unwrap_or(Err(AcmeError::Late)).map_err(|error| Failure { error, told: client.told() })
    }

    async fn obtain(&self, client: &Client) -> Result<(Held, Zeroizing<String>), AcmeError> {
        let cache = self.authority.cache.clone();
        off_thread(move || cache.prepare()).await?;
        info!(domain = self.name, directory = self.authority.config.directory, "ordering a certificate");
        let account = account::open(&self.authority, client).await?;
        let replaces = self.held.as_ref().and_then(|held| held.name.as_ref());
        let pem = order::obtain(&self.authority, &account, &self.name, replaces).await?;
        let held = Held::read(pem.as_bytes(), &self.authority.cache.certificate(&self.name), &self.name)?;
        let now = SystemTime::now();
        match held.identity.fit(now) {
            // Not yet: the authority's clock is the better one.
            Ok(_) | Err(TlsError::NotYet) => Ok((held, pem)),
            Err(error) if self.good_until(now).is_some() => Err(AcmeError::Unfit(error)),
            Err(error) => {
                error!(event = "acme_certificate_unfit", domain = self.name, error = %Chain(&error), "served for want of a better certificate");
                Ok((held, pem))
            }
        }
    }

    /// The end of what is held, if that is still to come.
    fn good_until(&self, now: SystemTime) -> Option<SystemTime> {
        self.held.as_ref().map(|held| held.life.until).filter(|until| *until > now)
    }

    async fn save(&mut self, pem: Zeroizing<String>) -> Result<(), AcmeError> {
        reached(Point::AcmeBeforeSave);
        let (cache, name) = (self.authority.cache.clone(), self.name.clone());
        let (saved, pem) = off_thread(move || (cache.save_certificate(&name, &pem), pem)).await;
        if saved.is_err() {
            self.unsaved = Some(pem);
        }
        Ok(saved?)
    }

    fn serve(&mut self, held: Held) {
        let Held { identity, name } = held;
        let (life, not_after) = (Life::of(&identity.facts), identity.facts.not_after);
        self.held = Some(Certificate { life, not_after, name, window: None });
        self.authority.served.put(self.place, Arc::new(identity));
    }

    /// Settles when to renew what has just been obtained. The authority's suggestion is asked for some time later: one
    /// that wants everything renewed at once shall not have us turn in a circle.
    fn plan(&mut self) {
        let Some(held) = &self.held else { return };
        let now = SystemTime::now();
        let left = held.life.until.duration_since(now).unwrap_or_default();
        self.next = held.life.renewal(chance()).max(now + (left / 4).max(SOONEST));
        self.ask = now + ASK_AFTER_ORDER;
    }

    async fn fail(&mut self, Failure { error, told }: Failure) {
        let now = SystemTime::now();
        if error.is_stranger() {
            account::forget(&self.authority).await;
        }
        let until = self.good_until(now);
        let is_cheap = error.is_unheard() || error.is_stranger();
        let pause = if is_cheap { &mut self.unheard } else { &mut self.refused }.next_pause();
        self.next = schedule::retry(now, pause, told, until);
        let words = words(&error);
        let pause = self.next.duration_since(now).unwrap_or_default().as_secs();
        match until {
            Some(_) => {
                warn!(
                    event = "acme_renewal_failed",
                    domain = self.name,
                    error = words,
                    again_in_seconds = pause,
                    "no new certificate; the old one stays"
                )
            }
            None => {
                error!(
                    event = "acme_no_certificate",
                    domain = self.name,
                    error = words,
                    again_in_seconds = pause,
                    "no good certificate"
                )
            }
        }
        self.last_error = Some(words);
    }

    /// Asks what the authority suggests about the renewal. That it has nothing to say, or cannot be reached, changes
    /// nothing.
    async fn ask(&mut self) {
        let now = SystemTime::now();
        self.ask = now + ASK_AFTER_FAILURE;
        // While orders fail, another time to order is no help.
        let (Some(held), None) = (&mut self.held, &self.last_error) else { return };
        let Some(name) = &held.name else { return };
        let config = &self.authority.config;
        let asked = async {
            let client = Client::new(config.ca_file.clone()).await?;
            suggestion::ask(&client, &config.directory, name).await
        };
        match asked.await {
            Ok(suggestion) => {
                self.ask = now + suggestion.ask_again;
                if let Some(window) = suggestion.window.filter(|window| Some(*window) != held.window) {
                    held.window = Some(window);
                    self.next = held.life.renewal_within(window, chance());
                    let next = rfc3339(self.next);
                    info!(domain = self.name, %next, "the authority suggests when to renew");
                    self.tell();
                }
            }
            Err(error) => {
                debug!(domain = self.name, error = %Chain(&error), "no suggestion about the renewal")
            }
        }
    }

    fn tell(&self) {
        let standing = Standing {
            domain: self.name.clone(),
            state: match (&self.held, &self.last_error) {
                (None, _) => State::Missing,
                (Some(_), None) => State::Good,
                (Some(_), Some(_)) => State::Failing,
            },
            not_after: self.held.as_ref().map(|held| held.not_after),
            next_attempt_at: Some(rfc3339(self.next)),
            last_error: self.last_error.clone(),
        };
        self.authority.told.send_modify(|standings| standings[self.place] = standing);
    }
}

/// What went wrong, as it may be shown: the authority writes part of it.
fn words(error: &AcmeError) -> String {
    let words = Chain(error).to_string();
    words.chars().map(|c| if c.is_control() { ' ' } else { c }).take(WORDS_MAX).collect()
}

/// The whole of an order; each of its requests has a deadline of its own.
const ORDER_WITHIN: Duration = Duration::from_secs(5 * 60);
/// What never reached the authority: a machine that starts before its network, an authority that is down.
const UNHEARD_FIRST: Duration = Duration::from_secs(4);
const UNHEARD_LONGEST: Duration = Duration::from_secs(60 * 60);
/// What the authority refused: Let's Encrypt allows five failed validations of a domain in an hour.
const REFUSED_FIRST: Duration = Duration::from_secs(2 * 60);
const REFUSED_LONGEST: Duration = Duration::from_secs(6 * 60 * 60);
/// Between an order and the next, whatever a certificate says of its life.
const SOONEST: Duration = Duration::from_secs(10);
const ASK_AFTER_ORDER: Duration = Duration::from_secs(6 * 60 * 60);
const ASK_AFTER_FAILURE: Duration = Duration::from_secs(60 * 60);
const WORDS_MAX: usize = 1000;

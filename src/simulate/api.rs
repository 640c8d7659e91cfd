//! Plays the other side of subscriptions: Microsoft's login, the identity endpoints of its machines, and `/subscriptions`.
//!
//! The stand-in keeps Graph's own rules as the service applies them, and shares no table with what asks it: a mistake
//! of ours must not stand on both sides. Everything lies in memory and is bounded. What tests need beside the service's
//! own manners (faults, a clock that jumps, lifecycle events on demand) is below `/simulate`, and the same on [`Api`].

mod calls;
mod clock;
mod control;
mod faults;
mod journal;
mod kinds;
mod login;
mod managed;
mod notify;
mod receivers;
mod refusal;
mod route;
mod rules;
mod serve;
mod settings;
mod store;
mod subscription;
mod subscriptions;
mod throttle;
mod tokens;
mod world;

use std::{io, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

pub use self::{
    calls::Operation,
    faults::{Cut, Fault, Trouble},
    journal::{Call, Sent, SentKind},
    notify::{Lifecycle, NotifyError},
    settings::Settings,
    subscription::Held,
};
use self::{
    receivers::Receivers,
    serve::{Door, Inside},
    world::World,
};
use crate::{
    blocking::off_thread,
    secret::Secret,
    simulate::{
        identity::{Identity, IdentityError, Shown},
        serve::{accept, bind},
        signing::SigningKey,
        trust::{Trust, TrustError},
    },
};

/// How the stand-in is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it listens.
    pub listen: SocketAddr,
    /// A second address, without TLS, for the identity endpoints of machines, which are asked over `http://`.
    pub identity_listen: Option<SocketAddr>,
    /// What it shows to those who come.
    pub identity: Identity,
    /// Which receivers it believes.
    pub trust: Trust,
    /// Whether `notificationUrl` may be `http://` on a loopback address.
    pub admits_plain_receivers: bool,
    /// Whom it signs in.
    pub directory: Directory,
    /// What can change while it runs.
    pub settings: Settings,
    /// Sends a notification to every live subscription so often.
    pub notify_every: Option<Duration>,
}

/// Whom the login signs in; what is empty is not looked at.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    /// The tenants there are.
    pub tenants: Vec<String>,
    /// The apps there are.
    pub apps: Vec<String>,
    /// What every app proves itself with; without it any secret will do.
    pub client_secret: Option<Secret>,
    /// A certificate (PEM) whose key must have signed client assertions; without it their form alone is looked at.
    pub client_certificate: Option<String>,
    /// Application permissions, in `roles` of tokens.
    pub roles: Vec<String>,
}

/// A stand-in that serves until dropped.
#[derive(Debug)]
pub struct Api {
    world: Arc<World>,
    address: SocketAddr,
    identity_address: Option<SocketAddr>,
    authority: Option<String>,
    _serving: JoinSet<()>,
}

/// Why the stand-in cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The address is taken, or not ours.
    #[error("cannot listen on {address}")]
    Bind {
        /// Which.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Its own certificate cannot be made or used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The authorities cannot be read.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// What assertions are to be checked with is no certificate of an RSA key.
    #[error("the client's certificate is no X.509 certificate with an RSA key")]
    ClientCertificate,
    /// No key to sign tokens with.
    #[error("the system gave no key")]
    NoKey,
}

impl Options {
    /// Any free port of this machine, with a throwaway certificate, believing all receivers.
    pub fn local() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            identity_listen: None,
            identity: Identity::Throwaway,
            trust: Trust::Anybody,
            admits_plain_receivers: false,
            directory: Directory::default(),
            settings: Settings::default(),
            notify_every: None,
        }
    }
}

impl Api {
    /// Begins to serve.
    ///
    /// # Errors
    ///
    /// [`ApiError`]
    pub async fn start(options: Options) -> Result<Self, ApiError> {
        let Options { listen, identity_listen, identity, trust, admits_plain_receivers, .. } = options;
        let Shown { acceptor, authority } = identity.shown()?;
        let receivers = Receivers::new(&trust)?;
        let directory = tokens::Checked::new(options.directory)?;
        let scheme = if acceptor.is_some() { "https" } else { "http" };
        let bound =
            |address| async move { bind(address).await.map_err(|source| ApiError::Bind { address, source }) };
        let (listener, address) = bound(listen).await?;
        let machines = match identity_listen {
            Some(address) => Some(bound(address).await?),
            None => None,
        };
        let world = World::new(world::Parts {
            origin: format!("{scheme}://{address}"),
            scheme,
            directory,
            receivers,
            admits_plain_receivers,
            settings: options.settings,
            // It takes a while.
            key: off_thread(SigningKey::generate).await.ok_or(ApiError::NoKey)?,
        });
        let world = Arc::new(world);
        let mut serving = JoinSet::new();
        let tracker = TaskTracker::new();
        let inside = |door| Inside { door, world: Arc::clone(&world), tracker: tracker.clone() };
        serving.spawn(accept(listener, acceptor, inside(Door::Main)));
        let identity_address = machines.as_ref().map(|(_, address)| *address);
        if let Some((listener, _)) = machines {
            serving.spawn(accept(listener, None, inside(Door::Machines)));
        }
        if let Some(every) = options.notify_every {
            serving.spawn(notify::steadily(Arc::clone(&world), every));
        }
        Ok(Self { world, address, identity_address, authority, _serving: serving })
    }

    /// `https://` or `http://`, address and port: the base of login and Graph alike.
    pub fn origin(&self) -> &str {
        self.world.origin()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it answers machines without TLS, if anywhere.
    pub fn identity_address(&self) -> Option<SocketAddr> {
        self.identity_address
    }

    /// The authority of a throwaway certificate, PEM: what clients must believe.
    pub fn authority(&self) -> Option<&str> {
        self.authority.as_deref()
    }

    /// Believes the receivers that the authorities in this file vouch for, from now on.
    ///
    /// # Errors
    ///
    /// [`ApiError::Trust`]
    pub fn believe(&self, authorities: &Path) -> Result<(), ApiError> {
        self.world.believe(&Trust::File(authorities.to_owned()))
    }

    /// Has calls to come go wrong.
    pub fn fail(&self, fault: Fault) {
        self.world.fail(fault);
    }

    /// Nothing goes wrong any more.
    pub fn heal(&self) {
        self.world.heal();
    }

    /// Sets its clock forward.
    pub fn advance(&self, by: Duration) {
        self.world.advance(by);
    }

    /// Its time.
    pub fn now(&self) -> std::time::SystemTime {
        self.world.now()
    }

    /// Changes settings.
    pub fn set(&self, change: impl FnOnce(&mut Settings)) {
        self.world.set(change);
    }

    /// The calls it got, oldest first.
    pub fn journal(&self) -> Vec<Call> {
        self.world.journal()
    }

    /// What it sent to receivers, oldest first.
    pub fn sent(&self) -> Vec<Sent> {
        self.world.sent()
    }

    /// Forgets both journals.
    pub fn forget(&self) {
        self.world.forget();
    }

    /// The live subscriptions, oldest first.
    pub fn subscriptions(&self) -> Vec<Held> {
        self.world.subscriptions()
    }

    /// Sends a lifecycle event for a subscription; `subscriptionRemoved` removes it first. The receiver's answer is in
    /// what is returned.
    ///
    /// # Errors
    ///
    /// [`NotifyError`]
    pub async fn lifecycle(&self, subscription: &str, event: Lifecycle) -> Result<Sent, NotifyError> {
        notify::lifecycle(&self.world, subscription, event).await
    }

    /// Sends so many change notifications for a subscription, in one POST.
    ///
    /// # Errors
    ///
    /// [`NotifyError`]
    pub async fn notify(&self, subscription: &str, many: usize) -> Result<Sent, NotifyError> {
        notify::changes(&self.world, subscription, many).await
    }

    /// Loses a subscription without a word to anybody; whether there was one.
    pub fn lose(&self, subscription: &str) -> bool {
        self.world.lose(subscription)
    }

    /// Signs in the user who was shown this code, or refuses; whether there is such a code.
    pub fn decide(&self, user_code: &str, is_approved: bool) -> bool {
        self.world.decide(user_code, is_approved)
    }
}

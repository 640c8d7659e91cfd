//! What we believe: [`Batch`] → [`Verified`], the one door between what was said and what is passed on.
//!
//! Items are judged one by one; one bad item never costs a good one. All of it is pure, without I/O and clock, but for
//! [`keys`], which fetches what tokens are signed with, and [`rich`], which waits for that and for decryption.

pub mod certificate;
mod client_state;
pub mod decrypt;
pub mod keys;
pub mod rich;
pub mod seal;
#[cfg(test)]
mod tests;
mod token;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

pub use self::token::{Expectations, TokenFault};
use self::{
    client_state::{Digest, Presented, lowest_equal},
    decrypt::Plaintext,
};
use crate::{
    config::ClientState,
    notification::{
        Batch, ClientStateClaim, Notification,
        id::{SubscriptionId, TenantId},
        sealed::ValidationTokens,
    },
};

/// The table of secrets, ready to judge.
#[derive(Debug)]
pub struct Verifier {
    entries: Vec<Entry>,
    /// The places of those that list subscriptions, by each of these: how many there are for others costs an item nothing.
    listing: HashMap<SubscriptionId<'static>, Vec<usize>>,
    /// The places of those that list none.
    open: Vec<usize>,
}

#[derive(Debug)]
struct Entry {
    name: Arc<str>,
    digest: Digest,
    tenants: HashSet<TenantId<'static>>,
}

/// The items of a batch, each with its verdict. Only [`Verifier::verify`] makes one.
#[derive(Debug)]
pub struct Verified<'a> {
    authentic: Vec<Authentic<'a>>,
    refused: Vec<Refused<'a>>,
    validation_tokens: ValidationTokens<'a>,
}

/// An item that presented the right secret.
#[derive(Debug)]
pub struct Authentic<'a> {
    /// The item.
    pub notification: Notification<'a>,
    /// Name of the table entry that admits it.
    pub client_state: Arc<str>,
    /// Its place in the table.
    pub entry: usize,
    /// Its resource data.
    pub resource: Resource,
}

/// What an item carries of its resource.
#[derive(Debug)]
pub enum Resource {
    /// Nothing.
    None,
    /// All of it, as Graph has encrypted it.
    Sealed,
    /// All of it, decrypted.
    Opened(Plaintext),
}

/// An item that is not passed on.
#[derive(Debug)]
pub struct Refused<'a> {
    /// The item.
    pub notification: Notification<'a>,
    /// Why.
    pub reason: Reason,
}

/// Why an item is refused.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Reason {
    /// Not an object, a needed member of the wrong type, or a contradicting repetition.
    Malformed,
    /// No `clientState`, or null.
    Missing,
    /// No entry of the table admits this subscription and tenant.
    UnknownSubscription,
    /// An entry admits it; the secret is another.
    Mismatch,
    /// It has resource data, and its POST no token.
    MissingToken,
    /// It has resource data, and no valid token vouches for its tenant.
    BadToken,
    /// Its resource data is encrypted for a certificate whose key we do not have.
    UnknownKey,
    /// Its resource data cannot be decrypted.
    Undecryptable,
}

impl Resource {
    /// What it is before anything is opened.
    pub fn as_received(notification: &Notification<'_>) -> Self {
        if notification.sealed.is_some() { Self::Sealed } else { Self::None }
    }

    /// The word in headers.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Sealed => "encrypted",
            Self::Opened(_) => "decrypted",
        }
    }
}

impl Reason {
    /// All reasons.
    pub const ALL: [Self; 8] = [
        Self::Malformed,
        Self::Missing,
        Self::UnknownSubscription,
        Self::Mismatch,
        Self::MissingToken,
        Self::BadToken,
        Self::UnknownKey,
        Self::Undecryptable,
    ];

    /// The word in metrics, headers and routing keys.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Missing => "missing",
            Self::UnknownSubscription => "unknown_subscription",
            Self::Mismatch => "mismatch",
            Self::MissingToken => "missing_token",
            Self::BadToken => "bad_token",
            Self::UnknownKey => "unknown_key",
            Self::Undecryptable => "undecryptable",
        }
    }
}

impl Verifier {
    /// A verifier that believes these entries.
    pub fn new(table: &[ClientState]) -> Self {
        let entry = |state: &ClientState| Entry {
            name: state.name.as_str().into(),
            digest: Digest::of(state.secret.expose()),
            tenants: state.tenants.clone(),
        };
        let (mut listing, mut open) = (HashMap::<_, Vec<usize>>::new(), Vec::new());
        for (place, state) in table.iter().enumerate() {
            for subscription in &state.subscriptions {
                listing.entry(subscription.clone()).or_default().push(place);
            }
            if state.subscriptions.is_empty() {
                open.push(place);
            }
        }
        Self { entries: table.iter().map(entry).collect(), listing, open }
    }

    /// Judges every item by its clientState; both halves keep the array's order.
    pub fn verify<'a>(&self, batch: Batch<'a>) -> Verified<'a> {
        let Batch { notifications, validation_tokens } = batch;
        let authentic = Vec::with_capacity(notifications.len());
        let mut verified = Verified { authentic, refused: Vec::new(), validation_tokens };
        let mut presented = Presented::default();
        for notification in notifications {
            match self.judge(&notification, &mut presented) {
                Ok(entry) => {
                    let client_state = Arc::clone(&self.entries[entry].name);
                    let resource = Resource::as_received(&notification);
                    verified.authentic.push(Authentic { notification, client_state, entry, resource });
                }
                Err(reason) => verified.refused.push(Refused { notification, reason }),
            }
        }
        verified
    }

    /// The place of the entry that admits an item.
    fn judge<'a>(
        &self,
        notification: &Notification<'a>,
        presented: &mut Presented<'a>,
    ) -> Result<usize, Reason> {
        if notification.defect.is_some() {
            return Err(Reason::Malformed);
        }
        let claim = match &notification.client_state {
            ClientStateClaim::Missing => return Err(Reason::Missing),
            ClientStateClaim::Unreadable => None,
            ClientStateClaim::Text(text) => Some(presented.digest(text)),
        };
        let mut fitting = self.fitting(notification).peekable();
        if fitting.peek().is_none() {
            return Err(Reason::UnknownSubscription);
        }
        let fitting = fitting.map(|place| (place, &self.entries[place].digest));
        claim.and_then(|claim| lowest_equal(claim, fitting)).ok_or(Reason::Mismatch)
    }

    /// The places of the entries that speak for an item's subscription and tenant.
    ///
    /// An item without a tenant is admitted by an entry that lists its subscription, or that lists no tenants.
    fn fitting(&self, notification: &Notification<'_>) -> impl Iterator<Item = usize> {
        let subscription = notification.subscription_id.as_deref();
        let listing = subscription.filter(|_| !self.listing.is_empty()).and_then(|id| self.listing.get(id));
        let open: &[usize] = if subscription.is_some() { &self.open } else { &[] };
        let tenant = notification.tenant_id.as_deref();
        let fits = move |place: &usize, without: bool| {
            let tenants = &self.entries[*place].tenants;
            tenants.is_empty() || tenant.map_or(without, |tenant| tenants.contains(tenant))
        };
        let listing = listing.into_iter().flatten().filter(move |place| fits(place, true));
        listing.chain(open.iter().filter(move |place| fits(place, false))).copied()
    }
}

impl<'a> Verified<'a> {
    /// How many items there are in all.
    pub fn len(&self) -> usize {
        self.authentic.len() + self.refused.len()
    }

    /// Whether there is no item at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Items to pass on, in array order.
    pub fn authentic(&self) -> &[Authentic<'a>] {
        &self.authentic
    }

    /// Items that are kept out: those that their secret refuses, then those that their tokens refuse, then those that do
    /// not open; each in array order.
    pub fn refused(&self) -> &[Refused<'a>] {
        &self.refused
    }

    /// The same, for when the others are on their way: what was decrypted of them is wiped.
    pub fn into_refused(self) -> Vec<Refused<'a>> {
        self.refused
    }

    /// As if this had been in the first item: so that the way from there can be tried by itself.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn with_resource(mut self, resource: Resource) -> Self {
        if let [item, ..] = &mut self.authentic[..] {
            item.resource = resource;
        }
        self
    }
}

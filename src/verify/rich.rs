//! Items with resource data: whether a token vouches for their tenant, and what is in them.
//!
//! It comes after the clientState, so that only who knows a secret can make us fetch keys or use ours. RSA takes a
//! millisecond and contents may be megabytes: both are done on threads of their own, as many at a time as there are
//! processors, and in turn, so that one large POST does not hold up the others.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Instant, SystemTime},
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::sync::Semaphore;

use super::{
    Authentic, Reason, Refused, Resource, Verified,
    decrypt::{Parcel, Plaintext, PrivateKey, Undecryptable},
    keys::{Keys, NoKeys, Shelf},
    token::{Expectations, TokenFault},
};
use crate::{
    blocking::off_thread,
    config::{self, Deliver},
    deadline::Deadline,
    metrics::{Decryption, KeyUse, Metrics},
    notification::{
        id::TenantId,
        sealed::{EncryptedContent, TokenList},
    },
};

/// Judges items with resource data by `[rich]`.
#[derive(Debug)]
pub struct Rich {
    expectations: Expectations,
    deliver: Deliver,
    ring: Vec<RingKey>,
    keys: Keys,
    turns: Turns,
    metrics: Arc<Metrics>,
}

/// A decryption key under its name.
#[derive(Debug)]
struct RingKey {
    id: String,
    /// SHA-1 of its certificate, hexadecimal, if that is known.
    thumbprint: Option<String>,
    key: Arc<PrivateKey>,
    uses: KeyUse,
}

/// Whose turn it is to decrypt. All versions of the configuration share it.
#[derive(Clone, Debug)]
pub struct Turns {
    free: Arc<Semaphore>,
    many: usize,
}

impl Turns {
    /// As many at a time as there are processors.
    pub fn of_machine() -> Self {
        let many = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self { free: Arc::new(Semaphore::new(many)), many }
    }
}

/// There is no verdict yet, and none in time: Graph should ask again.
#[derive(Debug)]
pub struct Undecided<'a> {
    /// The items, as the table of secrets has judged them.
    pub verified: Verified<'a>,
    /// Why.
    pub reason: UndecidedReason,
}

/// Why there is no verdict.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum UndecidedReason {
    /// Tokens cannot be checked.
    #[error(transparent)]
    NoKeys(#[from] NoKeys),
    /// Too much is to be decrypted.
    #[error("the resource data was not decrypted in time")]
    Late,
}

/// For whom the tokens of a POST vouch.
enum Vouched {
    For(HashSet<TenantId<'static>>),
    /// For nobody.
    Nobody(Reason),
}

impl Rich {
    /// A judge of this configuration.
    pub fn new(config: &config::Rich, keys: Keys, turns: Turns, metrics: Arc<Metrics>) -> Self {
        let ring_key = |key: &config::RichKey| RingKey {
            id: key.id.clone(),
            thumbprint: key.thumbprint.clone(),
            key: Arc::clone(&key.private_key),
            uses: metrics.rich.key_use(&key.id),
        };
        Self {
            expectations: config.expectations.clone(),
            deliver: config.deliver,
            ring: config.keys.iter().map(ring_key).collect(),
            keys,
            turns,
            metrics,
        }
    }

    /// Judges the items that have resource data, and leaves the others as they are. `body` is what they were read from.
    ///
    /// # Errors
    ///
    /// [`Undecided`] when there is no verdict by `owed`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future forgets the items; a decryption that has begun ends on its thread.
    pub async fn judge<'a>(
        &self,
        verified: Verified<'a>,
        body: &Bytes,
        now: SystemTime,
        owed: Deadline,
    ) -> Result<Verified<'a>, Undecided<'a>> {
        if !verified.authentic.iter().any(is_sealed) {
            return Ok(verified);
        }
        let vouched = match self.vouched(&verified.validation_tokens.read(), now, owed).await {
            Ok(vouched) => vouched,
            Err(reason) => return Err(Undecided { verified, reason: reason.into() }),
        };
        let verified = verified.refuse(|item| vouched.refusal(item));
        match self.deliver {
            Deliver::Sealed => Ok(verified),
            Deliver::Opened => self.open(verified, body, now, owed).await,
        }
    }

    /// Checks the tokens of a POST, if need be with fresher keys.
    async fn vouched(
        &self,
        tokens: &TokenList<'_>,
        now: SystemTime,
        owed: Deadline,
    ) -> Result<Vouched, NoKeys> {
        let tokens = match tokens {
            TokenList::Absent => return Ok(Vouched::Nobody(Reason::MissingToken)),
            TokenList::Unreadable => return Ok(Vouched::Nobody(Reason::BadToken)),
            TokenList::Tokens(tokens) => tokens,
        };
        let judge = |shelf: &Shelf| -> Vec<Result<TenantId<'static>, TokenFault>> {
            tokens.iter().map(|token| self.expectations.judge(token, &shelf.keys, now)).collect()
        };
        let mut verdicts = judge(&self.keys.shelf());
        if verdicts.contains(&Err(TokenFault::UnknownKey)) {
            verdicts = judge(&self.keys.fresh(owed).await?);
        }
        for verdict in &verdicts {
            self.metrics.rich.tokens.count(verdict.as_ref().err().copied());
        }
        Ok(Vouched::by(verdicts))
    }

    /// Replaces what is sealed by what is in it.
    async fn open<'a>(
        &self,
        mut verified: Verified<'a>,
        body: &Bytes,
        now: SystemTime,
        owed: Deadline,
    ) -> Result<Verified<'a>, Undecided<'a>> {
        let work: Vec<_> = verified.authentic.iter().map(|item| self.work(item, body)).collect();
        let done = stream::iter(work).map(|work| self.done(work)).buffered(self.turns.many);
        let Ok(opened) = owed.limit(done.collect::<Vec<_>>()).await else {
            return Err(Undecided { verified, reason: UndecidedReason::Late });
        };
        let mut refusals = Vec::with_capacity(opened.len());
        for (item, opened) in verified.authentic.iter_mut().zip(opened) {
            refusals.push(match opened {
                Opened::Nothing => None,
                Opened::Resource(plaintext, key) => {
                    self.ring[key].uses.note(now);
                    self.metrics.rich.decryptions.count(Decryption::Ok);
                    item.resource = Resource::Opened(plaintext);
                    None
                }
                Opened::NoKey => {
                    self.metrics.rich.decryptions.count(Decryption::UnknownKey);
                    Some(Reason::UnknownKey)
                }
                Opened::Failed => {
                    self.metrics.rich.decryptions.count(Decryption::Failed);
                    Some(Reason::Undecryptable)
                }
            });
        }
        let mut refusals = refusals.into_iter();
        Ok(verified.refuse(|_| refusals.next().flatten()))
    }

    fn work(&self, item: &Authentic<'_>, body: &Bytes) -> Work {
        let Some(sealed) = item.notification.sealed else { return Work::None };
        let Some(content) = sealed.read() else { return Work::Hopeless };
        let key = self.key_of(&content);
        match Parcel::of(&content, body) {
            Ok(parcel) => Work::Open { parcel, key },
            Err(Undecryptable) => Work::Hopeless,
        }
    }

    /// The key that a content names: by its id, and by its certificate where it has none.
    fn key_of(&self, content: &EncryptedContent<'_>) -> Option<usize> {
        match (&content.certificate_id, &content.certificate_thumbprint) {
            (Some(id), _) => self.ring.iter().position(|key| key.id == **id),
            (None, Some(thumbprint)) => self.ring.iter().position(|key| {
                key.thumbprint.as_ref().is_some_and(|known| known.eq_ignore_ascii_case(thumbprint))
            }),
            (None, None) => None,
        }
    }

    async fn done(&self, work: Work) -> Opened {
        let (parcel, key) = match work {
            Work::None => return Opened::Nothing,
            Work::Hopeless => return Opened::Failed,
            Work::Open { parcel, key } => (parcel, key),
        };
        // One that we have not is looked for as long as one that we have: with some other.
        let Some(with) = self.ring.get(key.unwrap_or_default()) else { return Opened::NoKey };
        let with = Arc::clone(&with.key);
        let _turn = self.turns.free.acquire().await.expect("nobody closes it");
        let metrics = Arc::clone(&self.metrics);
        let opened = off_thread(move || {
            let begun = Instant::now();
            let opened = parcel.open(&with);
            metrics.rich.decryption_duration.observe(begun.elapsed().as_secs_f64());
            opened
        });
        match (opened.await, key) {
            (_, None) => Opened::NoKey,
            (Ok(plaintext), Some(key)) => Opened::Resource(plaintext, key),
            (Err(Undecryptable), Some(_)) => Opened::Failed,
        }
    }
}

/// What is to be done for one item.
enum Work {
    /// It has no resource data.
    None,
    /// What it has cannot be read.
    Hopeless,
    Open {
        parcel: Parcel,
        /// Its place on the ring.
        key: Option<usize>,
    },
}

/// What was done.
enum Opened {
    Nothing,
    Resource(Plaintext, usize),
    NoKey,
    Failed,
}

impl Vouched {
    fn by(verdicts: Vec<Result<TenantId<'static>, TokenFault>>) -> Self {
        let is_suspicious =
            verdicts.iter().any(|verdict| verdict.as_ref().is_err_and(|fault| fault.is_suspicious()));
        if is_suspicious {
            Self::Nobody(Reason::BadToken)
        } else {
            Self::For(verdicts.into_iter().flatten().collect())
        }
    }

    /// Why an item is not believed, if it is not.
    fn refusal(&self, item: &Authentic<'_>) -> Option<Reason> {
        if !is_sealed(item) {
            return None;
        }
        match self {
            Self::Nobody(reason) => Some(*reason),
            Self::For(tenants) => {
                let tenant = item.notification.tenant_id.as_deref();
                let is_vouched_for = tenant
                    .is_some_and(|tenant| tenants.iter().any(|vouched| vouched.eq_ignore_ascii_case(tenant)));
                (!is_vouched_for).then_some(Reason::BadToken)
            }
        }
    }
}

fn is_sealed(item: &Authentic<'_>) -> bool {
    item.notification.sealed.is_some()
}

impl<'a> Verified<'a> {
    /// Moves items from those that are passed on to those that are kept out; `refusal` is asked for each in order.
    fn refuse(mut self, mut refusal: impl FnMut(&Authentic<'a>) -> Option<Reason>) -> Self {
        for item in std::mem::take(&mut self.authentic) {
            match refusal(&item) {
                None => self.authentic.push(item),
                Some(reason) => self.refused.push(Refused { notification: item.notification, reason }),
            }
        }
        self
    }
}

#[cfg(test)]
mod tests;

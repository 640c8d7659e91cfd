//! Items with resource data: whether a token vouches for their tenant, and what is in them.
//!
//! It comes after the clientState, so that only who knows a secret can make us fetch keys or use ours. RSA takes a
//! millisecond and contents may be megabytes: both are done on threads of their own, as many at a time as there are
//! processors, and in turn, so that one large POST does not hold up the others.

pub mod again;

use std::{
    borrow::Cow,
    collections::HashSet,
    sync::Arc,
    time::{Instant, SystemTime},
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde::Serialize;
use tokio::sync::Semaphore;
use tracing::debug;

use super::{
    Authentic, Reason, Refused, Resource, Verified,
    certificate::Certificate,
    decrypt::{Parcel, Plaintext, Undecryptable},
    keys::{Keys, NoKeys, Shelf},
    token::TokenFault,
};
use crate::{
    blocking::off_thread,
    config::{self, Deliver, RichKey},
    deadline::Deadline,
    metrics::{KeyUse, Metrics},
    moment::{rfc3339, serialize_unix},
    notification::{
        id::TenantId,
        sealed::{EncryptedContent, TokenList},
    },
};

/// Judges items with resource data by `[rich]`.
#[derive(Debug)]
pub struct Rich {
    config: config::Rich,
    /// Of each decryption key, in the configuration's order.
    uses: Vec<KeyUse>,
    signing_keys: Keys,
    turns: Turns,
    metrics: Arc<Metrics>,
}

/// Whose turn it is to decrypt. All versions of the configuration share it.
#[derive(Clone, Debug)]
pub struct Turns {
    free: Arc<Semaphore>,
    many: usize,
    /// POSTs that decrypt, in the order in which they came. If all had their turns at once, and there were more than can be
    /// done, all would be late, and Graph would bring all of them again.
    posts: Arc<Semaphore>,
}

impl Turns {
    /// As many at a time as there are processors.
    pub fn of_machine() -> Self {
        let many = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self::new(many)
    }

    fn new(many: usize) -> Self {
        let posts = Arc::new(Semaphore::new(many * POSTS_FOR_EACH));
        Self { free: Arc::new(Semaphore::new(many)), many, posts }
    }
}

/// POSTs that share the turns of a processor: enough for a small one to come through beside large ones.
const POSTS_FOR_EACH: usize = 2;

/// What an operator is told of `[rich]`.
#[derive(Clone, Debug, Serialize)]
pub struct Overview {
    /// What consumers get.
    pub deliver: Deliver,
    /// Keys for decryption.
    pub decryption_keys: Vec<KeyOverview>,
    /// Keys that tokens are signed with.
    pub signing_keys: SigningKeysOverview,
}

/// A decryption key.
#[derive(Clone, Debug, Serialize)]
pub struct KeyOverview {
    /// `encryptionCertificateId`.
    pub id: String,
    /// End of its certificate's validity, if it names one.
    #[serde(serialize_with = "serialize_unix")]
    pub not_after: Option<i64>,
    /// When it was of use last, if it was since the start.
    #[serde(serialize_with = "serialize_unix")]
    pub last_used_at: Option<i64>,
}

/// All signing keys.
#[derive(Clone, Debug, Serialize)]
pub struct SigningKeysOverview {
    /// How many are known.
    pub known: usize,
    /// When all documents were read well for the last time.
    pub fetched_at: Option<String>,
    /// Whether the last try failed.
    pub failing: bool,
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
    pub fn new(config: config::Rich, signing_keys: Keys, turns: Turns, metrics: Arc<Metrics>) -> Self {
        let uses = config.keys.iter().map(|key| metrics.rich.key_use(&key.id)).collect();
        Self { config, uses, signing_keys, turns, metrics }
    }

    /// How it stands with the keys.
    pub fn overview(&self) -> Overview {
        let key = |(key, uses): (&RichKey, &KeyUse)| KeyOverview {
            id: key.id.clone(),
            not_after: key.not_after(),
            last_used_at: Some(uses.last()).filter(|last| *last > 0),
        };
        let shelf = self.signing_keys.shelf();
        Overview {
            deliver: self.config.deliver,
            decryption_keys: self.config.keys.iter().zip(&self.uses).map(key).collect(),
            signing_keys: SigningKeysOverview {
                known: shelf.keys.len(),
                fetched_at: shelf.fetched_at.map(rfc3339),
                failing: shelf.is_failing(),
            },
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
        match self.config.deliver {
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
        let mut verdicts = self.verdicts(tokens, &self.signing_keys.shelf(), now);
        if verdicts.contains(&Err(TokenFault::UnknownKey)) {
            let shelf = self.signing_keys.fresh(owed).await?;
            verdicts = self.verdicts(tokens, &shelf, now);
            // It may stand where nobody answered.
            if verdicts.contains(&Err(TokenFault::UnknownKey)) && shelf.is_failing() {
                return Err(NoKeys);
            }
        }
        for verdict in &verdicts {
            let fault = verdict.as_ref().err().copied();
            self.metrics.rich.tokens.count(fault);
            if let Some(fault) = fault {
                debug!(fault = fault.as_str(), "a validation token vouches for nothing");
            }
        }
        Ok(Vouched::by(verdicts))
    }

    /// Up to the first that is suspicious: that one decides.
    fn verdicts(
        &self,
        tokens: &[Cow<'_, str>],
        shelf: &Shelf,
        now: SystemTime,
    ) -> Vec<Result<TenantId<'static>, TokenFault>> {
        let mut verdicts = Vec::new();
        for token in tokens {
            let verdict = self.config.expectations.judge(token, &shelf.keys, now);
            let decides = verdict.as_ref().is_err_and(|fault| fault.is_suspicious());
            verdicts.push(verdict);
            if decides {
                break;
            }
        }
        verdicts
    }

    /// Replaces what is sealed by what is in it.
    async fn open<'a>(
        &self,
        verified: Verified<'a>,
        body: &Bytes,
        now: SystemTime,
        owed: Deadline,
    ) -> Result<Verified<'a>, Undecided<'a>> {
        let work: Vec<_> = verified.authentic.iter().map(|item| self.work(item, body)).collect();
        let opened = async {
            let _in_order = match work.iter().any(|work| matches!(work, Work::Open { .. })) {
                true => Some(self.turns.posts.acquire().await.expect("nobody closes it")),
                false => None,
            };
            let done = stream::iter(work).map(|work| self.done(work)).buffered(self.turns.many);
            done.collect::<Vec<_>>().await
        };
        let Ok(opened) = owed.limit(opened).await else {
            return Err(Undecided { verified, reason: UndecidedReason::Late });
        };
        let mut opened = opened.into_iter();
        Ok(verified.refuse(|item| match opened.next().expect("one for each item") {
            Opened::Nothing => None,
            Opened::Resource(plaintext, key) => {
                self.uses[key].note(now);
                item.resource = Resource::Opened(plaintext);
                None
            }
            Opened::NoKey => Some(Reason::UnknownKey),
            Opened::Failed => Some(Reason::Undecryptable),
        }))
    }

    fn work(&self, item: &Authentic<'_>, body: &Bytes) -> Work {
        let Some(sealed) = item.notification.sealed else { return Work::None };
        let Some(content) = sealed.read() else { return Work::Hopeless };
        let key = place(&self.config.keys, &content);
        match Parcel::of(&content, body) {
            Ok(parcel) => Work::Open { parcel, key },
            Err(Undecryptable) => Work::Hopeless,
        }
    }

    async fn done(&self, work: Work) -> Opened {
        let (parcel, key) = match work {
            Work::None => return Opened::Nothing,
            Work::Hopeless => return Opened::Failed,
            Work::Open { parcel, key } => (parcel, key),
        };
        // One that we have not is looked for as long as one that we have: with some other.
        let Some(with) = self.config.keys.get(key.unwrap_or_default()) else { return Opened::NoKey };
        let with = Arc::clone(&with.private_key);
        // It goes along: a request that does not wait any more does not end what has begun.
        let turn = Arc::clone(&self.turns.free).acquire_owned().await.expect("nobody closes it");
        let metrics = Arc::clone(&self.metrics);
        let opened = off_thread(move || {
            let _turn = turn;
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
        /// Its place among the keys.
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

/// The place of the key that a content names: by its id, and by its certificate where it has none.
fn place(keys: &[RichKey], content: &EncryptedContent<'_>) -> Option<usize> {
    keys.iter().position(|key| match (&content.certificate_id, &content.certificate_thumbprint) {
        (Some(named), _) => key.id == **named,
        (None, Some(named)) => {
            let known = key.certificate.as_ref().map(Certificate::thumbprint);
            known.is_some_and(|known| known.eq_ignore_ascii_case(named))
        }
        (None, None) => false,
    })
}

fn is_sealed(item: &Authentic<'_>) -> bool {
    item.notification.sealed.is_some()
}

impl<'a> Verified<'a> {
    /// Moves items from those that are passed on to those that are kept out; `refusal` is asked for each in order.
    fn refuse(mut self, mut refusal: impl FnMut(&mut Authentic<'a>) -> Option<Reason>) -> Self {
        for mut item in std::mem::take(&mut self.authentic) {
            match refusal(&mut item) {
                None => self.authentic.push(item),
                Some(reason) => self.refused.push(Refused { notification: item.notification, reason }),
            }
        }
        self
    }
}

#[cfg(test)]
mod tests;

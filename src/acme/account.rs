//! Our account with the authority: registered once, saved, and used from then on.

use instant_acme::{Account, AccountCredentials, NewAccount};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use tracing::{info, warn};
use zeroize::Zeroizing;

use super::{AcmeError, Authority, cache::CacheError, client::Client};
use crate::blocking::off_thread;

/// The account as it lies on disk. Its key is in it: it is nobody else's business.
#[derive(Deserialize, Serialize)]
struct Saved {
    /// What the authority has been told to write to.
    contact: Option<String>,
    credentials: Box<RawValue>,
}

/// The saved account, or a new one.
pub(super) async fn open(authority: &Authority, client: &Client) -> Result<Account, AcmeError> {
    match load(authority).await? {
        Some((saved, credentials)) => restore(authority, client, saved, credentials).await,
        None => register(authority, client).await,
    }
}

/// Forgets the saved account, so that the next try registers a new one: the authority does not know it any more.
pub(super) async fn forget(authority: &Authority) {
    let cache = authority.cache.clone();
    off_thread(move || cache.set_account_aside(&Unknown)).await;
}

#[derive(Debug, thiserror::Error)]
#[error("the authority does not know the saved account any more")]
struct Unknown;

async fn load(authority: &Authority) -> Result<Option<(Saved, AccountCredentials)>, CacheError> {
    let cache = authority.cache.clone();
    off_thread(move || {
        let Some(bytes) = cache.account()? else { return Ok(None) };
        match understand(&bytes) {
            Ok(saved) => Ok(Some(saved)),
            Err(error) => {
                cache.set_account_aside(&error);
                Ok(None)
            }
        }
    })
    .await
}

fn understand(bytes: &[u8]) -> serde_json::Result<(Saved, AccountCredentials)> {
    let saved: Saved = serde_json::from_slice(bytes)?;
    let credentials = serde_json::from_str(saved.credentials.get())?;
    Ok((saved, credentials))
}

async fn save(authority: &Authority, saved: &Saved) -> Result<(), AcmeError> {
    let bytes = Zeroizing::new(serde_json::to_vec_pretty(saved).expect("strings are always JSON"));
    let cache = authority.cache.clone();
    Ok(off_thread(move || cache.save_account(&bytes)).await?)
}

async fn register(authority: &Authority, client: &Client) -> Result<Account, AcmeError> {
    let contact = authority.config.contact.as_deref();
    let wanted = NewAccount {
        contact: &Vec::from_iter(contact),
        terms_of_service_agreed: true,
        only_return_existing: false,
    };
    let builder = || Account::builder_with_http(Box::new(client.clone()));
    let (account, credentials) = again!(builder().create(&wanted, authority.config.directory.clone(), None))?;
    let credentials = to_raw_value(&credentials).expect("strings are always JSON");
    save(authority, &Saved { contact: contact.map(str::to_owned), credentials }).await?;
    info!(
        directory = authority.config.directory,
        account = account.id(),
        "registered with the ACME authority"
    );
    Ok(account)
}

async fn restore(
    authority: &Authority,
    client: &Client,
    saved: Saved,
    credentials: AccountCredentials,
) -> Result<Account, AcmeError> {
    let account = Account::builder_with_http(Box::new(client.clone())).from_credentials(credentials).await?;
    let contact = authority.config.contact.as_deref();
    if saved.contact.as_deref() != contact {
        match again!(account.update_contacts(&Vec::from_iter(contact))) {
            Ok(()) => save(authority, &Saved { contact: contact.map(str::to_owned), ..saved }).await?,
            // A certificate is worth more than an address.
            Err(error) => {
                warn!(event = "acme_contact_refused", %error, "the ACME authority does not take the new contact")
            }
        }
    }
    Ok(account)
}

//! One order, from the request to the certificate (RFC 8555, section 7.4).

use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, ChallengeStatus, ChallengeType, Identifier,
    KeyAuthorization, NewOrder, Order, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use tracing::debug;
use zeroize::Zeroizing;

use super::{
    AcmeError, Authority,
    challenge::{Answers, Shown},
};

/// Obtains a certificate for one domain, in place of the one that is named, if one is: private key and chain as PEM, in
/// this order.
pub(super) async fn obtain(
    authority: &Authority,
    account: &Account,
    domain: &str,
    replaces: Option<&CertificateIdentifier<'static>>,
) -> Result<Zeroizing<String>, AcmeError> {
    let mut order = begin(account, domain, replaces).await?;
    debug!(domain, order = order.url(), "ordered");
    let shown = prove(&mut order, &authority.answers, domain).await?;
    match again!(order.poll_ready(&POLLS)) {
        Ok(OrderStatus::Ready) => drop(shown),
        done if order.state().status == OrderStatus::Invalid => {
            return Err(refused(&mut order, done.err()).await);
        }
        Ok(_) => return Err(AcmeError::Invalid),
        Err(error) => return Err(error.into()),
    }
    let key = KeyPair::generate().map_err(AcmeError::Key)?;
    let mut wanted = CertificateParams::new([domain.to_owned()]).map_err(AcmeError::Key)?;
    wanted.distinguished_name = DistinguishedName::new();
    let wanted = wanted.serialize_request(&key).map_err(AcmeError::Key)?;
    again!(finalize(&mut order, wanted.der()))?;
    let chain = again!(order.poll_certificate(&POLLS))?;
    let key = Zeroizing::new(key.serialize_pem());
    Ok(Zeroizing::new(format!("{}{chain}", *key)))
}

/// Places the order. That it replaces a certificate is a courtesy, which spares us some limits; authorities that do not
/// take it so get the plain order.
async fn begin(
    account: &Account,
    domain: &str,
    replaces: Option<&CertificateIdentifier<'static>>,
) -> Result<Order, instant_acme::Error> {
    let identifiers = [Identifier::Dns(domain.to_owned())];
    if let Some(before) = replaces {
        let wanted = NewOrder::new(&identifiers).replaces(before.clone());
        match again!(account.new_order(&wanted)) {
            Err(error) if !is_limit(&error) => debug!(domain, %error, "the authority wants a plain order"),
            placed => return placed,
        }
    }
    let wanted = NewOrder::new(&identifiers);
    again!(account.new_order(&wanted))
}

/// What is asked once more in other words would come up against the same limit.
fn is_limit(error: &instant_acme::Error) -> bool {
    super::problem_type(error).is_some_and(|kind| kind.ends_with(":rateLimited"))
}

/// Proves that the domain is ours. Drop what this returns when the order is ready, not before: an authority looks from
/// several places, whenever it likes.
async fn prove(order: &mut Order, answers: &Answers, domain: &str) -> Result<Option<Shown>, AcmeError> {
    again!(fetch(order))?;
    let mut shown = None;
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        // An authority may remember that it was proven lately.
        if authorization.status != AuthorizationStatus::Pending {
            continue;
        }
        let kind = answers.kind();
        let mut challenge =
            authorization.challenge(kind.clone()).ok_or(AcmeError::NoChallenge { kind: name(&kind) })?;
        let answer: KeyAuthorization = challenge.key_authorization();
        shown = Some(answers.show(domain, &challenge.token, &answer)?);
        again!(challenge.set_ready())?;
    }
    Ok(shown)
}

/// Fetches the authorizations of an order, but for those that are there already.
async fn fetch(order: &mut Order) -> Result<(), instant_acme::Error> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        authorization?;
    }
    Ok(())
}

/// A repetition may find that the first was heard after all.
async fn finalize(order: &mut Order, wanted: &[u8]) -> Result<(), instant_acme::Error> {
    if order.state().status == OrderStatus::Ready { order.finalize_csr(wanted).await } else { Ok(()) }
}

/// Why an order came to nothing. The reason stands with the challenge, and not always with the order.
async fn refused(order: &mut Order, otherwise: Option<instant_acme::Error>) -> AcmeError {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        // A failure to hear the reason is no better reason.
        if again!(authorization.refresh()).is_err() {
            break;
        }
        let failed = authorization.challenges.iter().find(|one| one.status == ChallengeStatus::Invalid);
        if let Some(problem) = failed.and_then(|challenge| challenge.error.clone()) {
            return AcmeError::Unproven(problem);
        }
    }
    otherwise.map_or(AcmeError::Invalid, AcmeError::from)
}

fn name(kind: &ChallengeType) -> &'static str {
    if *kind == ChallengeType::Http01 { "http-01" } else { "tls-alpn-01" }
}

/// Validation and signing take seconds; what takes longer is tried anew later.
const POLLS: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(250))
    .backoff(1.5)
    .timeout(Duration::from_secs(120));

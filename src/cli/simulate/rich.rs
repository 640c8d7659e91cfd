//! `graphhook simulate rich`

use std::{path::PathBuf, time::SystemTime};

use anyhow::Context;
use clap::{
    Args,
    builder::{PossibleValuesParser, TypedValueParser},
};

use super::{
    Outcome,
    courier::{Courier, Parcel, Sending, check_size, fits},
    file,
    notify::{check_changes, resource, size},
    presented::Presented,
    sealed::{Sealed, Signing},
    to::To,
    whose::Whose,
};
use crate::{
    config::Environment,
    simulate::{
        cast::{Cast, Ids, Kind},
        issuer::Issuer,
        rich::{self, Recipient, SealError},
        template::{Tokens, collection},
        vouching::{Flaw, Voucher},
    },
};

#[derive(Args, Debug)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    to: To,
    #[command(flatten)]
    presented: Presented,
    #[command(flatten)]
    sealed: Sealed,
    #[command(flatten)]
    signing: Signing,
    /// The resource that is encrypted [default: a small message or chat message].
    #[arg(long, value_name = "FILE")]
    content: Option<PathBuf>,
    /// What changes, by the name of a template: see `graphhook simulate templates`.
    #[arg(long, value_name = "NAME", default_value = "chatMessage", value_parser = resource)]
    resource: String,
    /// created, updated or deleted.
    #[arg(long, value_name = "TYPE", default_value = "created")]
    change: String,
    /// Items in each POST.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    items: u32,
    /// The tokens of each POST: good ones for all its tenants, none (null, or no such member), or with a fault.
    #[arg(long, value_name = "KIND", default_value = "valid", value_parser = vouching())]
    tokens: Vouching,
    #[command(flatten)]
    whose: Whose,
    /// Make each item so long, by a member that nobody knows.
    #[arg(long, value_name = "BYTES", default_value_t = 0, value_parser = size)]
    size: usize,
    #[command(flatten)]
    sending: Sending,
}

/// What stands in `validationTokens`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Vouching {
    Tokens(Option<Flaw>),
    Null,
    None,
}

pub(super) const HELP: &str = "\
Resource data is encrypted as Graph does it, and a signed token for each tenant
stands beside the items. Whoever checks tokens must know the keys that they are
signed with: `graphhook simulate issuer` serves them, or --listen while this runs.
A fault must be answered with a 2xx, too: what it costs is the item.

Examples:
  graphhook simulate rich https://localhost:8443/graph/notifications --insecure \\
      --client-state env:CLIENT_STATE --certificate 2026-11.cert.pem --issuer /tmp/issuer
  graphhook simulate rich https://localhost:8443/graph/notifications --insecure \\
      --client-state env:CLIENT_STATE --tokens expired";

pub(super) async fn run(arguments: Arguments, environment: &Environment) -> anyhow::Result<Outcome> {
    fits(arguments.items, arguments.size)?;
    check_changes(&[&arguments.resource], &[&arguments.change])?;
    let client_state = arguments.presented.read(environment)?;
    let content = arguments.content.as_deref().map(file::read).transpose()?;
    fits(arguments.items, content.as_ref().map_or(0, Vec::len))?;
    let Whose { tenants, subscriptions, user } = &arguments.whose;
    let cast = Cast {
        kinds: vec![Kind::named(&arguments.resource).context("no such template")?],
        changes: vec![arguments.change.clone()],
        tenants: tenants.clone(),
        subscriptions: subscriptions.clone(),
        user: user.clone(),
        client_state,
        ids: Ids::Fresh,
        bytes_min: arguments.size,
    };
    let Sending { count, pause, manner } = &arguments.sending;
    let mut courier = Courier::new(&arguments.to, manner)?.pausing(*pause);
    arguments.sealed.warn()?;
    let recipient = arguments.sealed.recipient().await?;
    let issuer = arguments.sealed.issuer().await?;
    let _serving = arguments.signing.serve(&arguments.sealed, &issuer).await?;
    let items = u64::from(arguments.items);
    for post in 0..u64::from(*count) {
        let numbers = post * items..(post + 1) * items;
        let texts: Result<Vec<String>, SealError> =
            numbers.map(|number| item(&cast, number, &recipient, content.as_deref())).collect();
        let texts = texts.context("cannot encrypt resource data")?;
        if post == 0 {
            check_size(&texts, arguments.size)?;
        }
        let tokens = tokens(&arguments, &issuer)?;
        let tokens = match arguments.tokens {
            Vouching::None => Tokens::None,
            Vouching::Null => Tokens::Null,
            Vouching::Tokens(_) => Tokens::These(&tokens),
        };
        let parcel = Parcel { what: None, items: Some(texts.len()) };
        courier.send(parcel, collection(&texts, tokens).into()).await?;
    }
    courier.conclude()
}

fn item(
    cast: &Cast,
    number: u64,
    recipient: &Recipient,
    content: Option<&[u8]>,
) -> Result<String, SealError> {
    cast.tell(number, |kind, facts| {
        let item = kind.template.fill(facts);
        let sealed = match content {
            Some(content) => recipient.put(&item, content),
            None => recipient.put(&item, rich::resource(&kind.name, facts).as_bytes()),
        };
        sealed.map(|item| cast.dress(item))
    })
}

/// One for each tenant.
fn tokens(arguments: &Arguments, issuer: &Issuer) -> anyhow::Result<Vec<String>> {
    let Vouching::Tokens(flaw) = arguments.tokens else { return Ok(Vec::new()) };
    let Arguments { sealed, signing, whose, .. } = arguments;
    let mut tenants = whose.tenants.clone();
    tenants.sort_unstable();
    tenants.dedup();
    let token = |tenant: &String| {
        let good = Voucher::new(&sealed.app, tenant, SystemTime::now());
        issuer.token(&Voucher { version: signing.version(), flaw, ..good })
    };
    let tokens: Option<Vec<String>> = tenants.iter().map(token).collect();
    tokens.context("the system gave no random numbers")
}

fn vouching() -> impl TypedValueParser<Value = Vouching> {
    let names = ["valid", "null", "none"].into_iter().chain(Flaw::ALL.map(Flaw::as_str));
    PossibleValuesParser::new(names).map(|name| match name.as_str() {
        "null" => Vouching::Null,
        "none" => Vouching::None,
        name => Vouching::Tokens(Flaw::ALL.into_iter().find(|flaw| flaw.as_str() == name)),
    })
}

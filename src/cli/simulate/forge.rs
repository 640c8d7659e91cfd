//! `graphhook simulate forge`

use std::io::{self, Write};

use anyhow::{Context, anyhow};
use clap::{
    Args,
    builder::{PossibleValuesParser, TypedValueParser},
};

use super::{
    Outcome, Usage,
    courier::{Courier, Manner, Parcel},
    notify::{check_changes, resource},
    presented::Presented,
    to::To,
    whose::Whose,
};
use crate::{
    config::Environment,
    error::Chain,
    secret::Secret,
    simulate::{
        cast::{Cast, Ids, Kind},
        conformance::genuine_refused,
        forgery::{Forgery, Genuine},
        receiver::Answer,
        template::{Tokens, collection},
    },
};

#[derive(Args, Debug)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    to: To,
    #[command(flatten)]
    presented: Presented,
    /// What stands in place of the clientState; may be repeated [default: each of them once].
    #[arg(long = "as", value_name = "FORM", value_parser = form())]
    forms: Vec<Forgery>,
    /// Genuine items beside each forged one, in the same POST.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=10_000))]
    genuine: u32,
    /// What changes, by the name of a template: see `graphhook simulate templates`.
    #[arg(long, value_name = "NAME", default_value = "message", value_parser = resource)]
    resource: String,
    #[command(flatten)]
    whose: Whose,
    #[command(flatten)]
    manner: Manner,
}

pub(super) const HELP: &str = "\
An item with a wrong clientState is answered like a genuine one: by any other
answer a forger sees what he has guessed, and everything but a 2xx makes Graph
send again what was lost for nothing. With --client-state a genuine POST comes
first, twice, and each answer is held against what both answers have in common:
status, headers, body.
Without it only those forgeries are sent that are not made of it, and no more is
asked for than a 2xx. Whom the receiver believed, it alone knows: with a wrong
--client-state all answers are alike, too.

Examples:
  graphhook simulate forge https://hooks.example.com/graph/notifications \\
      --client-state env:CLIENT_STATE
  graphhook simulate forge https://hooks.example.com/graph/notifications --as wrong --as null";

pub(super) async fn run(arguments: Arguments, environment: &Environment) -> anyhow::Result<Outcome> {
    let secret = arguments.presented.known(environment)?;
    if secret.is_none() && arguments.genuine > 0 {
        return Err(Usage("--genuine needs --client-state: what is genuine?").into());
    }
    check_changes(&[&arguments.resource], &[CREATED])?;
    let forms = forms(&arguments.forms, secret.as_ref())?;
    let praise = if secret.is_some() { "all answered alike" } else { "all answered 2xx in time" };
    let courier = Courier::new(&arguments.to, &arguments.manner)?.praising(praise);
    let mut courier = courier.counting(secret.clone());
    let cast = cast(&arguments, secret.clone())?;
    let mut numbers = 0..;
    let genuine = match &secret {
        Some(_) => genuine(&mut courier, &cast, &mut numbers).await?,
        None => None,
    };
    for form in forms {
        let mut item = || cast.item(numbers.next().unwrap_or_default());
        let forged = form.forge(&item(), secret.as_ref().map(Secret::expose));
        let forged = forged.context("an item that is no object cannot be forged")?;
        let mut items: Vec<String> = (0..arguments.genuine).map(|_| item()).collect();
        items.insert(items.len() / 2, forged);
        let Some(answer) = courier.post(collection(&items, Tokens::None).into()).await? else { continue };
        let tells = match (&genuine, &answer) {
            (Some(genuine), Ok(answer)) => genuine.differences(answer),
            (_, _) => Vec::new(),
        };
        courier.tell(Parcel { what: Some(form.as_str()), items: Some(items.len()) }, &answer, &tells)?;
    }
    courier.conclude()
}

/// Those that were asked for, or all that can be made.
fn forms(asked: &[Forgery], secret: Option<&Secret>) -> anyhow::Result<Vec<Forgery>> {
    let can_be_made = |form: &Forgery| secret.is_some() || !form.needs_secret();
    if asked.iter().any(|form| !can_be_made(form)) {
        return Err(Usage("such a forgery is made of the secret: --client-state says which").into());
    }
    Ok(if asked.is_empty() { Forgery::ALL.into_iter().filter(can_be_made).collect() } else { asked.to_vec() })
}

fn cast(arguments: &Arguments, client_state: Option<Secret>) -> anyhow::Result<Cast> {
    let Whose { tenants, subscriptions, user } = &arguments.whose;
    Ok(Cast {
        kinds: vec![Kind::named(&arguments.resource).context("no such template")?],
        changes: vec![CREATED.to_owned()],
        tenants: tenants.clone(),
        subscriptions: subscriptions.clone(),
        user: user.clone(),
        client_state,
        ids: Ids::Fresh,
        bytes_min: 0,
    })
}

/// What the answers to two genuine items have in common; without them there is nothing to compare.
async fn genuine(
    courier: &mut Courier,
    cast: &Cast,
    numbers: &mut impl Iterator<Item = u64>,
) -> anyhow::Result<Option<Genuine>> {
    let one = genuine_one(courier, cast, numbers).await?;
    if let Some(answer) = one.as_ref().filter(|answer| answer.status.is_client_error()) {
        writeln!(io::stderr(), "graphhook: {}", genuine_refused(answer.status))?;
    }
    let other = genuine_one(courier, cast, numbers).await?;
    Ok(one.zip(other).map(|(one, other)| Genuine::of(&one, &other)))
}

async fn genuine_one(
    courier: &mut Courier,
    cast: &Cast,
    numbers: &mut impl Iterator<Item = u64>,
) -> anyhow::Result<Option<Answer>> {
    let body = collection(&[cast.item(numbers.next().unwrap_or_default())], Tokens::None);
    let Some(answer) = courier.post(body.into()).await? else { return Ok(None) };
    courier.tell(Parcel { what: Some("genuine"), items: Some(1) }, &answer, &[])?;
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) => Err(anyhow!("the genuine item has no answer: {}", Chain(&error))),
    }
}

fn form() -> impl TypedValueParser<Value = Forgery> {
    PossibleValuesParser::new(Forgery::ALL.map(Forgery::as_str)).map(|name| {
        let found = Forgery::ALL.into_iter().find(|form| form.as_str() == name);
        found.unwrap_or(Forgery::Wrong)
    })
}

const CREATED: &str = "created";

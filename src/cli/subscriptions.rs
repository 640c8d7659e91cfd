//! `graphhook subscriptions`: what Graph has, what is wanted, and what is done about the difference.

mod advice;
mod apply;
mod create;
mod delete;
mod force;
mod get;
mod list;
mod plan;
mod reauthorize;
mod renew;
mod request;
mod resources;
mod session;
mod shown;
mod sign_in;
mod touch;
mod whose;

use std::path::PathBuf;

use clap::{Args, Subcommand};

pub(super) use self::{
    advice::advice,
    plan::{counts, look},
};
use super::{Failure, conclude};
use crate::config::Environment;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// One line for each subscription: of Graph, and of those that are still to be made.
    #[command(after_help = list::HELP)]
    List(list::Arguments),
    /// Everything about one subscription; never its clientState.
    #[command(after_help = get::HELP)]
    Get(get::Arguments),
    /// Make a subscription: a wanted one, or one that is described here.
    #[command(after_help = create::HELP)]
    Create(create::Arguments),
    /// Have a subscription live longer.
    #[command(after_help = renew::HELP)]
    Renew(renew::Arguments),
    /// Have Graph go on with a subscription that waits for a fresh token; it ends when it would have.
    #[command(after_help = reauthorize::HELP)]
    Reauthorize(reauthorize::Arguments),
    /// End a subscription.
    #[command(after_help = delete::HELP)]
    Delete(delete::Arguments),
    /// What is to be done so that Graph has what is wanted. Does nothing of it.
    #[command(after_help = plan::HELP)]
    Plan(plan::Arguments),
    /// Do what `plan` shows, once.
    #[command(after_help = apply::HELP)]
    Apply(apply::Arguments),
    /// The types of resources that can be watched, and what Graph allows for each.
    #[command(after_help = resources::HELP)]
    Resources(resources::Arguments),
    /// Sign in as a user, for graph.sign_in = "device_code".
    #[command(after_help = sign_in::HELP)]
    SignIn(sign_in::Arguments),
}

/// What all of them take.
#[derive(Args, Debug)]
pub(in crate::cli) struct Manner {
    /// Configuration file [default: /etc/graphhook/config.toml, then ./config.toml].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON instead of words.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(command: Command, environment: &Environment) -> Result<(), Failure> {
    conclude(match command {
        Command::List(arguments) => list::run(arguments, environment).await,
        Command::Get(arguments) => get::run(arguments, environment).await,
        Command::Create(arguments) => create::run(arguments, environment).await,
        Command::Renew(arguments) => renew::run(arguments, environment).await,
        Command::Reauthorize(arguments) => reauthorize::run(arguments, environment).await,
        Command::Delete(arguments) => delete::run(arguments, environment).await,
        Command::Plan(arguments) => plan::run(arguments, environment).await,
        Command::Apply(arguments) => apply::run(arguments, environment).await,
        Command::Resources(arguments) => resources::run(&arguments, environment),
        Command::SignIn(arguments) => sign_in::run(arguments, environment).await,
    })
}

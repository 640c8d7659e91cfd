//! apply
use crate::{cli::Outcome, config::Environment};
#[derive(clap::Args, Debug)]
pub(in crate::cli) struct Arguments { #[command(flatten)] manner: super::Manner }
pub(super) const HELP: &str = "Example:\n  graphhook subscriptions apply";
pub(super) async fn run(_: Arguments, _: &Environment) -> anyhow::Result<Outcome> { Ok(Outcome::Good) }

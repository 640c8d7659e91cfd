//! Which clientState items present.

use clap::Args;

use super::Usage;
use crate::{cli::source::SecretSource, config::Environment, secret::Secret};

#[derive(Args, Debug)]
pub(in crate::cli) struct Presented {
    /// The clientState that items present: file:PATH, env:NAME, credential:NAME, - for standard input, or text:SECRET.
    #[arg(long, value_name = "SOURCE", conflicts_with = "no_client_state")]
    client_state: Option<SecretSource>,
    /// Items without a clientState, as of subscriptions that were made without.
    #[arg(long)]
    no_client_state: bool,
}

impl Presented {
    /// What is presented; it must be said if it is nothing.
    pub(super) fn read(&self, environment: &Environment) -> anyhow::Result<Option<Secret>> {
        match &self.client_state {
            Some(source) => source.read(environment).map(Some),
            None if self.no_client_state => Ok(None),
            None => Err(Usage(
                "which clientState do items present? --client-state file:PATH (or env:NAME, credential:NAME, - for standard \
                 input, text:SECRET), or --no-client-state",
            )
            .into()),
        }
    }

    /// What is known of it, if anything.
    pub(super) fn known(&self, environment: &Environment) -> anyhow::Result<Option<Secret>> {
        self.client_state.as_ref().map(|source| source.read(environment)).transpose()
    }
}

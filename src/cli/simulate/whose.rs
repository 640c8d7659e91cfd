//! Whose subscriptions items belong to.

use clap::Args;

use crate::simulate::template::{SUBSCRIPTION, TENANT, USER};

#[derive(Args, Debug)]
pub(in crate::cli) struct Whose {
    /// Tenant; may be repeated, then they take turns.
    #[arg(long = "tenant", value_name = "ID", default_value = TENANT)]
    pub(super) tenants: Vec<String>,
    /// Subscription; may be repeated, then they take turns.
    #[arg(long = "subscription", value_name = "ID", default_value = SUBSCRIPTION)]
    pub(super) subscriptions: Vec<String>,
    /// The user whose things change.
    #[arg(long, value_name = "ID", default_value = USER)]
    pub(super) user: String,
}

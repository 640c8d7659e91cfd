//! Subscriptions at Graph: what their lifecycle items ask for.

pub mod nudge;

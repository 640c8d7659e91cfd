//! Subscriptions at Graph: made, kept alive and mended, as the configuration wants them.

pub mod nudge;
pub mod plan;
pub mod settle;
pub mod state;
pub mod steward;
pub mod table;
pub mod work;
